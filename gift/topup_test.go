package gift

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// till is a provider that remembers what it was asked.
type till struct {
	sync.Mutex
	fail  error
	asked map[string]int64
}

func (p *till) Create(_ context.Context, paymentID string, amount int64, currency, _ string, expires time.Time) (string, error) {
	p.Lock()
	defer p.Unlock()
	if p.fail != nil {
		return "", p.fail
	}
	if currency != Currency || time.Until(expires) < 29*time.Minute {
		return "", errors.New("currency " + currency + ", expires " + expires.String())
	}
	p.asked[paymentID] = amount
	return "https://pay.example/" + paymentID, nil
}

func (p *till) Query(context.Context, string) (Payment, error) {
	return Payment{}, errors.New("not asked for in this test")
}

func (p *till) Refund(context.Context, string, string, int64, string) (bool, error) {
	return false, errors.New("not asked for in this test")
}

func (w *world) till() (*till, *Gifts) {
	p := &till{asked: map[string]int64{}}
	return p, w.newGifts(func(c *Config) { c.Provider = p })
}

func TestTopUp(t *testing.T) {
	w := newWorld(t)
	p, g := w.till()
	ctx := t.Context()
	_, private := w.listen(live)
	first, err := g.TopUp(ctx, "ann", "k", 70)
	if err != nil {
		t.Fatal(err)
	}
	if first.Amount != 1000 || first.Currency != "CNY" || first.State != AwaitingPayment || first.URL != "https://pay.example/"+first.ID || first.ID[:4] != "top_" {
		t.Errorf("%+v", first)
	}
	again, err := g.TopUp(ctx, "ann", "k", 70)
	if err != nil || again.ID != first.ID || again.URL != first.URL || len(p.asked) != 1 {
		t.Errorf("again %+v, %v; provider asked %v", again, err, p.asked)
	}
	if _, err := g.TopUp(ctx, "ann", "k", 71); !errors.Is(err, ErrTopUpConflict) {
		t.Errorf("other beans under the key: %v", err)
	}
	if another, err := g.TopUp(ctx, "bo", "k", 70); err != nil || another.ID == first.ID {
		t.Errorf("another user's key: %+v, %v", another, err)
	}

	good := Notice{Provider: "sandbox", EventID: "e1", PaymentID: first.ID, Amount: 1000, Currency: "CNY"}
	for _, tt := range []struct {
		name   string
		change func(*Notice)
		want   error
	}{
		{"less money", func(n *Notice) { n.EventID, n.Amount = "less", 999 }, ErrWrongAmount},
		{"more money", func(n *Notice) { n.EventID, n.Amount = "more", 1001 }, ErrWrongAmount},
		{"other money", func(n *Notice) { n.EventID, n.Currency = "other", "USD" }, ErrWrongAmount},
		{"unknown top-up", func(n *Notice) { n.EventID, n.PaymentID = "unknown", "top_none" }, ErrUnknownTopUp},
		{"no event", func(n *Notice) { n.EventID = "" }, invalid("")},
	} {
		n := good
		tt.change(&n)
		for range 2 {
			if err := g.Paid(ctx, n); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
	}
	if n := w.balance("ann"); n != 0 {
		t.Fatalf("wrong notices credited %d beans", n)
	}
	if n := w.number(`SELECT count(*) FROM topup_notice WHERE result = 'amount_mismatch'`); n != 3 {
		t.Errorf("%d mismatches recorded, want 3", n)
	}

	var notices sync.WaitGroup
	for range 8 {
		notices.Go(func() {
			if err := g.Paid(ctx, good); err != nil {
				t.Error(err)
			}
		})
	}
	notices.Wait()
	second := good
	second.EventID = "e2" // paid twice over
	if err := g.Paid(ctx, second); err != nil {
		t.Error(err)
	}
	if n := w.balance("ann"); n != 70 {
		t.Errorf("balance %d, want 70", n)
	}
	if ev := receive(t, private); ev.UserId != "ann" || ev.Event.GetWalletBalance().GetBalance() != 70 {
		t.Errorf("private event %v", ev)
	}
	if n := w.number(`SELECT count(*) FROM topup_notice WHERE event_id = 'e2' AND result = 'duplicate'`); n != 1 {
		t.Error("the second payment is not recorded as a duplicate")
	}
	if paid, err := g.TopUp(ctx, "ann", "k", 70); err != nil || paid.State != Paid {
		t.Errorf("afterwards %+v, %v", paid, err)
	}
}

func TestTopUpLimits(t *testing.T) {
	w := newWorld(t)
	_, g := w.till()
	for beans, want := range map[int64]error{-1: ErrBeans, 0: ErrBeans, 1: nil, MaxTopUp: nil, MaxTopUp + 1: ErrBeans, 1 << 62: ErrBeans} {
		if _, err := g.TopUp(t.Context(), "ann", "k"+time.Duration(beans).String(), beans); !errors.Is(err, want) {
			t.Errorf("%d beans: %v, want %v", beans, err, want)
		}
	}
	if _, err := g.TopUp(t.Context(), "", "k", 7); !errors.Is(err, ErrSignIn) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := g.TopUp(t.Context(), "ann", "", 7); err == nil {
		t.Error("a top-up without a key")
	}
	if _, err := w.newGifts().TopUp(t.Context(), "ann", "k", 7); !errors.Is(err, ErrNoTopUps) {
		t.Errorf("without a provider: %v", err)
	}
}

func TestProviderAway(t *testing.T) {
	w := newWorld(t)
	p, g := w.till()
	p.fail = errors.New("connection refused")
	if _, err := g.TopUp(t.Context(), "ann", "k", 7); !errors.Is(err, ErrNoProvider) {
		t.Fatalf("%v, want %v", err, ErrNoProvider)
	}
	p.fail = nil
	got, err := g.TopUp(t.Context(), "ann", "k", 7)
	if err != nil || got.URL == "" {
		t.Errorf("%+v, %v", got, err)
	}
	if n := w.number(`SELECT count(*) FROM topup`); n != 1 {
		t.Errorf("%d top-ups, want 1", n)
	}
}

// A notice that came before its top-up is known is taken when the provider repeats it.
func TestEarlyNotice(t *testing.T) {
	w := newWorld(t)
	_, g := w.till()
	n := Notice{Provider: "sandbox", EventID: "e", PaymentID: "top_1", Amount: 100, Currency: "CNY"}
	if err := g.Paid(t.Context(), n); !errors.Is(err, ErrUnknownTopUp) {
		t.Fatal(err)
	}
	w.exec(`INSERT INTO topup (id, user_id, key, beans, amount, currency, expires_at) VALUES ('top_1', 'ann', 'k', 7, 100, 'CNY', now())`)
	if err := g.Paid(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if w.balance("ann") != 7 {
		t.Errorf("balance %d, want 7", w.balance("ann"))
	}
}
