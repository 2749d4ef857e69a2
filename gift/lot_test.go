package gift

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"livecart/proto"
)

// lot returns a user's newest lot of a kind.
func (w *world) lot(userID, kind string) Lot {
	w.Helper()
	lots, err := w.newGifts().Lots(context.Background(), userID)
	if err != nil {
		w.Fatal(err)
	}
	for _, l := range lots {
		if l.Kind == kind {
			return l
		}
	}
	w.Fatalf("%s has no %s", userID, kind)
	return Lot{}
}

// buy tops a user up and has it paid.
func (w *world) buy(g *Gifts, userID, key string, beans int64) Lot {
	w.Helper()
	top, err := g.TopUp(context.Background(), userID, key, beans)
	if err != nil {
		w.Fatal(err)
	}
	if err := g.Paid(context.Background(), Notice{Provider: "sandbox", EventID: "e_" + top.ID, PaymentID: top.ID, Amount: top.Amount, Currency: top.Currency}); err != nil {
		w.Fatal(err)
	}
	return w.lot(userID, "topup")
}

func TestLotsAndRefunds(t *testing.T) {
	w := newWorld(t)
	_, g := w.till()
	first := w.buy(g, "ann", "a", 10) // for 143 fen
	w.grant("ann", 5)
	second := w.buy(g, "ann", "b", 7) // for 100 fen
	gift := w.lot("ann", "grant")
	book := func(key string, beans int32) {
		t.Helper()
		decided, _ := w.newLedger().settle(t.Context(), []*proto.TipRequest{request(t, "ann", key, live, "rose", beans, "")})
		if decided[0].outcome != booked {
			t.Fatal(decided[0].outcome)
		}
	}
	left := func(want ...int64) {
		t.Helper()
		lots, err := g.Lots(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		if got := columns(lots, func(l Lot) int64 { return l.Left }); !slices.Equal(got, want) {
			t.Errorf("left of the lots, newest first: %v, want %v", got, want)
		}
	}
	refund := func(lotID, key string, beans, want, money int64) {
		t.Helper()
		r, err := g.RefundLot(t.Context(), lotID, "op", key, beans)
		if err != nil || r.Beans != want || r.Amount != money || r.State != RefundDue || r.Currency != "CNY" {
			t.Fatalf("%s: %+v, %v, want %d beans for %d", key, r, err, want, money)
		}
		again, err := g.RefundLot(t.Context(), lotID, "op", key, beans)
		if err != nil || *again != *r {
			t.Errorf("%s again: %+v, %v, want %+v", key, again, err, r)
		}
	}
	left(7, 5, 10)
	refund(first.ID, "r1", 3, 3, 42) // 143 × 3 ÷ 10 = 42.9
	left(7, 5, 7)
	refund(first.ID, "r2", 4, 4, 58) // 143 × 7 ÷ 10 = 100.1
	book("1", 2)
	left(7, 5, 1)
	for name, tt := range map[string]struct {
		lot, by, key string
		beans        int64
		want         error
	}{
		"more than is left":        {first.ID, "op", "x1", 2, ErrRefundExceeds},
		"far more than is left":    {first.ID, "op", "x1", 1 << 62, ErrRefundExceeds},
		"negative":                 {first.ID, "op", "x1", -1, ErrBeansBack},
		"a grant":                  {gift.ID, "op", "x1", 1, ErrRefundExceeds},
		"all of a grant":           {gift.ID, "op", "x1", 0, ErrRefundExceeds},
		"no lot":                   {"lot_none", "op", "x1", 1, ErrUnknownLot},
		"an id that is none":       {"\x00", "op", "x1", 1, ErrUnknownLot},
		"nobody":                   {first.ID, "", "x1", 1, ErrSignIn},
		"no key":                   {first.ID, "op", "", 1, invalid("")},
		"other beans under a key":  {first.ID, "op", "r1", 4, ErrKeyConflict},
		"all under a key":          {first.ID, "op", "r1", 0, ErrKeyConflict},
		"another lot under a key":  {second.ID, "op", "r1", 3, ErrKeyConflict},
		"somebody else's same key": {first.ID, "op2", "r1", 9, ErrRefundExceeds},
	} {
		if _, err := g.RefundLot(t.Context(), tt.lot, tt.by, tt.key, tt.beans); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if n := w.number(`SELECT count(*) FROM lot_refund`); n != 2 {
		t.Errorf("%d refunds, want 2", n)
	}
	refund(first.ID, "r3", 0, 1, 14) // 143 × 8 ÷ 10 = 114.4
	left(7, 5, 0)
	if _, err := g.RefundLot(t.Context(), first.ID, "op", "r4", 0); !errors.Is(err, ErrRefundExceeds) {
		t.Errorf("all of nothing: %v", err)
	}
	refund(second.ID, "all", 0, 7, 100)
	left(0, 5, 0)
	if w.balance("ann") != 5 {
		t.Errorf("balance %d, want 5", w.balance("ann"))
	}
	if lots, err := g.Lots(t.Context(), "nobody\x00"); err != nil || len(lots) != 0 {
		t.Errorf("a user that is none: %v, %v", lots, err)
	}
}

// Refunds, tips and copies of both at once never overdraw, and each key gives back once.
func TestRefundsAtOnce(t *testing.T) {
	w := newWorld(t)
	_, g := w.till()
	lot := w.buy(g, "ann", "a", 70)
	other := w.buy(g, "bo", "a", 70)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			_, err := g.RefundLot(t.Context(), lot.ID, "op", string(rune('a'+i/2)), 7)
			if err != nil && !errors.Is(err, ErrRefundExceeds) {
				t.Error(err)
			}
		})
		all.Go(func() {
			_, err := g.RefundLot(t.Context(), []string{lot.ID, other.ID}[i%2], "op2", "one key for two lots", 1)
			if err != nil && !errors.Is(err, ErrKeyConflict) && !errors.Is(err, ErrRefundExceeds) {
				t.Error(err)
			}
		})
		all.Go(func() {
			w.newLedger().settle(t.Context(), []*proto.TipRequest{request(t, "ann", string(rune('a'+i)), live, "rose", 2, "")})
		})
	}
	all.Wait()
	if n := w.number(`SELECT count(*) FROM lot_refund WHERE by_id = 'op2'`); n > 1 {
		t.Errorf("one key gave back %d times", n)
	}
	if n := w.number(`SELECT count(*) FROM lot_refund WHERE by_id = 'op'`); n == 0 || n > 10 {
		t.Errorf("%d refunds of 7 from 70 beans", n)
	}
}

// What is left of lots by the balance alone is what a teller finds who takes every bean by hand.
func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type pile struct{ beans, spent, refunded int64 }
		var piles []pile // oldest first
		var tips []int64
		balance := int64(0)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"lot", "tip", "tip", "refund", "reversal"}).Draw(t, "step") {
			case "lot":
				n := rapid.Int64Range(1, 9).Draw(t, "beans")
				piles, balance = append(piles, pile{beans: n}), balance+n
			case "tip":
				n := rapid.Int64Range(1, 12).Draw(t, "tip")
				if n > balance {
					continue
				}
				tips, balance = append(tips, n), balance-n
				for range n {
					i := slices.IndexFunc(piles, func(p pile) bool { return p.beans-p.refunded > p.spent })
					piles[i].spent++
				}
			case "refund":
				if len(piles) == 0 {
					continue
				}
				p := &piles[rapid.IntRange(0, len(piles)-1).Draw(t, "lot")]
				n := rapid.Int64Range(0, p.beans-p.refunded-p.spent).Draw(t, "back")
				p.refunded, balance = p.refunded+n, balance-n
			case "reversal":
				if len(tips) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(tips)-1).Draw(t, "reversed")
				for range tips[i] {
					for j := len(piles) - 1; ; j-- {
						if piles[j].spent > 0 {
							piles[j].spent--
							break
						}
					}
				}
				balance += tips[i]
				tips = slices.Delete(tips, i, i+1)
			}
			var lots []Lot
			for _, p := range slices.Backward(piles) {
				lots = append(lots, Lot{Beans: p.beans, Refunded: p.refunded})
			}
			spread(lots, balance)
			for i, p := range slices.Backward(piles) {
				if got, want := lots[len(piles)-1-i].Left, p.beans-p.refunded-p.spent; got != want {
					t.Fatalf("lot %d of %+v has %d left, want %d", i, piles, got, want)
				}
			}
		}
	})
}

func TestMoneyBackAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lot := rapid.Int64Range(1, MaxTopUp).Draw(t, "lot")
		price := Price(lot)
		var beans, money int64
		for beans < lot {
			n := rapid.Int64Range(1, lot-beans).Draw(t, "beans")
			back := moneyBack(price, lot, beans, n)
			if back < 1 || back*lot > price*n+lot {
				t.Fatalf("%d beans of %d for %d gave %d back", n, lot, price, back)
			}
			beans, money = beans+n, money+back
			if money > price {
				t.Fatalf("%d back of %d", money, price)
			}
		}
		if money != price {
			t.Fatalf("all %d beans gave %d back, paid were %d", lot, money, price)
		}
	})
}
