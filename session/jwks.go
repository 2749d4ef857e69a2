package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"livecart/proto"
)

// How a published key set is fetched.
const (
	jwksBytes    = 1 << 20
	jwksTimeout  = 5 * time.Second
	jwksMaxKeys  = 100
	jwksUnknown  = time.Minute      // between two fetches for unknown kids
	jwksRenew    = 10 * time.Minute // so that withdrawn keys go
	jwksRetry    = 5 * time.Second  // after a failed fetch, while there are no keys at all
	jwksTryNoKid = 8                // keys tried for a token that names none
)

// errNoKeys is told while the key set was never read.
var errNoKeys = proto.Refuse(proto.ReasonTryAgain, "the keys that tokens are verified with cannot be read at the moment").After(jwksRetry)

// keySet holds the keys of a JWKS URL. Safe for concurrent use.
type keySet struct {
	url  string
	http *http.Client
	log  *slog.Logger

	mu      sync.Mutex
	keys    []publishedKey
	fetched time.Time     // last success
	tried   time.Time     // last try
	flight  chan struct{} // closed when the fetch that runs has ended; nil for none
}

type publishedKey struct {
	kid string
	verifyKey
}

func newKeySet(address string, client *http.Client, log *slog.Logger) (*keySet, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("jwks url %q is no http address", address)
	}
	if client == nil {
		client = &http.Client{Timeout: jwksTimeout}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &keySet{url: address, http: client, log: log}, nil
}

// find returns the keys of that kid and algorithm; with an empty kid the first few of the
// algorithm. No key and no error means that nobody published such a key.
func (s *keySet) find(ctx context.Context, kid, alg string) ([]any, error) {
	found, known, flight := s.look(ctx, kid, alg)
	if len(found) == 0 && flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, errNoKeys
		}
		found, known, _ = s.look(ctx, kid, alg)
	}
	if !known {
		return nil, errNoKeys
	}
	return found, nil
}

// look searches the cached keys. known tells that the set was read at least once. The channel is
// that of a fetch in flight, begun here if one is due for this question; nil for none.
func (s *keySet) look(ctx context.Context, kid, alg string) (found []any, known bool, flight <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k.alg == alg && (kid == k.kid || kid == "" && len(found) < jwksTryNoKid) {
			found = append(found, k.key)
		}
	}
	known = !s.fetched.IsZero()
	wait := jwksUnknown
	if !known {
		wait = jwksRetry
	}
	fresh := len(found) > 0 && time.Since(s.fetched) < jwksRenew
	if s.flight == nil && !fresh && (s.tried.IsZero() || time.Since(s.tried) >= wait) {
		s.tried, s.flight = time.Now(), make(chan struct{})
		// The fetch belongs to all who wait, so it outlives the asker's context; its own bound ends it.
		go s.refresh(context.WithoutCancel(ctx), s.flight)
	}
	return found, known, s.flight
}

// refresh reads the set and closes done; a failure leaves the keys as they are.
func (s *keySet) refresh(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	keys, err := s.fetch(ctx)
	if err != nil {
		s.log.Warn("cannot read the jwks url, keeping the keys from before", "url", s.url, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.keys, s.fetched = keys, time.Now()
	}
	// A slow failure must not make the next asker wait as long at once.
	s.tried, s.flight = time.Now(), nil
	close(done)
}

func (s *keySet) fetch(ctx context.Context) ([]publishedKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, jwksBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > jwksBytes {
		return nil, fmt.Errorf("the key set is larger than %d bytes", jwksBytes)
	}
	return parseKeySet(body)
}

// parseKeySet returns the keys that may sign tokens. Keys of other kinds are passed over, as a set
// may hold some for other uses.
func parseKeySet(body []byte) ([]publishedKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if set.Keys == nil {
		return nil, errors.New("key set: no keys")
	}
	var keys []publishedKey
	for _, raw := range set.Keys[:min(len(set.Keys), jwksMaxKeys)] {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || !k.Valid() || k.Use != "" && k.Use != "sig" {
			continue
		}
		alg, err := algorithmOf(k.Key) // also passes over symmetric and private keys
		if err != nil || k.Algorithm != "" && k.Algorithm != alg {
			continue
		}
		keys = append(keys, publishedKey{kid: k.KeyID, verifyKey: verifyKey{alg: alg, key: k.Key}})
	}
	return keys, nil
}
