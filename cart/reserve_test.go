package cart

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"livecart/proto"
)

func TestReserveWords(t *testing.T) {
	s := newStall(t, 10, 3)
	bids := func(specs ...string) (batch []*bid) {
		for _, spec := range specs {
			var who, key string
			var n int32
			if _, err := fmt.Sscan(spec, &who, &key, &n); err != nil {
				t.Fatal(err)
			}
			batch = append(batch, &bid{attempt: &proto.FlashAttempt{SaleId: s.sale.Id, Buyer: buyer(who).User, Key: key, Hash: []byte{byte(n)}, Quantity: n}})
		}
		return batch
	}
	call := func(room string, specs ...string) []string {
		t.Helper()
		words, err := s.cart.admission.callReserve(place{s.sale.Id, room}, bids(specs...))
		s.must(err)
		return words
	}
	want := func(what string, got []string, words ...string) {
		t.Helper()
		if !slices.Equal(got, words) {
			t.Errorf("%s: %v, want %v", what, got, words)
		}
	}
	want("in one batch", call("demo", "ann k 2", "ann k 2", "ann k 1", "ann k2 2", "ann k3 1", "h1 k 1"),
		"reserved", "ask", "conflict", "limit_per_buyer", "reserved", "own_sale")
	want("wrong room", call("other", "bob k 1"), "sale_not_found")
	want("up to the last piece", call("demo", "bob k 3", "cid k 3", "dan k 3", "dan k2 1", "eve k 1"),
		"reserved", "reserved", "sold_out", "reserved", "sold_out")
	want("idempotency before stock", call("demo", "ann k 2", "dan k 3", "dan k 1", "ann k2 2", "ann k2 1"),
		"ask", "sold_out", "conflict", "limit_per_buyer", "conflict")
	available, held, pending := s.counters()
	s.expect("counters", fmt.Sprintf("%s %s %d", available, held, pending), "0 10 5")
	ttl, err := s.cfg.Redis.TTL(t.Context(), saleKeys(s.sale.Id)[3]).Result()
	s.must(err)
	if until := time.Until(time.UnixMilli(s.sale.EndsAtMs)); ttl < until+markAge || ttl > until+countersAge+time.Minute {
		t.Errorf("marks live for %v", ttl)
	}

	s.cart.admission.release(s.sale.Id, bids("ann k 2", "ann k 1", "nobody k 1"))
	available, held, pending = s.counters()
	s.expect("after a release", fmt.Sprintf("%s %s %d", available, held, pending), "2 8 4")
	want("a released key is free", call("demo", "ann k 1"), "reserved")

	// Another sending of a released key may be with the ledger: what Redis would refuse is asked there.
	s.cart.admission.release(s.sale.Id, bids("ann k 1"))
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "available", 0).Err())
	want("a released key when all is sold", call("demo", "ann k 1", "new k 1"), "ask", "sold_out")
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "available", 2, "limit", 1).Err())
	want("a released key beyond the limit", call("demo", "ann k 2"), "ask")
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "limit", 3, "closed", 1).Err())
	want("a released key when the sale has ended", call("demo", "ann k 1", "old k 1"), "ask", "sale_ended")
	s.must(s.cfg.Redis.HSet(t.Context(), saleKeys(s.sale.Id)[0], "closed", 0).Err())
	want("a released key, reserved and asked again", call("demo", "ann k 1", "ann k 1", "ann k 2"), "reserved", "ask", "conflict")

	batch := bids("bob k 3", "cid k 3", "ann k 1", "ann k 1")
	var asked []*proto.FlashAttempt
	for _, b := range batch {
		asked = append(asked, b.attempt)
	}
	settleAttempts(t.Context(), s.cfg, asked, []*proto.FlashDecision{
		{Outcome: outcomeOrdered}, {Outcome: outcomeSoldOut}, {Outcome: outcomeNotStarted}, {Outcome: outcomeTryAgain},
	})
	available, held, pending = s.counters()
	s.expect("after settling", fmt.Sprintf("%s %s %d", available, held, pending), "4 3 3")
	want("decided keys go to the ledger", call("demo", "bob k 3", "cid k 3", "cid k 1"), "ask", "ask", "conflict")

	s.must(s.cfg.Redis.FlushDB(t.Context()).Err())
	_, err = s.cart.admission.callReserve(place{s.sale.Id, "demo"}, bids("ann k 1"))
	s.refused(err, errNoCounters)
	settleAttempts(t.Context(), s.cfg, asked[:1], []*proto.FlashDecision{{Outcome: outcomeOrdered}})
	if n, err := s.cfg.Redis.Exists(t.Context(), saleKeys(s.sale.Id)[:3]...).Result(); n != 0 || err != nil {
		t.Errorf("counters were made by a settle: %d, %v", n, err)
	}
	ttl, err = s.cfg.Redis.TTL(t.Context(), saleKeys(s.sale.Id)[3]).Result()
	s.must(err)
	if ttl <= markAge-time.Minute || ttl > markAge {
		t.Errorf("a mark without counters lives for %v", ttl)
	}
}

func TestInboxBounds(t *testing.T) {
	in := newInbox()
	of := func(n int) envelope { return envelope{attempts: make([]*proto.FlashAttempt, n)} }
	for range inboxSize / 64 {
		if !in.put(of(64)) {
			t.Fatal("full before its time")
		}
	}
	if in.put(of(1)) {
		t.Error("took one more than fits")
	}
	if !in.put(of(0)) {
		t.Error("no room for a probe")
	}
	total := 0
	for range inboxSize/192 + 1 {
		size := 0
		for _, e := range in.take(t.Context()) {
			size += len(e.attempts)
		}
		if size > maxBatch {
			t.Errorf("a batch of %d", size)
		}
		total += size
	}
	if total != inboxSize {
		t.Errorf("took %d of %d", total, inboxSize)
	}
	if !in.put(of(300)) || len(in.take(t.Context())) != 1 {
		t.Error("an envelope larger than a batch was not taken alone")
	}
	in.put(of(1))
	if rest := in.rest(); len(rest) != 1 {
		t.Errorf("rest: %d", len(rest))
	}
}

func TestPaces(t *testing.T) {
	p := newPaces()
	now := time.UnixMilli(1_000_000)
	for range buyRate {
		if wait := p.take("ann", now); wait != 0 {
			t.Fatalf("told to wait %v", wait)
		}
	}
	for range 3 {
		if wait := p.take("ann", now); wait != time.Second/buyRate {
			t.Errorf("told to wait %v", wait)
		}
	}
	if wait := p.take("bob", now); wait != 0 {
		t.Errorf("bob waits for ann: %v", wait)
	}
	if wait := p.take("ann", now.Add(time.Second/buyRate)); wait != 0 {
		t.Errorf("told to wait %v after waiting", wait)
	}
	p.sweep(now.Add(time.Second / buyRate))
	if p.buyers["ann"] == nil || p.buyers["bob"] != nil {
		t.Errorf("left after bob's allowance was whole again and ann's was not: %v", p.buyers)
	}
	p.sweep(now.Add(paceSweep + time.Minute))
	if len(p.buyers) != 0 {
		t.Errorf("%d left", len(p.buyers))
	}
}

func TestMalformedReservation(t *testing.T) {
	for _, c := range []struct{ name, field, value string }{
		{"no key", "user", "1:2:ab:ann"},
		{"too short", "user:k", "1:2:ab"},
		{"no quantity", "user:k", "x:2:ab:ann"},
		{"no hash", "user:k", "1:2:zz:ann"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if r, err := parseReservation(c.field, c.value); err == nil {
				t.Errorf("read as %v", r)
			}
		})
	}
	r, err := parseReservation("user:k:1", "7:2:ab:ann:of:x")
	if err != nil || r.buyerID != "ann:of:x" || r.key != "k:1" || r.quantity != 7 || r.at != "2" {
		t.Errorf("%+v, %v", r, err)
	}
}
