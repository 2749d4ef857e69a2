package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"livecart/cart"
)

// Schedule is the pauses between the sendings of a notice that is not answered with 2xx, those of WeChat
// Pay. After the last one the notice is given up, and only a query tells of the money.
// [Config.Speedup] divides the pauses.
var Schedule = cart.RetrySchedule

const (
	// maxSending is how many notices are on their way at a time; the others wait.
	maxSending = 16
	// reorderWait is how long a reordered notice waits for another one.
	reorderWait = 2 * time.Second
	// firstWait bounds how long a payer's answer, or a create's, waits for the first sending.
	firstWait = 5 * time.Second
)

// notice is a notice on its way. The server's lock guards it but for id and body, which stay.
type notice struct {
	id, paymentID string // the event's and the payment's
	body          []byte
	due           time.Time
	sent          int // sendings that were not taken
	sending       bool
	duplicates    int
	forge         bool
	forgedOnly    bool          // the forged notice of a payment that is not told of
	held          bool          // waits for another one to overtake it
	tried         chan struct{} // closed when it was sent for the first time, taken or not
}

func (s *Server) noticeOf(e *payEntry) (*notice, error) {
	r := e.Receipt
	body, err := cart.Notice{
		EventID: r.EventID, TransactionID: r.TransactionID, PaymentID: e.PaymentID, Kind: cart.PaymentSucceeded,
		Amount: r.Amount, Currency: r.Currency, PaidAt: time.UnixMilli(r.PaidAtMs),
	}.Body()
	return &notice{id: r.EventID, paymentID: e.PaymentID, body: body, due: time.UnixMilli(e.DueMs), tried: make(chan struct{})}, err
}

func (s *Server) declineOf(e *declineEntry) (*notice, error) {
	p := s.books.payment(e.PaymentID)
	body, err := cart.Notice{
		EventID: e.EventID, PaymentID: e.PaymentID, Kind: cart.PaymentDeclined,
		Amount: p.Amount, Currency: p.Currency, PaidAt: time.UnixMilli(e.AtMs),
	}.Body()
	return &notice{id: e.EventID, paymentID: e.PaymentID, body: body, due: time.UnixMilli(e.AtMs), tried: make(chan struct{})}, err
}

// resume finds where in the schedule a notice stands after a restart. One whose time has come is sent at
// once.
func (n *notice) resume(now time.Time, speedup int) {
	at := n.due
	for n.sent < len(Schedule) && at.Before(now) {
		at = at.Add(Schedule[n.sent] / time.Duration(speedup))
		n.sent++
	}
	if n.due.Before(now) {
		n.due = now
		n.sent = max(0, n.sent-1)
	}
}

// enqueue puts a notice into the queue. The lock is held.
func (s *Server) enqueue(n *notice, b Behaviour) {
	n.duplicates, n.forge = b.Duplicate, b.Forge
	s.queue[n.id] = n
	if b.Reorder && !n.forgedOnly {
		// Those that were held go after this one, the newest first.
		if len(s.held) == 0 {
			n.held, n.due = true, n.due.Add(reorderWait)
		}
		s.held = append(s.held, n.id)
	}
	s.poke()
}

func (s *Server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// dueNow marks what is to be sent now and returns it, the oldest first.
func (s *Server) dueNow(now time.Time) []*notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	busy := 0
	var due []*notice
	for _, n := range s.queue {
		if n.sending {
			busy++
		} else if !n.due.After(now) {
			due = append(due, n)
		}
	}
	slices.SortFunc(due, func(a, b *notice) int { return a.due.Compare(b.due) })
	due = due[:min(len(due), max(0, maxSending-busy))]
	for _, n := range due {
		n.sending = true
	}
	return due
}

// untilNext returns how long nothing is due.
func (s *Server) untilNext(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, busy := time.Hour, 0
	for _, n := range s.queue {
		if n.sending {
			busy++
		} else {
			next = min(next, n.due.Sub(now))
		}
	}
	if busy >= maxSending {
		return time.Hour // the end of a sending wakes
	}
	return max(next, 0)
}

// first sends a notice that is due at once, so that who waits for the answer finds the shop informed.
func (s *Server) first(ctx context.Context, n *notice) {
	if n == nil {
		return
	}
	s.mu.Lock()
	// Run may be sending it, or have sent it by now: what the shop has taken is not in the queue any more.
	queued := s.queue[n.id] == n
	theirs := queued && n.sending
	mine := queued && !n.sending && !n.held && !n.due.After(time.Now())
	n.sending = n.sending || mine
	s.mu.Unlock()
	// A payer who leaves does not take the notice along.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstWait)
	defer cancel()
	switch {
	case mine:
		s.deliver(ctx, n)
	case theirs:
		select {
		case <-n.tried:
		case <-ctx.Done():
		}
	}
}

// deliver sends a notice once, and what its behaviour sends besides, and decides when it is sent again.
// It was marked as being sent.
func (s *Server) deliver(ctx context.Context, n *notice) {
	taken := false
	var err error
	if n.forge {
		// What comes of a forged notice is the other side's to prove.
		_ = s.post(ctx, forgedSecret(s.key), n)
	}
	if !n.forgedOnly {
		for range 1 + n.duplicates {
			if e := s.post(ctx, s.cfg.Secret, n); e == nil {
				taken = true
			} else {
				err = e
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.poke()
	n.sending, n.held = false, false
	select {
	case <-n.tried:
	default:
		close(n.tried)
	}
	s.release(n)
	switch {
	case n.forgedOnly:
		delete(s.queue, n.id)
	case taken:
		s.end(n)
	case ctx.Err() != nil && n.sent == 0:
		// It was cut off, not refused: the next one is still the first.
		n.due = time.Now()
	case n.sent == len(Schedule):
		s.cfg.Log.Error("sandbox: a notice is given up", "payment", n.paymentID, "event", n.id, "err", err)
		s.end(n)
	default:
		n.due = time.Now().Add(Schedule[n.sent] / time.Duration(s.cfg.Speedup))
		n.sent++
		s.cfg.Log.Warn("sandbox: a notice was not taken", "payment", n.paymentID, "sent", n.sent, "err", err)
	}
}

// end takes a notice out of the queue for good. The lock is held.
func (s *Server) end(n *notice) {
	delete(s.queue, n.id)
	if err := s.write(entry{NoticeEnd: n.id}, false); err != nil {
		// It is sent once more after a restart, which the other side takes once.
		s.cfg.Log.Error("sandbox: the end of a notice was not kept", "err", err)
	}
}

// release lets held notices go after n, the newest first. The lock is held.
func (s *Server) release(n *notice) {
	at := slices.Index(s.held, n.id)
	if at < 0 {
		return
	}
	s.held = slices.Delete(s.held, at, at+1)
	if len(s.held) == 0 {
		return
	}
	if next := s.queue[s.held[len(s.held)-1]]; next != nil && next.held {
		next.due = time.Now()
	}
}

// forgedSecret is a secret that nobody shares with us.
func forgedSecret(key []byte) string {
	sum := sha256.Sum256(append([]byte("forged"), key...))
	return "whsec_" + base64.StdEncoding.EncodeToString(sum[:])
}

// post sends a notice under a secret and returns nil when it was taken.
func (s *Server) post(ctx context.Context, secret string, n *notice) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.NotifyURL, bytes.NewReader(n.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if err := cart.Sign(secret, req.Header, n.id, time.Now(), n.body); err != nil {
		return err
	}
	resp, err := s.cfg.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("notice answered with %s", resp.Status)
	}
	return nil
}
