package loadtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// till is a server that is busy for the first requests to each address.
type till struct {
	busy   int // answers 503 so often
	status int // and then this, 200 when 0

	mu   sync.Mutex
	sent map[string][]string // by path: key and body of each request
}

func (s *till) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[req.URL.Path] = append(s.sent[req.URL.Path], req.Header.Get("Idempotency-Key")+" "+string(body))
	if len(s.sent[req.URL.Path]) <= s.busy {
		w.Header().Set("Retry-After", "soon") // no number: what comes from a proxy must do no harm
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	if s.status != 0 {
		http.Error(w, "no", s.status)
		return
	}
	io.WriteString(w, `{"url": "/pay"}`)
}

func TestTopUpOutlastsABusyServer(t *testing.T) {
	tests := map[string]struct {
		busy, status int
		topUps       int    // requests for one
		fails        string // how the error shows
	}{
		"at once":         {0, 0, 1, ""},
		"busy twice":      {2, 0, 3, ""},
		"the last try":    {callTries - 1, 0, callTries, ""},
		"busy for ever":   {callTries, 0, callTries, "top up: POST /v1/topups: 503"},
		"refused at once": {0, 422, 1, "top up: POST /v1/topups: 422"},
		"then refused":    {1, 409, 2, "top up: POST /v1/topups: 409"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			front := &till{busy: tt.busy, status: tt.status, sent: map[string][]string{}}
			server := httptest.NewServer(front)
			defer server.Close()
			s := newShopfront(Target{Gateways: []string{server.URL}})
			defer s.close()
			s.pause = time.Microsecond
			err := s.topUp(t.Context(), "token", 7)
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), server.URL, ""), tt.fails)) {
				t.Errorf("%v, want %q", err, tt.fails)
			}
			sent := front.sent["/v1/topups"]
			if len(sent) != tt.topUps || len(slices.Compact(slices.Clone(sent))) != 1 || strings.HasPrefix(sent[0], " ") {
				t.Errorf("sent %q, want the same request %d times", sent, tt.topUps)
			}
			if paid := len(front.sent["/pay"]); tt.fails == "" && paid != tt.topUps || tt.fails != "" && paid != 0 {
				t.Errorf("paid %d times", paid)
			}
		})
	}
}

// A run that is stopped does not wait for a busy server.
func TestCallEndsInAPause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		time.AfterFunc(20*time.Millisecond, cancel)
	}))
	defer server.Close()
	s := newShopfront(Target{Gateways: []string{server.URL}})
	defer s.close()
	s.pause = time.Hour
	begin := time.Now()
	if err := s.pay(ctx, server.URL); !errors.Is(err, context.Canceled) || time.Since(begin) >= callPauseMost {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}
