package cart

import (
	"context"
	"fmt"
	"testing"
	"time"

	"livecart/proto"
)

func TestReaperCountsOnlyAnsweredTime(t *testing.T) {
	r := newReaper(Config{ReapAfter: 30 * time.Second})
	now := time.UnixMilli(0)
	one := []reservation{{attemptKey: attemptKey{"ann", "k"}, at: "1"}}
	r.overdue("s", one)
	r.pass(now)
	for range 29 {
		now = now.Add(time.Second)
		r.pass(now)
	}
	if late := r.overdue("s", one); len(late) != 0 {
		t.Fatalf("late after 29 s: %v", late)
	}
	// The ledger is silent for an hour.
	r.answeredAt = time.Time{}
	now = now.Add(time.Hour)
	r.pass(now)
	if late := r.overdue("s", one); len(late) != 0 {
		t.Fatalf("silent time counted: %v", late)
	}
	// A gap without a probe does not count either.
	now = now.Add(reapGap + time.Nanosecond)
	r.pass(now)
	if late := r.overdue("s", one); len(late) != 0 {
		t.Fatalf("a gap counted: %v", late)
	}
	now = now.Add(time.Second)
	r.pass(now)
	again := []reservation{{attemptKey: attemptKey{"ann", "k"}, at: "2"}}
	if late := r.overdue("s", append(again, one...)); len(late) != 1 || late[0].at != "1" {
		t.Fatalf("late after 30 s: %v", late)
	}
	r.overdue("s", nil)
	if len(r.seen) != 0 {
		t.Errorf("still seen: %v", r.seen)
	}
}

// A sale that closes is not counted any more; its reservations must not keep the reaper asking.
func TestReaperForgetsSales(t *testing.T) {
	r := newReaper(Config{ReapAfter: 30 * time.Second})
	now := time.UnixMilli(0)
	r.overdue("closed", []reservation{{attemptKey: attemptKey{"ann", "k"}, at: "1"}})
	for range 60 {
		now = now.Add(time.Second)
		r.pass(now)
		r.overdue("open", []reservation{{attemptKey: attemptKey{"bob", "k"}, at: "1"}})
	}
	if _, ok := r.seen["open"]; !ok || len(r.seen) != 2 {
		t.Fatalf("seen after a minute: %v", r.seen)
	}
	now = now.Add(time.Second)
	r.pass(now)
	if _, ok := r.seen["open"]; !ok || len(r.seen) != 1 {
		t.Errorf("seen after more than a minute: %v", r.seen)
	}
}

// stranded leaves a reservation of ann's key k for 2 pieces that no gateway asks about.
func (s *stall) stranded() *bid {
	s.t.Helper()
	cmd := &proto.FlashBuy{SaleId: s.sale.Id, Quantity: 2}
	hash, err := contentHash(cmd)
	s.must(err)
	b := &bid{attempt: &proto.FlashAttempt{SaleId: s.sale.Id, RoomId: "demo", Buyer: buyer("ann").User, Key: "k", Hash: hash, Quantity: 2}}
	words, err := s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{b})
	s.must(err)
	s.expect("word", words[0], "reserved")
	return b
}

func TestVoidThenLateRequest(t *testing.T) {
	s := newStall(t, 5, 0)
	b := s.stranded()
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	k := newKeeper(s.cfg, l.resyncer)
	s.must(k.keep(t.Context(), s.sale.Id))
	_, held, pending := s.counters()
	s.expect("before its time", fmt.Sprint(held, " ", pending), "2 1")
	k.reaper.answered += s.cfg.ReapAfter
	s.must(k.keep(t.Context(), s.sale.Id))
	available, held, pending := s.counters()
	s.expect("voided", fmt.Sprint(available, " ", held, " ", pending), "5 0 0")

	late := l.book(t.Context(), []*proto.FlashAttempt{b.attempt})
	s.expect("a late request", late.decisions[0].Outcome, outcomeVoid)
	s.ledger()
	_, err = s.buy(s.cart, "ann", "k", 2)
	s.refused(err, ErrAttemptExpired)
	_, err = s.buy(s.cart, "ann", "k", 1)
	s.refused(err, ErrKeyConflict)
	_, err = s.buy(s.cart, "ann", "k2", 2)
	s.must(err)
	s.expect("sold", s.sold(), int64(2))
}

// Another of many processes has just counted the sale, as it always may have: who saw the reservation
// first ends it in time all the same.
func TestReaperNeedsNoTurn(t *testing.T) {
	s := newStall(t, 5, 0)
	s.stranded()
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	k := newKeeper(s.cfg, l.resyncer)
	s.must(k.keep(t.Context(), s.sale.Id))
	s.exec(`UPDATE sale SET resynced_at = clock_timestamp() + interval '1 hour'`)
	due, err := k.look(t.Context())
	s.must(err)
	s.expect("due", len(due), 0)
	k.reaper.answered += s.cfg.ReapAfter
	_ = k.turn(t.Context()) // no ledger answers its probe
	s.expect("outcome", scan[string](s.market, `SELECT outcome FROM attempt`), "void")
	available, held, pending := s.counters()
	s.expect("voided", fmt.Sprint(available, " ", held, " ", pending), "5 0 0")
	s.expect("to look at", len(k.reaper.ripe()), 0)
}

// Without Postgres no time passes, however often workers answer that they are there.
func TestReaperWaitsWithoutPostgres(t *testing.T) {
	s := newStall(t, 5, 0)
	s.stranded()
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	k := newKeeper(s.cfg, l.resyncer)
	s.must(k.keep(t.Context(), s.sale.Id))
	k.reaper.pass(time.Now().Add(-time.Second))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if k.turn(ended) == nil {
		t.Fatal("a turn without servers went well")
	}
	k.reaper.pass(time.Now())
	s.expect("time in which the ledger answered", k.reaper.answered, time.Duration(0))
}

func TestLedgerReaps(t *testing.T) {
	s := newStall(t, 5, 0)
	s.cfg.ReapAfter = MinReapAfter
	s.stranded()
	s.ledger()
	s.until("the reservation is voided", func() bool {
		return scan[int64](s.market, `SELECT count(*) FROM attempt WHERE outcome = 'void'`) == 1
	})
	s.until("its pieces are back", func() bool {
		available, held, pending := s.counters()
		return available == "5" && held == "0" && pending == 0
	})
	_, err := s.buy(s.cart, "ann", "k", 2)
	s.refused(err, ErrAttemptExpired)
}

// The void and the order race for the key; whichever is first stands, and the stock agrees with it.
func TestVoidRacesOrder(t *testing.T) {
	s := newStall(t, 100, 0)
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	k := newKeeper(s.cfg, l.resyncer)
	voided, ordered := 0, 0
	for round := range 20 {
		cmd := &proto.FlashBuy{SaleId: s.sale.Id, Quantity: 1}
		hash, err := contentHash(cmd)
		s.must(err)
		a := &proto.FlashAttempt{SaleId: s.sale.Id, RoomId: "demo", Buyer: buyer("ann").User, Key: fmt.Sprint("k", round), Hash: hash, Quantity: 1}
		_, err = s.cart.admission.callReserve(place{s.sale.Id, "demo"}, []*bid{{attempt: a}})
		s.must(err)
		undecided, err := l.resyncer.count(t.Context(), s.sale.Id)
		s.must(err)
		ctx := context.WithoutCancel(t.Context())
		var got booking
		race := []func(){
			func() { s.ok(k.reaper.void(ctx, s.sale.Id, undecided)) },
			func() { got = l.book(ctx, []*proto.FlashAttempt{a}) },
		}
		// The test's own goroutine is usually first.
		done := make(chan struct{})
		go func() {
			defer close(done)
			race[round%2]()
		}()
		race[1-round%2]()
		<-done
		settleAttempts(t.Context(), s.cfg, got.asked, got.decisions)
		s.must(l.resync(t.Context(), s.sale.Id))
		switch got.decisions[0].Outcome {
		case outcomeVoid:
			voided++
		case outcomeOrdered:
			ordered++
		default:
			t.Fatalf("outcome %v", got.decisions[0].Outcome)
		}
		available, held, pending := s.counters()
		s.expect("counters", fmt.Sprintf("%s %s %d", available, held, pending), fmt.Sprintf("%d 0 0", 100-ordered))
	}
	s.expect("sold", s.sold(), int64(ordered))
	t.Logf("%d voided, %d ordered", voided, ordered)
}

// A reservation left by a gateway that died is found by its key on another.
func TestStrandedReservationIsFinishedElsewhere(t *testing.T) {
	s := newStall(t, 2, 0)
	s.stranded()
	s.ledger()
	_, err := s.buy(s.gateway(), "ann", "k", 1)
	s.refused(err, ErrKeyConflict)
	_, err = s.buy(s.gateway(), "ann", "k", 2)
	s.must(err)
	s.expect("sold", s.sold(), int64(2))
	s.settled()
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "0 0")
}
