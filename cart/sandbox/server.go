package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"livecart/cart"
	"livecart/session/store"
)

// Config says where the sandbox stands and whom it notifies.
type Config struct {
	// BaseURL is how browsers reach the server, "http://127.0.0.1:8079".
	BaseURL string
	// NotifyURL takes the notices, "http://127.0.0.1:8080/v1/webhooks/payments/sandbox".
	NotifyURL string
	// Secret signs calls and notices, and the addresses of pay pages; see [cart.ParseWebhookSecret].
	Secret string
	// Journal is the file that keeps the books; empty keeps them in memory alone.
	Journal string
	// Speedup divides the pauses of Schedule; 0 for 1.
	Speedup int
	// Client sends the notices; nil for one with a timeout of 5 s.
	Client *http.Client
	// Log is told of notices that nobody took; nil discards.
	Log *slog.Logger
}

// Server is the provider and the payer's page: an http.Handler of everything under /sandbox/. Safe for
// concurrent use.
type Server struct {
	cfg   Config
	base  *url.URL
	shop  *url.URL // the origin of NotifyURL
	key   []byte
	pages *http.ServeMux

	mu      sync.Mutex // guards all below
	books   *books
	journal *journal
	queue   map[string]*notice // by event id: what is still to be sent
	held    []string           // reordered notices, by event id, the newest last
	failed  map[string]int     // refund.create calls that were answered with 503, by refund

	wake chan struct{} // has room for one: the queue has changed
}

// New opens the journal and reads it; it sends nothing. Close it, or Run it, which closes it.
func New(cfg Config) (*Server, error) {
	key, err := cart.ParseWebhookSecret(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	base, err := webURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	shop, err := webURL(cfg.NotifyURL)
	if err != nil {
		return nil, err
	}
	if cfg.Speedup < 0 {
		return nil, errors.New("sandbox: the speed-up is negative")
	}
	if cfg.Speedup == 0 {
		cfg.Speedup = 1
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Timeout: 5 * time.Second}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, base: base, shop: &url.URL{Scheme: shop.Scheme, Host: shop.Host}, key: key,
		books: newBooks(), queue: map[string]*notice{}, failed: map[string]int{}, wake: make(chan struct{}, 1),
	}
	s.pages = s.routes()
	if s.journal, err = openJournal(cfg.Journal, s.again); err != nil {
		return nil, err
	}
	return s, nil
}

func webURL(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("sandbox: %q is no address of the web", address)
	}
	return u, nil
}

// Close closes the journal of a server that does not run.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.close()
}

// ServeHTTP serves /sandbox/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.pages.ServeHTTP(w, r) }

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sandbox/payments", call(s, "payment.create", s.create))
	mux.HandleFunc("POST /sandbox/payments/query", call(s, "payment.query", s.query))
	mux.HandleFunc("POST /sandbox/payments/close", call(s, "payment.close", s.closePayment))
	mux.HandleFunc("POST /sandbox/refunds", call(s, "refund.create", s.refund))
	mux.HandleFunc("PUT /sandbox/behaviour", call(s, "behaviour.put", s.behave))
	mux.HandleFunc("GET /sandbox/pay", s.page(s.show))
	mux.HandleFunc("POST /sandbox/pay", s.page(s.act))
	mux.HandleFunc("GET /sandbox/pay.css", s.style)
	return mux
}

// again takes in an entry of the journal at the start.
func (s *Server) again(e entry) error {
	if err := s.books.apply(e); err != nil {
		return err
	}
	switch {
	case e.Pay != nil && !e.Pay.Silent:
		n, err := s.noticeOf(e.Pay)
		if err != nil {
			return err
		}
		n.resume(time.Now(), s.cfg.Speedup)
		s.queue[n.id] = n
	case e.Decline != nil:
		n, err := s.declineOf(e.Decline)
		if err != nil {
			return err
		}
		n.resume(time.Now(), s.cfg.Speedup)
		s.queue[n.id] = n
	case e.NoticeEnd != "":
		delete(s.queue, e.NoticeEnd)
	}
	return nil
}

// write puts an entry into the journal and then into the books. The lock is held.
func (s *Server) write(e entry, durable bool) error {
	if err := s.journal.add(e, durable); err != nil {
		return err
	}
	return s.books.apply(e)
}

// take books money for a payment and queues its notice, which is nil where none is sent. The lock is
// held.
func (s *Server) take(p *payment, b Behaviour, now time.Time) (receipt, *notice, error) {
	r := receipt{EventID: store.NewID("evt"), TransactionID: store.NewID("txn"), Amount: p.Amount, Currency: p.Currency, PaidAtMs: now.UnixMilli()}
	if b.Amount != 0 {
		r.Amount = b.Amount
	}
	if b.Currency != "" {
		r.Currency = b.Currency
	}
	due := now.Add(milliseconds(b.DelayMs))
	if after := p.expires().Add(time.Second); b.AfterExpiry && due.Before(after) {
		due = after
	}
	e := &payEntry{PaymentID: p.ID, Receipt: r, Silent: b.Never, DueMs: due.UnixMilli()}
	if err := s.write(entry{Pay: e}, true); err != nil {
		return receipt{}, nil, err
	}
	n, err := s.noticeOf(e)
	if err != nil {
		return receipt{}, nil, err
	}
	if b.Never {
		if b.Forge {
			s.enqueue(&notice{id: "forged " + n.id, paymentID: n.paymentID, body: n.body, due: due, forgedOnly: true, tried: make(chan struct{})}, b)
		}
		return r, nil, nil
	}
	s.enqueue(n, b)
	return r, n, nil
}

// decline queues the notice that a payer declined. The lock is held.
func (s *Server) decline(p *payment, b Behaviour, now time.Time) (*notice, error) {
	e := &declineEntry{PaymentID: p.ID, EventID: store.NewID("evt"), AtMs: now.UnixMilli()}
	if err := s.write(entry{Decline: e}, false); err != nil || b.Never {
		return nil, err
	}
	n, err := s.declineOf(e)
	if err != nil {
		return nil, err
	}
	n.due = now.Add(milliseconds(b.DelayMs))
	s.enqueue(n, b)
	return n, nil
}

// Run sends notices until ctx ends, and closes the journal then. What was not sent is sent after the
// next start.
func (s *Server) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	for ctx.Err() == nil {
		for _, n := range s.dueNow(time.Now()) {
			sending.Go(func() { s.deliver(ctx, n) }) // ends with its request, which ctx ends
		}
		timer := time.NewTimer(s.untilNext(time.Now()))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	sending.Wait()
	return s.Close()
}
