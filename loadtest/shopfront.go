package loadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"livecart/proto"
)

// shopfront is the HTTP side of a room, as its pages use it.
type shopfront struct {
	base   string
	client *http.Client
	// pause is about how long it waits before it asks a busy server again; it doubles each time.
	pause time.Duration
}

const (
	// callTries is how often a request is sent at most.
	callTries = 8
	// callPause is the first pause between two of them, and callPauseMost the longest, whatever the
	// server asks for.
	callPause     = 100 * time.Millisecond
	callPauseMost = 2 * time.Second
)

func newShopfront(t Target) *shopfront {
	transport := &http.Transport{MaxIdleConnsPerHost: joining, TLSClientConfig: t.tls}
	return &shopfront{base: strings.TrimSuffix(t.Gateways[0], "/"), client: &http.Client{Timeout: 15 * time.Second, Transport: transport}, pause: callPause}
}

// close ends the connections that no request uses.
func (s *shopfront) close() { s.client.CloseIdleConnections() }

// errUnavailable is an answer that leaves the request to be sent again: busy, try_again, or a gateway
// that is about to stop.
type errUnavailable struct {
	error
	after time.Duration // as the server asks
}

// call does one request and reads the answer into out, a proto.Message or a plain struct. As a shopper's
// page does, it asks a server that has no time for it again, always under the same key.
func (s *shopfront) call(ctx context.Context, method, address, token, key string, in, out any) error {
	wait := s.pause
	for try := 1; ; try++ {
		err := s.send(ctx, method, address, token, key, in, out)
		busy, ok := errors.AsType[errUnavailable](err)
		if !ok || try == callTries {
			return err
		}
		pause(ctx, min(max(jitter(wait), busy.after), callPauseMost))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		wait *= 2
	}
}

// send sends one request once.
func (s *shopfront) send(ctx context.Context, method, address, token, key string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	if strings.HasPrefix(address, "/") {
		address = s.base + address
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		err := fmt.Errorf("%s %s: %s: %.300s", method, address, resp.Status, data)
		if resp.StatusCode != http.StatusServiceUnavailable {
			return err
		}
		// Anything but a number of seconds counts as none.
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return errUnavailable{err, time.Duration(seconds) * time.Second}
	}
	switch out := out.(type) {
	case nil:
		return nil
	case proto.Message:
		return proto.Decode(proto.JSON, data, out)
	default:
		return json.Unmarshal(data, out)
	}
}

// pay plays the payer at the sandbox provider's page.
func (s *shopfront) pay(ctx context.Context, address string) error {
	return s.call(ctx, "POST", address, "", "", nil, nil)
}

// topUp buys beans for a person and pays for them.
func (s *shopfront) topUp(ctx context.Context, token string, beans int64) error {
	var made struct {
		URL string `json:"url"`
	}
	in := map[string]int64{"beans": beans}
	if err := s.call(ctx, "POST", "/v1/topups", token, NewRequestID(), in, &made); err != nil {
		return fmt.Errorf("top up: %w", err)
	}
	if err := s.pay(ctx, made.URL); err != nil {
		return fmt.Errorf("pay top-up: %w", err)
	}
	return nil
}

// cheapestGift returns the gift with the lowest price.
func (s *shopfront) cheapestGift(ctx context.Context) (id string, beans int64, err error) {
	var page struct {
		Gifts []struct {
			ID    string `json:"id"`
			Beans int64  `json:"beans,string"`
		} `json:"gifts"`
	}
	if err := s.call(ctx, "GET", "/v1/gifts", "", "", nil, &page); err != nil {
		return "", 0, fmt.Errorf("gift catalogue: %w", err)
	}
	for _, g := range page.Gifts {
		if id == "" || g.Beans < beans {
			id, beans = g.ID, g.Beans
		}
	}
	if id == "" {
		return "", 0, errors.New("the gift catalogue is empty")
	}
	return id, beans, nil
}

// saleable returns a listing of the shelf with at least pieces available and no sale of its own.
func (s *shopfront) saleable(ctx context.Context, w *proto.SessionWelcome, pieces int64) (*proto.Listing, error) {
	taken := map[string]bool{}
	for _, sale := range w.Sales {
		taken[sale.SkuId] = true
	}
	for _, entry := range w.Shelf {
		p := new(proto.Product)
		if err := s.call(ctx, "GET", "/v1/products/"+url.PathEscape(entry.ProductId), "", "", nil, p); err != nil {
			return nil, err
		}
		for _, l := range p.Listings {
			if p.OnSale && !taken[l.SkuId] && l.Available >= pieces && l.Price > 1 {
				return l, nil
			}
		}
	}
	return nil, fmt.Errorf("no listing of the room's shelf has %d pieces and no running sale", pieces)
}
