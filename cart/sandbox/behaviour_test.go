package sandbox

import (
	"net/http"
	"testing"
	"time"

	"livecart/cart"
)

// TestBehaviour has the sandbox misbehave in each way, for one payment alone.
func TestBehaviour(t *testing.T) {
	for _, row := range []struct {
		name  string
		b     Behaviour
		life  time.Duration // of the payment; 0 for long
		check func(d *desk, address string)
	}{
		{"at its best", Behaviour{}, 0, func(d *desk, address string) {
			d.pay(address)
			d.quiet("pay_1")
			d.tally(1, 0)
		}},
		{"duplicate", Behaviour{Duplicate: 2}, 0, func(d *desk, address string) {
			d.pay(address)
			d.quiet("pay_1")
			d.tally(3, 0)
			if a, b := d.next(), d.next(); a != b {
				d.t.Errorf("%+v and %+v are two events", a, b)
			}
		}},
		{"never", Behaviour{Never: true}, 0, func(d *desk, address string) {
			d.pay(address)
			d.quiet("pay_1")
			d.tally(0, 0)
			if c := d.charge("pay_1"); c.State != cart.ChargePaid {
				d.t.Errorf("the charge is %+v", c)
			}
		}},
		{"forged, then the true one", Behaviour{Forge: true}, 0, func(d *desk, address string) {
			d.pay(address)
			d.quiet("pay_1")
			d.tally(1, 1)
		}},
		{"forged alone", Behaviour{Forge: true, Never: true}, 0, func(d *desk, address string) {
			d.pay(address)
			d.quiet("pay_1")
			d.tally(0, 1)
		}},
		{"wrong amount and currency", Behaviour{Amount: 1, Currency: "USD"}, 0, func(d *desk, address string) {
			d.pay(address)
			if n := d.next(); n.Amount != 1 || n.Currency != "USD" {
				d.t.Errorf("the notice is %+v", n)
			}
			if c := d.charge("pay_1"); c.Receipts[0].Amount != 1 {
				d.t.Errorf("the charge is %+v", c)
			}
		}},
		{"paid again", Behaviour{PayAgain: true}, 0, func(d *desk, address string) {
			d.pay(address)
			d.pay(address)
			a, b := d.next(), d.next()
			if a.EventID == b.EventID || a.TransactionID == b.TransactionID || len(d.charge("pay_1").Receipts) != 2 {
				d.t.Errorf("%+v and %+v are one payment", a, b)
			}
		}},
		{"delayed", Behaviour{DelayMs: 50}, 0, func(d *desk, address string) {
			before := time.Now()
			d.pay(address)
			d.next()
			if took := time.Since(before); took < 50*time.Millisecond {
				d.t.Errorf("it came after %v", took)
			}
		}},
		{"after expiry", Behaviour{AfterExpiry: true}, 300 * time.Millisecond, func(d *desk, address string) {
			d.pay(address)
			n := d.next()
			if late := time.Since(n.PaidAt); late < time.Second {
				d.t.Errorf("it came %v after the payment", late)
			}
		}},
		{"money after the end", Behaviour{NeverCloses: true}, 0, func(d *desk, address string) {
			d.must(d.client.Close(d.t.Context(), "pay_1"))
			if status, body := d.pay(address); status != http.StatusOK {
				d.t.Errorf("%d %s", status, body)
			}
			d.next()
			if c := d.charge("pay_1"); c.State != cart.ChargePaid {
				d.t.Errorf("the charge is %+v", c)
			}
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := newDesk(t)
			life := row.life
			if life == 0 {
				life = soon
			}
			d.must(d.client.Behave(t.Context(), "pay_1", row.b))
			row.check(d, d.bill("pay_1", time.Now().Add(life)))
			// Another payment is treated well.
			before := d.count()
			d.pay(d.bill("pay_2", time.Now().Add(soon)))
			d.quiet("pay_2")
			if d.count() != before+1 {
				t.Errorf("another payment sent %d notices", d.count()-before)
			}
		})
	}
}

// tally checks how many notices came, true and forged.
func (d *desk) tally(good, forged int) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.notices) != good || d.forged != forged {
		d.t.Errorf("%d notices and %d forged ones came, want %d and %d", len(d.notices), d.forged, good, forged)
	}
}

func TestReorder(t *testing.T) {
	d := newDesk(t)
	d.must(d.client.Behave(t.Context(), "", Behaviour{Reorder: true}))
	first, second := d.bill("pay_1", time.Now().Add(soon)), d.bill("pay_2", time.Now().Add(soon))
	d.pay(first)
	d.pay(second)
	if a, b := d.next(), d.next(); a.PaymentID != "pay_2" || b.PaymentID != "pay_1" {
		t.Errorf("%s came before %s", a.PaymentID, b.PaymentID)
	}
	// One that nobody overtakes comes all the same.
	d.pay(d.bill("pay_3", time.Now().Add(soon)))
	if n := d.next(); n.PaymentID != "pay_3" {
		t.Errorf("%s came", n.PaymentID)
	}
}

func TestNoticeDuringCreate(t *testing.T) {
	d := newDesk(t)
	d.must(d.client.Behave(t.Context(), "", Behaviour{Early: true}))
	d.bill("pay_1", time.Now().Add(soon))
	if d.count() != 1 {
		t.Errorf("%d notices came before create answered", d.count())
	}
}

func TestSlowAndRefusedCreate(t *testing.T) {
	d := newDesk(t)
	d.must(d.client.Behave(t.Context(), "", Behaviour{RefuseCreate: 2, SlowCreateMs: 60}))
	expires := time.Now().Add(soon)
	for range 2 {
		_, err := d.client.Create(t.Context(), "pay_1", 1, "CNY", "", expires)
		d.word(err, "unavailable")
	}
	if c := d.charge("pay_1"); c.State != cart.ChargeUnknown {
		t.Errorf("a refused payment is %s", c.State)
	}
	before := time.Now()
	_, err := d.client.Create(t.Context(), "pay_1", 1, "CNY", "", expires)
	d.must(err)
	if took := time.Since(before); took < 60*time.Millisecond {
		t.Errorf("create took %v", took)
	}
}

func TestBehaviourOutOfRange(t *testing.T) {
	d := newDesk(t)
	for _, b := range []Behaviour{
		{RefuseCreate: -1}, {RefundFail: -1}, {Duplicate: 101}, {SlowCreateMs: 60_001}, {DelayMs: maxWaitMs + 1}, {RefundDelayMs: -1},
		{Amount: -1}, {Amount: MaxAmount + 1}, {Currency: "a currency"},
	} {
		d.word(d.client.Behave(t.Context(), "pay_1", b), "refused")
	}
	d.must(d.client.Behave(t.Context(), "pay_1", Behaviour{Duplicate: 100, SlowCreateMs: 60_000, DelayMs: maxWaitMs, Amount: MaxAmount}))
	d.word(d.client.Behave(t.Context(), "a b", Behaviour{}), "not_found")
}
