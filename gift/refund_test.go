package gift

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"
)

// counter is a provider that can be asked everything; what it has not been told of is unknown.
type counter struct {
	till
	payments map[string]Payment
	refunds  map[string]int64 // by refund id
	calls    int
	answer   func(call int) (done bool, err error)
}

func (c *counter) Query(_ context.Context, paymentID string) (Payment, error) {
	c.Lock()
	defer c.Unlock()
	if p, ok := c.payments[paymentID]; ok {
		return p, nil
	}
	return Payment{State: PaymentUnknown}, c.fail
}

func (c *counter) Refund(_ context.Context, refundID, _ string, amount int64, currency string) (bool, error) {
	c.Lock()
	defer c.Unlock()
	if currency != Currency && currency != "USD" {
		return false, errors.New("currency " + currency)
	}
	c.calls++
	c.refunds[refundID] = amount
	if c.answer != nil {
		return c.answer(c.calls)
	}
	return true, nil
}

func (w *world) counter() (*counter, *Gifts, *Ledger) {
	c := &counter{till: till{asked: map[string]int64{}}, payments: map[string]Payment{}, refunds: map[string]int64{}}
	set := func(cfg *Config) {
		cfg.Provider, cfg.AskAfter, cfg.RefundPause, cfg.SweepEvery = c, time.Nanosecond, time.Nanosecond, time.Millisecond
	}
	return c, w.newGifts(set), w.newLedger(set)
}

func TestRefundIsAskedForUntilDone(t *testing.T) {
	w := newWorld(t)
	c, g, l := w.counter()
	lot := w.buy(g, "ann", "a", 70)
	c.answer = func(call int) (bool, error) {
		switch call {
		case 1:
			return false, errors.New("connection refused\x00")
		case 2:
			return false, nil
		}
		return true, nil
	}
	r, err := g.RefundLot(t.Context(), lot.ID, "op", "k", 7)
	if err != nil {
		t.Fatal(err)
	}
	for call, said := range []string{"connection refused", "not done yet", ""} {
		w.exec(`UPDATE topup_refund SET next_at = now()`)
		if n, err := l.refundDue(t.Context()); n != 1 || err != nil {
			t.Fatalf("look %d asked for %d, %v", call, n, err)
		}
		var state, last string
		if err := w.pool.QueryRow(t.Context(), `SELECT state, last_error FROM topup_refund`).Scan(&state, &last); err != nil {
			t.Fatal(err)
		}
		if last != said || (state == RefundDone) != (call == 2) {
			t.Errorf("look %d: %s, %q", call, state, last)
		}
	}
	if n, err := l.refundDue(t.Context()); n != 0 || err != nil {
		t.Errorf("once done asked for %d, %v", n, err)
	}
	if len(c.refunds) != 1 || c.refunds[r.ID] != 100 {
		t.Errorf("the provider was asked for %v, want %s of 100", c.refunds, r.ID)
	}
	if again, err := g.RefundLot(t.Context(), lot.ID, "op", "k", 7); err != nil || again.State != RefundDone {
		t.Errorf("afterwards %+v, %v", again, err)
	}
}

// Money goes back through the provider that took it, also when another one takes payments by now.
func TestRefundGoesThroughTheProviderThatWasPaid(t *testing.T) {
	w := newWorld(t)
	_, g, l := w.counter()
	lot := w.buy(g, "ann", "a", 70)
	now := w.newGifts(func(c *Config) { c.ProviderName = "another" })
	r, err := now.RefundLot(t.Context(), lot.ID, "op", "k", 7)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.refundDue(t.Context()); n != 1 || err != nil {
		t.Errorf("asked for %d, %v", n, err)
	}
	if again, err := now.RefundLot(t.Context(), lot.ID, "op", "k", 7); err != nil || again.ID != r.ID || again.State != RefundDone {
		t.Errorf("afterwards %+v, %v", again, err)
	}
}

// What a worker has claimed is left to it for a while, and then asked for again.
func TestRefundClaims(t *testing.T) {
	w := newWorld(t)
	c, g, l := w.counter()
	lot := w.buy(g, "ann", "a", 70)
	if _, err := g.RefundLot(t.Context(), lot.ID, "op", "k", 7); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), takeRefunds, "sandbox", 1, 60.0); err != nil {
		t.Fatal(err)
	}
	if n, err := l.refundDue(t.Context()); n != 0 || err != nil {
		t.Errorf("claimed by another: asked for %d, %v", n, err)
	}
	w.exec(`UPDATE topup_refund SET next_at = now(), provider = 'other'`)
	if n, err := l.refundDue(t.Context()); n != 0 || err != nil {
		t.Errorf("another provider's: asked for %d, %v", n, err)
	}
	w.exec(`UPDATE topup_refund SET provider = 'sandbox'`)
	if n, err := l.refundDue(t.Context()); n != 1 || err != nil || c.calls != 1 {
		t.Errorf("a claim that is over: asked for %d, %v", n, err)
	}
}

// A look's rows are its worker's until the last of them has had its time, however slow the provider is.
func TestRefundClaimsLastForTheWholeLook(t *testing.T) {
	w := newWorld(t)
	c, g, l := w.counter()
	lot := w.buy(g, "ann", "a", 70)
	for i := range maxAsked {
		if _, err := g.RefundLot(t.Context(), lot.ID, "op", strconv.Itoa(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	c.answer = func(call int) (bool, error) {
		left := w.number(`SELECT floor(extract(epoch FROM min(next_at) - clock_timestamp())) FROM topup_refund WHERE state = 'due'`)
		if call == 1 && left < int64(maxAsked*askTimeout/time.Second) {
			t.Errorf("the claims last %d s", left)
		}
		return true, nil
	}
	if n, err := l.refundDue(t.Context()); n != maxAsked || err != nil {
		t.Errorf("asked for %d, %v", n, err)
	}
}

// Money of another amount or currency, and a second payment, go back, each once however often its
// notice comes.
func TestMoneyThatBoughtNothingGoesBack(t *testing.T) {
	w := newWorld(t)
	c, g, l := w.counter()
	top, err := g.TopUp(t.Context(), "ann", "k", 70)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, n := range []Notice{
			{EventID: "less", Amount: 999, Currency: "CNY"}, {EventID: "nothing", Amount: 0, Currency: "CNY"},
			{EventID: "other", Amount: 1000, Currency: "USD"}, {EventID: "right", Amount: 1000, Currency: "CNY"},
			{EventID: "again", Amount: 1000, Currency: "CNY"},
		} {
			n.Provider, n.PaymentID = "sandbox", top.ID
			if err := g.Paid(t.Context(), n); err != nil && !errors.Is(err, ErrWrongAmount) {
				t.Fatal(err)
			}
		}
	}
	if n, err := l.refundDue(t.Context()); n != 3 || err != nil {
		t.Errorf("asked for %d, %v, want 3", n, err)
	}
	sum := int64(0)
	for _, amount := range c.refunds {
		sum += amount
	}
	if sum != 2999 || w.balance("ann") != 70 {
		t.Errorf("%v went back, %d beans", c.refunds, w.balance("ann"))
	}
}

func TestMissingNoticeIsMadeGood(t *testing.T) {
	w := newWorld(t)
	c, g, l := w.counter()
	paid := Payment{State: PaymentPaid, Amount: 1000, Currency: "CNY", EventID: "e", PaidAt: time.Now()}
	wrong, nameless := paid, paid
	wrong.Amount, wrong.EventID, nameless.EventID = 1, "w", ""
	const hours = 2 * time.Hour
	tests := []struct {
		name    string
		answer  Payment
		fail    error
		age     time.Duration // of the end of its window
		credit  int64
		forever bool // is not asked about again
	}{
		{"paid", paid, nil, 0, 70, true},
		{"open", Payment{State: PaymentOpen}, nil, 0, 0, false},
		{"open just after its window", Payment{State: PaymentOpen}, nil, time.Minute, 0, false},
		{"open long after its window", Payment{State: PaymentOpen}, nil, hours, 0, true},
		{"closed", Payment{State: PaymentClosed}, nil, 0, 0, true},
		{"unknown yet", Payment{State: PaymentUnknown}, nil, 0, 0, false},
		{"unknown and over", Payment{State: PaymentUnknown}, nil, time.Minute, 0, true},
		{"paid with another amount", wrong, nil, 0, 0, true},
		{"paid by no event", nameless, nil, 0, 0, false},
		{"no answer", Payment{}, errors.New("connection refused"), hours, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.fail = nil
			top, err := g.TopUp(t.Context(), tt.name, "k", 70)
			if err != nil {
				t.Fatal(err)
			}
			if tt.fail == nil {
				if tt.answer.EventID != "" {
					tt.answer.EventID += top.ID
				}
				c.payments[top.ID] = tt.answer
			}
			c.fail = tt.fail
			w.exec(`UPDATE topup SET ask_at = NULL WHERE id <> $1`, top.ID)
			w.exec(`UPDATE topup SET ask_at = now(), expires_at = now() - make_interval(secs => $2) + CASE WHEN $2 = 0 THEN interval '1 hour' ELSE interval '0' END WHERE id = $1`,
				top.ID, tt.age.Seconds())
			if n, err := l.askOpen(t.Context()); n != 1 || err != nil {
				t.Fatalf("asked about %d, %v", n, err)
			}
			if got := w.balance(tt.name); got != tt.credit {
				t.Errorf("balance %d, want %d", got, tt.credit)
			}
			if n := w.number(`SELECT count(*) FROM topup WHERE id = $1 AND ask_at IS NULL`, top.ID); (n == 1) != tt.forever {
				t.Errorf("asked no more: %v, want %v", n == 1, tt.forever)
			}
			if tt.credit > 0 {
				// The notice that comes after all is the same event.
				if err := g.Paid(t.Context(), Notice{Provider: "sandbox", EventID: tt.answer.EventID, PaymentID: top.ID, Amount: 1000, Currency: "CNY"}); err != nil {
					t.Error(err)
				}
				if got := w.balance(tt.name); got != tt.credit {
					t.Errorf("balance after the notice %d, want %d", got, tt.credit)
				}
			}
		})
	}
}

// A running worker asks by itself.
func TestLedgerAsksProvider(t *testing.T) {
	w := newWorld(t)
	c, g, l := w.counter()
	top, err := g.TopUp(t.Context(), "ann", "k", 70)
	if err != nil {
		t.Fatal(err)
	}
	w.runLedger(l)
	c.Lock()
	c.payments[top.ID] = Payment{State: PaymentPaid, Amount: 1000, Currency: "CNY", EventID: "e"}
	c.Unlock()
	w.eventually("the top-up is credited", func() bool { return w.balance("ann") == 70 })
	if _, err := g.RefundLot(t.Context(), w.lot("ann", "topup").ID, "op", "k", 0); err != nil {
		t.Fatal(err)
	}
	w.eventually("the refund is done", func() bool { return w.number(`SELECT count(*) FROM topup_refund WHERE state = 'done'`) == 1 })
}

func TestFullJitter(t *testing.T) {
	for n := range 40 {
		longest := min(time.Minute, time.Second<<min(n, 20))
		var most time.Duration
		for range 300 {
			d := fullJitter(time.Second, time.Minute, n)
			if d <= 0 || d > longest {
				t.Fatalf("pause %d is %v, at most %v", n, d, longest)
			}
			most = max(most, d)
		}
		if most < longest/2 {
			t.Errorf("300 pauses %d stay under %v of %v", n, most, longest)
		}
	}
}
