package session

import (
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
)

// publisher is a JWKS URL in memory.
type publisher struct {
	body    string
	status  int
	slow    time.Duration
	fetches atomic.Int64
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.fetches.Add(1)
	select {
	case <-time.After(p.slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if p.status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: p.status, Status: http.StatusText(p.status), Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

func (p *publisher) publish(t *testing.T, keys ...jose.JSONWebKey) {
	t.Helper()
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	p.body, p.status = string(body), http.StatusOK
}

func (p *publisher) tickets(t *testing.T) *Tickets {
	return tickets(t, TicketConfig{JWKSURL: "https://id.example/keys", HTTP: &http.Client{Transport: p}})
}

func jwk(kid string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"}
}

func signedBy(t *testing.T, kid string, key ed25519.PrivateKey) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, Claims{Subject: "ann"}.Until(time.Now().Add(24*time.Hour)))
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestUnknownKidIsFetchedAtMostOnceAMinute(t *testing.T) {
	one, two := edKey(t), edKey(t)
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.publish(t, jwk("one", one))
		ts := p.tickets(t)
		verify := func(kid string, key ed25519.PrivateKey, want proto.Reason, fetches int64) {
			t.Helper()
			_, err := ts.Verify(t.Context(), signedBy(t, kid, key))
			if reasonOf(err) != want || p.fetches.Load() != fetches {
				t.Fatalf("%v after %d fetches, want %q after %d", err, p.fetches.Load(), want, fetches)
			}
		}
		verify("one", one, "", 1)
		verify("one", one, "", 1)
		verify("", one, "", 1)
		verify("one", two, proto.ReasonSignInRequired, 1) // a forged one costs no fetch
		p.publish(t, jwk("one", one), jwk("two", two))
		verify("two", two, proto.ReasonSignInRequired, 1)
		time.Sleep(time.Minute - time.Millisecond)
		verify("two", two, proto.ReasonSignInRequired, 1)
		time.Sleep(time.Millisecond)
		verify("two", two, "", 2)
		verify("three", two, proto.ReasonSignInRequired, 2)
	})
}

func TestKeysStayWhileTheURLIsDownAndGoWhenWithdrawn(t *testing.T) {
	one, two := edKey(t), edKey(t)
	synctest.Test(t, func(t *testing.T) {
		p := new(publisher)
		p.publish(t, jwk("one", one))
		ts := p.tickets(t)
		token := signedBy(t, "one", one)
		verify := func() error {
			_, err := ts.Verify(t.Context(), token)
			synctest.Wait() // a renewal that nobody waits for
			return err
		}
		if err := verify(); err != nil {
			t.Fatal(err)
		}
		p.status = 0
		for range 5 {
			time.Sleep(jwksRenew)
			if err := verify(); err != nil {
				t.Fatalf("after %d fetches: %v", p.fetches.Load(), err)
			}
		}
		p.publish(t, jwk("two", two))
		time.Sleep(jwksRenew)
		if err := verify(); err != nil { // with the old keys, and renews them
			t.Fatal(err)
		}
		if err := verify(); !errors.Is(err, ErrSignInRequired) {
			t.Errorf("a withdrawn key: %v", err)
		}
	})
}

func TestWithoutAnyKeysTheClientIsToldToTryAgain(t *testing.T) {
	one := edKey(t)
	for _, test := range []struct {
		name string
		p    *publisher
	}{
		{"down", &publisher{}},
		{"error page", &publisher{status: http.StatusBadGateway, body: "{}"}},
		{"no json", &publisher{status: http.StatusOK, body: "<html>"}},
		{"no key set", &publisher{status: http.StatusOK, body: "{}"}},
		{"too large", &publisher{status: http.StatusOK, body: `{"keys":[]` + strings.Repeat(" ", jwksBytes) + "}"}},
		{"too slow", &publisher{status: http.StatusOK, body: `{"keys":[]}`, slow: jwksTimeout + time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ts := test.p.tickets(t)
				for range 3 {
					if _, err := ts.Verify(t.Context(), signedBy(t, "one", one)); reasonOf(err) != proto.ReasonTryAgain {
						t.Fatal(err)
					}
				}
				if n := test.p.fetches.Load(); n != 1 {
					t.Errorf("%d fetches at once", n)
				}
				test.p.publish(t, jwk("one", one))
				test.p.slow = 0
				time.Sleep(jwksRetry)
				if _, err := ts.Verify(t.Context(), signedBy(t, "one", one)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestManyTokensAtOnceCostOneFetch(t *testing.T) {
	one := edKey(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{slow: time.Second}
		p.publish(t, jwk("one", one))
		ts := p.tickets(t)
		token := signedBy(t, "one", one)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := ts.Verify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := p.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestKeysOfOtherKindsAreIgnored(t *testing.T) {
	key := edKey(t)
	rsa := rsaKey(t, 2048)
	secret := jose.JSONWebKey{Key: testSecret, KeyID: "secret"}
	encrypts := jwk("encrypts", key)
	encrypts.Use = "enc"
	mismatch := jwk("mismatch", rsa)
	mismatch.Algorithm = "PS256"
	p := new(publisher)
	p.publish(t, secret, encrypts, mismatch, jose.JSONWebKey{Key: key, KeyID: "private"})
	ts := p.tickets(t)
	if _, err := ts.Verify(t.Context(), hs256(testSecret, `{"alg":"HS256","kid":"secret"}`, claimsJSON(""))); !errors.Is(err, ErrSignInRequired) {
		t.Errorf("a published secret: %v", err)
	}
	if n := p.fetches.Load(); n != 0 {
		t.Errorf("an hmac token cost %d fetches", n)
	}
	for _, kid := range []string{"encrypts", "private"} {
		if _, err := ts.Verify(t.Context(), signedBy(t, kid, key)); !errors.Is(err, ErrSignInRequired) {
			t.Errorf("key %s: %v", kid, err)
		}
	}
	forged := jwt.NewWithClaims(jwt.SigningMethodRS256, Claims{Subject: "ann"}.Until(time.Now().Add(time.Hour)))
	forged.Header["kid"] = "mismatch"
	signed, err := forged.SignedString(rsa)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ts.Verify(t.Context(), signed); !errors.Is(err, ErrSignInRequired) {
		t.Errorf("a key of another algorithm: %v", err)
	}
}

func TestKeyFileAndJWKSTogether(t *testing.T) {
	key := edKey(t)
	p := new(publisher)
	p.publish(t, jwk("one", key))
	ts := tickets(t, TicketConfig{KeyFile: write(t, testSecret), JWKSURL: "https://id.example/keys", HTTP: &http.Client{Transport: p}})
	for _, token := range []string{hs256(testSecret, hsHeader, claimsJSON("")), signedBy(t, "one", key)} {
		if _, err := ts.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	if _, err := NewTickets(TicketConfig{JWKSURL: "file:///etc/keys"}); err == nil {
		t.Error("a key set was to be read from a file")
	}
}
