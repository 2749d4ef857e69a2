package cart

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/bus"
)

func TestBuyConfirmsAfterTheCommit(t *testing.T) {
	s := newStall(t, 5, 2)
	s.ledger()
	events := s.roomEvents()
	var mu sync.Mutex
	var told []*proto.Order
	sub, err := s.cfg.Bus.SubscribePrivate(func(e *proto.PrivateEvents) {
		mu.Lock()
		defer mu.Unlock()
		for _, ev := range e.Events {
			told = append(told, ev.Event.GetOrderUpdated().GetOrder())
		}
	})
	s.must(err)
	defer sub.Close()

	order, err := s.cart.Buy(t.Context(), "demo", Buyer{User: &proto.User{Id: "ann{}:*", Name: "Ann"}, Source: "clip", Guide: "g1"}, "k:1}", &proto.FlashBuy{SaleId: s.sale.Id, Quantity: 2})
	s.must(err)
	stored, err := readOrder(t.Context(), s.pool(), order.Id)
	s.must(err)
	if !proto.Equal(order, stored) {
		t.Errorf("the buyer was told\n%v\nbut stored is\n%v", order, stored)
	}
	s.expect("state", order.State, proto.OrderState_ORDER_STATE_AWAITING_PAYMENT)
	s.expect("amount", order.Amount, int64(1000))
	s.expect("window", order.ExpiresAtMs-order.CreatedMs, s.cfg.FlashPayWindow.Milliseconds())
	s.expect("source", scan[string](s.market, `SELECT source || guide FROM orders WHERE id = $1`, order.Id), "clipg1")
	s.expect("sold", s.sold(), int64(2))
	s.until("the buyer is told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == 1 && told[0].Id == order.Id
	})
	s.until("the room knows the stock", func() bool {
		return heard(events(), func(ev *proto.Event) bool {
			stock := ev.GetFlashStock()
			return stock != nil && stock.SaleId == s.sale.Id && stock.Available == 3 && stock.Held == 0 && !stock.Paused && ev.Seq == 0
		})
	})
}

func TestBuyRefusals(t *testing.T) {
	s := newStall(t, 3, 2)
	s.ledger()
	later := s.start(&proto.FlashStart{ListingId: "pot", Price: 100, Quantity: 1, StartsAtMs: time.Now().Add(time.Hour).UnixMilli(), DurationMs: 60_000})
	cmd := func(sale string, n int32) *proto.FlashBuy { return &proto.FlashBuy{SaleId: sale, Quantity: n} }
	for _, c := range []struct {
		name string
		room string
		by   Buyer
		key  string
		cmd  *proto.FlashBuy
		want error
	}{
		{"nobody", "demo", Buyer{}, "k", cmd(s.sale.Id, 1), ErrSignInRequired},
		{"no key", "demo", buyer("a"), "", cmd(s.sale.Id, 1), ErrRequestIDRequired},
		{"no piece", "demo", buyer("b"), "k", cmd(s.sale.Id, 0), ErrInvalidQuantity},
		{"less than none", "demo", buyer("c"), "k", cmd(s.sale.Id, -1), ErrInvalidQuantity},
		{"too many pieces", "demo", buyer("d"), "k", cmd(s.sale.Id, 100), ErrInvalidQuantity},
		{"most pieces, not there", "demo", buyer("e"), "k", cmd(s.sale.Id, 99), ErrSoldOut},
		{"over the limit", "demo", buyer("f"), "k", cmd(s.sale.Id, 3), ErrLimitPerBuyer},
		{"unknown sale", "demo", buyer("g"), "k", cmd("sale_x", 1), ErrSaleNotFound},
		{"malformed sale id", "demo", buyer("h"), "k", cmd("}{", 1), ErrSaleNotFound},
		{"no sale id", "demo", buyer("i"), "k", nil, ErrSaleNotFound},
		{"another room", "other", buyer("j"), "k", cmd(s.sale.Id, 1), ErrSaleNotFound},
		{"not started", "demo", buyer("k"), "k", cmd(later.Id, 1), ErrNotStarted},
		{"a host", "demo", Buyer{User: host}, "k", cmd(s.sale.Id, 1), ErrOwnSale},
		{"a moderator", "demo", Buyer{User: &proto.User{Id: "m", Role: proto.Role_ROLE_MODERATOR}}, "k", cmd(s.sale.Id, 1), ErrOwnSale},
		{"the host as a viewer", "demo", buyer("h1"), "k", cmd(s.sale.Id, 1), ErrOwnSale},
		{"a user id with NUL", "demo", buyer("x\x00"), "k", cmd(s.sale.Id, 1), ErrInvalid},
		{"a user id that is no UTF-8", "demo", buyer("\xff"), "k", cmd(s.sale.Id, 1), ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.cart.Buy(t.Context(), c.room, c.by, c.key, c.cmd)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	s.expect("recorded outcomes", scan[int64](s.market, `SELECT count(*) FROM attempt`), int64(0))
	s.settled()
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "3 0")
}

func TestBuyRateLimit(t *testing.T) {
	s := newStall(t, 9, 0)
	s.ledger()
	for i := range buyRate {
		_, err := s.buy(s.cart, "ann", fmt.Sprint("k", i), 1)
		s.must(err)
	}
	_, err := s.buy(s.cart, "ann", "k9", 1)
	s.refused(err, ErrRateLimited)
	var p *proto.Problem
	if !errors.As(err, &p) || p.RetryAfter <= 0 || p.RetryAfter > time.Second {
		t.Errorf("retry after: %v", err)
	}
	_, err = s.buy(s.cart, "bob", "k9", 1)
	s.must(err)
}

// A batch that straddles the end of the stock sells exactly what is there.
func TestCrowdSellsEverythingAndNoMore(t *testing.T) {
	s := newStall(t, 37, 1)
	s.ledger()
	s.ledger()
	events := s.roomEvents()
	answers := s.crowd("v", 400, s.cart, s.gateway())
	ordered := 0
	for who, err := range answers {
		switch {
		case err == nil:
			ordered++
		case !errors.Is(err, ErrSoldOut):
			t.Errorf("%s: %v", who, err)
		}
	}
	s.expect("confirmed", ordered, 37)
	s.expect("orders", s.orders(), int64(37))
	s.expect("sold", s.sold(), int64(37))
	s.settled()
	s.until("flash_sold_out", func() bool {
		return heard(events(), func(ev *proto.Event) bool { return ev.GetFlashSoldOut().GetSaleId() == s.sale.Id && ev.Seq > 0 })
	})
	// Every refusal stands under its key.
	for who, before := range answers {
		if before != nil {
			_, err := s.buy(s.gateway(), who, "k", 1)
			s.refused(err, ErrSoldOut)
			break
		}
	}
}

func TestKeyHasOneOutcome(t *testing.T) {
	s := newStall(t, 5, 0)
	s.ledger()
	other := s.gateway()
	first, err := s.buy(s.cart, "ann", "k", 2)
	s.must(err)
	t.Run("again elsewhere", func(t *testing.T) {
		again, err := s.buy(other, "ann", "k", 2)
		s.must(err)
		s.expect("order", again.Id, first.Id)
	})
	t.Run("other quantity", func(t *testing.T) {
		_, err := s.buy(other, "ann", "k", 1)
		s.refused(err, ErrKeyConflict)
	})
	t.Run("other quantity under a key of another buyer", func(t *testing.T) {
		_, err := s.buy(other, "bob", "k", 1)
		s.must(err)
	})
	t.Run("in another sale", func(t *testing.T) {
		pots := s.start(&proto.FlashStart{ListingId: "pot", Price: 100, Quantity: 2, DurationMs: 60_000})
		_, err := other.Buy(t.Context(), "demo", buyer("ann"), "k", &proto.FlashBuy{SaleId: pots.Id, Quantity: 2})
		s.refused(err, ErrKeyConflict)
		got, err := s.cfg.Redis.HGet(t.Context(), saleKeys(pots.Id)[0], "available").Result()
		s.must(err)
		s.expect("pots on offer", got, "2")
	})
	t.Run("sold out is final", func(t *testing.T) {
		_, err := s.buy(s.cart, "cid", "k", 5)
		s.refused(err, ErrSoldOut)
		_, err = s.buy(other, "cid", "k", 5)
		s.refused(err, ErrSoldOut)
		_, err = s.buy(other, "cid", "k", 1)
		s.refused(err, ErrKeyConflict)
	})
	s.expect("sold", s.sold(), int64(3))
}

// Many gateways ask many workers about one key at once.
func TestDuplicateStorm(t *testing.T) {
	s := newStall(t, 50, 1)
	s.ledger()
	s.ledger()
	hash, err := contentHash(&proto.FlashBuy{SaleId: s.sale.Id, Quantity: 1})
	s.must(err)
	const buyers, copies = 10, 20
	var mu sync.Mutex
	orders := map[string]map[string]bool{}
	var wg sync.WaitGroup
	for range copies {
		wg.Go(func() {
			batch := new(proto.FlashBatch)
			for i := range buyers {
				a := &proto.FlashAttempt{SaleId: s.sale.Id, RoomId: "demo", Buyer: buyer(fmt.Sprint("v", i)).User, Key: "k", Hash: hash, Quantity: 1}
				batch.Attempts = append(batch.Attempts, a, a)
			}
			reply := new(proto.FlashDecisions)
			if err := s.cfg.Bus.Request(t.Context(), busFlash, batch, reply); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, d := range reply.Decisions {
				if d.Outcome != outcomeOrdered {
					t.Errorf("%s: %v", d.BuyerId, d.Outcome)
				}
				if orders[d.BuyerId] == nil {
					orders[d.BuyerId] = map[string]bool{}
				}
				orders[d.BuyerId][d.Order.GetId()] = true
			}
		})
	}
	wg.Wait()
	for who, ids := range orders {
		s.expect("orders of "+who, len(ids), 1)
	}
	s.expect("orders", s.orders(), int64(buyers))
	s.expect("sold", s.sold(), int64(buyers))
}

// A key raced on two sales, whose locks do not exclude each other, has one outcome.
func TestKeyRacedOnTwoSales(t *testing.T) {
	s := newStall(t, 50, 0)
	pots := s.start(&proto.FlashStart{ListingId: "pot", Price: 100, Quantity: 3, DurationMs: 60_000})
	ledgers := make([]*saleLedger, 2)
	for i := range ledgers {
		l, err := newSaleLedger(s.cfg)
		s.must(err)
		ledgers[i] = l
	}
	for round := range 25 {
		var wg sync.WaitGroup
		results := make([]booking, 2)
		for i, saleID := range []string{s.sale.Id, pots.Id} {
			wg.Go(func() {
				results[i] = ledgers[i].book(context.WithoutCancel(t.Context()), []*proto.FlashAttempt{{
					SaleId: saleID, RoomId: "demo", Buyer: buyer("ann").User, Key: fmt.Sprint("k", round), Hash: []byte(saleID), Quantity: 1,
				}})
			})
		}
		wg.Wait()
		outcomes := map[proto.FlashOutcome]int{}
		for _, r := range results {
			outcomes[r.decisions[0].Outcome]++
		}
		if outcomes[outcomeConflict] != 1 {
			t.Fatalf("round %d: %v", round, outcomes)
		}
	}
}

// Two workers, one buyer, a limit of one, different keys.
func TestLimitOverWorkers(t *testing.T) {
	s := newStall(t, 100, 1)
	ledgers := make([]*saleLedger, 4)
	for i := range ledgers {
		l, err := newSaleLedger(s.cfg)
		s.must(err)
		ledgers[i] = l
	}
	var wg sync.WaitGroup
	for i, l := range ledgers {
		wg.Go(func() {
			for round := range 10 {
				l.book(context.WithoutCancel(t.Context()), []*proto.FlashAttempt{{
					SaleId: s.sale.Id, RoomId: "demo", Buyer: buyer(fmt.Sprint("v", round)).User, Key: fmt.Sprint("k", i), Hash: []byte{1}, Quantity: 1,
				}})
			}
		})
	}
	wg.Wait()
	s.expect("sold", s.sold(), int64(10))
	s.expect("refused", scan[int64](s.market, `SELECT count(*) FROM attempt WHERE outcome = 'limit_per_buyer'`), int64(30))
}

// A worker dies after its commit and before its reply; the gateway asks another by the key.
func TestLostReplyIsAskedAgain(t *testing.T) {
	s := newStall(t, 5, 0)
	dying, err := newSaleLedger(s.cfg)
	s.must(err)
	committed := make(chan struct{})
	sub, err := s.cfg.Bus.Serve(busFlash, func(r bus.Request) {
		batch := new(proto.FlashBatch)
		s.ok(r.Decode(batch))
		dying.book(context.WithoutCancel(t.Context()), batch.Attempts)
		close(committed)
	})
	s.must(err)
	type outcome struct {
		order *proto.Order
		err   error
	}
	got := make(chan outcome, 1)
	go func() {
		order, err := s.buy(s.cart, "ann", "k", 2)
		got <- outcome{order, err}
	}()
	<-committed
	s.must(sub.Close())
	s.ledger()
	answer := <-got
	s.must(answer.err)
	s.expect("orders", s.orders(), int64(1))
	s.expect("sold", s.sold(), int64(2))
	s.expect("order", answer.order.Id, scan[string](s.market, `SELECT id FROM orders WHERE sale_id = $1`, s.sale.Id))
	s.settled()
	available, held, _ := s.counters()
	s.expect("counters", available+" "+held, "3 0")
}

// A worker that is full hands the attempts back, and their keys stay free.
func TestBusyReleasesTheReservation(t *testing.T) {
	s := newStall(t, 5, 0)
	sub, err := s.cfg.Bus.Serve(busFlash, func(r bus.Request) {
		batch := new(proto.FlashBatch)
		s.ok(r.Decode(batch))
		s.ok(r.Respond(&proto.FlashDecisions{Decisions: refuseAll(batch.Attempts, outcomeBusy)}))
	})
	s.must(err)
	_, err = s.buy(s.cart, "ann", "k", 2)
	s.refused(err, ErrBusy)
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprintf("%s %s %d", available, held, pending), "5 0 0")
	s.must(sub.Close())
	s.ledger()
	_, err = s.buy(s.cart, "ann", "k", 2)
	s.must(err)
}

// After a lost answer some worker may still decide the attempt: its reservation stays until one did.
func TestUnknownAttemptKeepsItsReservation(t *testing.T) {
	s := newStall(t, 5, 0)
	asked := 0
	sub, err := s.cfg.Bus.Serve(busFlash, func(r bus.Request) {
		batch := new(proto.FlashBatch)
		s.ok(r.Decode(batch))
		if asked++; asked > 1 {
			s.ok(r.Respond(&proto.FlashDecisions{Decisions: refuseAll(batch.Attempts, outcomeNotStarted)}))
		}
	})
	s.must(err)
	defer sub.Close()
	_, err = s.buy(s.cart, "ann", "k", 2)
	s.refused(err, ErrNotStarted)
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprintf("%s %s %d", available, held, pending), "3 2 1")
}

// A worker dies between its commit and its words: the next one that is asked tells the buyer.
func TestOrderOfADeadWorkerIsTold(t *testing.T) {
	s := newStall(t, 5, 0)
	told := s.listen()
	b := s.stranded()
	dead, err := newSaleLedger(s.cfg)
	s.must(err)
	made := dead.book(t.Context(), []*proto.FlashAttempt{b.attempt}).made[0]
	s.ledger()
	s.must(s.cfg.Bus.Request(t.Context(), busFlash, &proto.FlashBatch{Attempts: []*proto.FlashAttempt{b.attempt}}, new(proto.FlashDecisions)))
	if ev := told(1)[0]; !proto.Equal(ev.Event.GetOrderUpdated().GetOrder(), made) || ev.UserId != "ann" {
		t.Errorf("told %v, made %v", ev, made)
	}
}

// Another worker ordered the attempt while this one found fault with it: the first outcome stands.
func TestRejectionComesTooLate(t *testing.T) {
	s := newStall(t, 5, 0)
	b := s.stranded()
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	s.expect("first", l.book(t.Context(), []*proto.FlashAttempt{b.attempt}).decisions[0].Outcome, outcomeOrdered)
	late := l.reject(t.Context(), b.attempt, errors.New("a broken constraint"))
	s.expect("late", late.decisions[0].Outcome, outcomeTryAgain)
}

// One attempt with data that cannot be booked does not hold up the others.
func TestPoisonedAttemptIsRejectedAlone(t *testing.T) {
	s := newStall(t, 10, 0)
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	var asked []*proto.FlashAttempt
	for i := range 7 {
		asked = append(asked, &proto.FlashAttempt{SaleId: s.sale.Id, RoomId: "demo", Buyer: buyer(fmt.Sprint("v", i)).User, Key: "k", Hash: []byte{1}, Quantity: 1})
	}
	asked[3].Buyer.Name = "N\x00"
	done := l.book(t.Context(), asked)
	for i, d := range done.decisions {
		want := outcomeOrdered
		if i == 3 {
			want = outcomeRejected
		}
		s.expect(d.BuyerId, d.Outcome, want)
	}
	s.expect("sold", s.sold(), int64(6))
	s.expect("made", len(done.made), 6)
	s.expect("kept", scan[string](s.market, `SELECT kind || key FROM dead_letter`), "flash_buyk")
	again := l.book(t.Context(), asked[3:4])
	s.expect("again", again.decisions[0].Outcome, outcomeRejected)
	s.expect("kept once", scan[int64](s.market, `SELECT count(*) FROM dead_letter`), int64(1))
}

func TestLedgerDecidesTheWindow(t *testing.T) {
	s := newStall(t, 10, 0)
	l, err := newSaleLedger(s.cfg)
	s.must(err)
	ask := func(key string) proto.FlashOutcome {
		return l.book(t.Context(), []*proto.FlashAttempt{{SaleId: s.sale.Id, RoomId: "demo", Buyer: buyer("ann").User, Key: key, Hash: []byte{1}, Quantity: 1}}).decisions[0].Outcome
	}
	s.exec(`UPDATE sale SET starts_at = clock_timestamp() + interval '1 minute'`)
	s.expect("before", ask("k1"), outcomeNotStarted)
	s.expect("not recorded", scan[int64](s.market, `SELECT count(*) FROM attempt`), int64(0))
	s.exec(`UPDATE sale SET starts_at = clock_timestamp() - interval '1 minute'`)
	s.expect("within", ask("k1"), outcomeOrdered)
	s.exec(`UPDATE sale SET created_at = created_at, starts_at = starts_at - interval '2 hours', ends_at = clock_timestamp() + interval '1 microsecond'`)
	s.expect("after", ask("k2"), outcomeEnded)
	s.expect("again", ask("k2"), outcomeEnded)
	s.expect("an earlier key", ask("k1"), outcomeOrdered)
	s.expect("no such sale", l.book(t.Context(), []*proto.FlashAttempt{{SaleId: "x", Buyer: buyer("ann").User, Key: "k9", Quantity: 1}}).decisions[0].Outcome, outcomeSaleNotFound)
	s.exec(`UPDATE sale SET ends_at = clock_timestamp() + interval '1 hour'`)
}

// Nobody decides in time: the buyer is told so, and of the order when there is one.
func TestPendingIsAnsweredLater(t *testing.T) {
	s := newStall(t, 5, 0)
	c, err := New(s.cfg)
	s.must(err)
	c.admission.patience = 100 * time.Millisecond
	s.runGateway(c)
	told := make(chan *proto.Order, 10)
	sub, err := s.cfg.Bus.SubscribePrivate(func(e *proto.PrivateEvents) {
		for _, ev := range e.Events {
			told <- ev.Event.GetOrderUpdated().GetOrder()
		}
	})
	s.must(err)
	defer sub.Close()
	_, err = s.buy(c, "ann", "k", 1)
	s.refused(err, ErrPending)
	s.ledger()
	order := <-told
	found, err := s.cart.Order(t.Context(), "ann", &proto.OrderGet{OfRequestId: "k"})
	s.must(err)
	s.expect("order", found.Id, order.Id)
}

// mostCuts bounds the cuts, so that a slow machine comes to an end too.
const mostCuts = 150

// Postgres connections are cut again and again, some of them at the commit: whoever was confirmed
// has one order, and in the end everything is sold.
func TestConnectionsCutMidSale(t *testing.T) {
	s := newStall(t, 60, 1)
	s.ledger()
	s.ledger()
	cutter, err := pgx.ConnectConfig(t.Context(), s.pool().Config().ConnConfig)
	s.must(err)
	defer cutter.Close(context.Background())
	done := make(chan struct{})
	var cuts sync.WaitGroup
	cuts.Go(func() {
		for range mostCuts {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(10+rand.IntN(60)) * time.Millisecond):
				_, err := cutter.Exec(context.Background(), `
					SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
				s.ok(err)
			}
		}
	})
	confirmed := int64(0)
	for wave := range 10 {
		confirmed += s.keepAsking(fmt.Sprint("v", wave), 4, s.cart)
	}
	close(done)
	cuts.Wait()
	s.until("connections work", func() bool { return s.pool().Ping(t.Context()) == nil })
	s.expect("confirmed while cut", confirmed, int64(40))
	confirmed += s.keepAsking("w", 60, s.cart)
	s.expect("confirmed", confirmed, int64(60))
	s.expect("orders", s.orders(), int64(60))
	s.expect("sold", s.sold(), int64(60))
}
