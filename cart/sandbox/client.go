package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"livecart/cart"
	"livecart/session/store"
)

// callTimeout bounds a call where the caller's context does not.
const callTimeout = 10 * time.Second

// Client is the sandbox as a [cart.Provider], over HTTP. Safe for concurrent use.
type Client struct {
	base, secret string
	http         *http.Client
}

// NewClient returns a client of the server at a base URL, with whom it shares a secret.
func NewClient(baseURL, secret string) (*Client, error) {
	if _, err := cart.ParseWebhookSecret(secret); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	base, err := webURL(baseURL)
	if err != nil {
		return nil, err
	}
	return &Client{base: base.String(), secret: secret, http: &http.Client{Timeout: callTimeout}}, nil
}

// do makes one signed call.
func (c *Client) do(ctx context.Context, method, path, kind string, in, out any) error {
	fields, err := json.Marshal(in)
	if err != nil {
		return err
	}
	body := append([]byte(`{"type":"`+kind+`",`), fields[1:]...)
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := cart.Sign(c.secret, req.Header, store.NewID("call"), time.Now(), body); err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("sandbox: %s: %w", kind, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("sandbox: %s: %w", kind, err)
	}
	if resp.StatusCode != http.StatusOK {
		refusal := &callError{status: resp.StatusCode}
		if json.Unmarshal(answer, refusal) != nil || refusal.Word == "" {
			refusal.Word, refusal.Message = strings.ToLower(http.StatusText(resp.StatusCode)), fmt.Sprintf("%.200s", answer)
		}
		return fmt.Errorf("sandbox: %s: %w", kind, refusal)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("sandbox: %s: %w", kind, err)
	}
	return nil
}

// Create implements [cart.Provider].
func (c *Client) Create(ctx context.Context, paymentID string, amount int64, currency, description string, expires time.Time) (string, error) {
	var out createAnswer
	err := c.do(ctx, http.MethodPost, "/sandbox/payments", "payment.create", bill{paymentID, amount, currency, description, expires.UnixMilli()}, &out)
	return out.URL, err
}

// Query implements [cart.Provider].
func (c *Client) Query(ctx context.Context, paymentID string) (cart.Charge, error) {
	var out queryAnswer
	if err := c.do(ctx, http.MethodPost, "/sandbox/payments/query", "payment.query", paymentCall{paymentID}, &out); err != nil {
		return cart.Charge{}, err
	}
	charge := cart.Charge{State: out.State}
	for _, r := range out.Receipts {
		charge.Receipts = append(charge.Receipts, cart.Receipt{
			EventID: r.EventID, TransactionID: r.TransactionID, Amount: r.Amount, Currency: r.Currency, PaidAt: time.UnixMilli(r.PaidAtMs),
		})
	}
	return charge, nil
}

// Close implements [cart.Provider]. The sandbox refuses to register a closed id later.
func (c *Client) Close(ctx context.Context, paymentID string) error {
	err := c.do(ctx, http.MethodPost, "/sandbox/payments/close", "payment.close", paymentCall{paymentID}, new(queryAnswer))
	var refusal *callError
	if errors.As(err, &refusal) && refusal.Word == "paid" {
		return cart.ErrChargePaid
	}
	return err
}

// Refund implements [cart.Provider].
func (c *Client) Refund(ctx context.Context, refundID, paymentID string, amount int64, currency string) (done bool, err error) {
	var out refundAnswer
	err = c.do(ctx, http.MethodPost, "/sandbox/refunds", "refund.create", refundCall{refundID, paymentID, amount, currency}, &out)
	return err == nil && out.State == "done", err
}

// Behave tells the sandbox how to treat a payment from now on, or with an empty paymentID every payment
// that has no behaviour of its own.
func (c *Client) Behave(ctx context.Context, paymentID string, b Behaviour) error {
	return c.do(ctx, http.MethodPut, "/sandbox/behaviour", "behaviour.put", behaveCall{paymentID, b}, new(struct{}))
}
