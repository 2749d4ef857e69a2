package cart

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"livecart/proto"
)

// served is an order of the naive model, which keeps nothing but what was served and counts anew for
// every attempt.
type served struct {
	saleID, buyerID string
	pieces          int64
}

// naive decides one attempt after another by the words of the package's doc.
func naive(b *books, before []served, asked []*proto.FlashAttempt) []proto.FlashOutcome {
	all := slices.Clone(before)
	type outcome struct {
		of      *proto.FlashAttempt
		outcome proto.FlashOutcome
	}
	var recorded []outcome
	var outcomes []proto.FlashOutcome
next:
	for _, a := range asked {
		if was, ok := b.recorded[keyOf(a)]; ok {
			got := outcomeOf[was.outcome]
			if string(was.hash) != string(a.Hash) {
				got = outcomeConflict
			}
			outcomes = append(outcomes, got)
			continue
		}
		for _, r := range recorded {
			if r.of.Buyer.Id == a.Buyer.Id && r.of.Key == a.Key {
				got := r.outcome
				if string(r.of.Hash) != string(a.Hash) {
					got = outcomeConflict
				}
				outcomes = append(outcomes, got)
				continue next
			}
		}
		sale, known := b.sales[a.SaleId]
		var sold, own int64
		for _, o := range all {
			if o.saleID == a.SaleId {
				sold += o.pieces
				if o.buyerID == a.Buyer.Id {
					own += o.pieces
				}
			}
		}
		pieces := int64(a.Quantity)
		got := outcomeOrdered
		switch {
		case !known || sale.roomID != a.RoomId:
			outcomes = append(outcomes, outcomeSaleNotFound)
			continue
		case sale.closed || b.now.Equal(sale.endsAt) || b.now.After(sale.endsAt):
			got = outcomeEnded
		case b.now.Before(sale.startsAt):
			outcomes = append(outcomes, outcomeNotStarted)
			continue
		case pieces < 1 || pieces > 99:
			got = outcomeRejected
		case sold+pieces > sale.quantity:
			got = outcomeSoldOut
		case sale.limit != 0 && own+pieces > int64(sale.limit):
			got = outcomeLimit
		}
		if got == outcomeOrdered {
			all = append(all, served{a.SaleId, a.Buyer.Id, pieces})
		}
		recorded = append(recorded, outcome{a, got})
		outcomes = append(outcomes, got)
	}
	return outcomes
}

// drawBooks makes books and the orders behind them.
func drawBooks(t *rapid.T) (*books, []served) {
	b := &books{now: time.UnixMilli(1_000_000), sales: map[string]*saleRow{}, recorded: map[attemptKey]attempt{}, held: map[holder]int64{}}
	var before []served
	for i := range rapid.IntRange(1, 3).Draw(t, "sales") {
		id := fmt.Sprint("s", i)
		sale := &saleRow{id: id, roomID: "r", quantity: rapid.Int64Range(1, 12).Draw(t, "quantity"), limit: rapid.Int32Range(0, 4).Draw(t, "limit")}
		sale.startsAt = b.now.Add(time.Duration(rapid.SampledFrom([]int{-5, -5, -5, 0, 1}).Draw(t, "starts")) * time.Microsecond)
		sale.endsAt = b.now.Add(time.Duration(rapid.SampledFrom([]int{5, 5, 5, 5, 0}).Draw(t, "ends")) * time.Microsecond)
		sale.closed = rapid.IntRange(0, 9).Draw(t, "closed") == 0
		b.sales[id] = sale
		for j := range rapid.IntRange(0, 4).Draw(t, "orders") {
			n := rapid.Int64Range(1, 3).Draw(t, "pieces")
			if sale.sold+n > sale.quantity {
				break
			}
			who := fmt.Sprint("b", j%3)
			sale.sold += n
			b.held[holder{id, who}] += n
			before = append(before, served{id, who, n})
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "recorded") {
		key := attemptKey{fmt.Sprint("b", rapid.IntRange(0, 3).Draw(t, "buyer")), fmt.Sprint("k", rapid.IntRange(0, 3).Draw(t, "key"))}
		b.recorded[key] = attempt{hash: []byte{1}, outcome: rapid.SampledFrom([]string{"ordered", "sold_out", "void", "limit_per_buyer"}).Draw(t, "outcome")}
	}
	return b, before
}

func TestDecideAgreesWithTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, before := drawBooks(t)
		var asked []*proto.FlashAttempt
		for range rapid.IntRange(0, 30).Draw(t, "attempts") {
			asked = append(asked, &proto.FlashAttempt{
				SaleId:   fmt.Sprint("s", rapid.IntRange(0, 3).Draw(t, "sale")),
				RoomId:   rapid.SampledFrom([]string{"r", "r", "r", "r", "x"}).Draw(t, "room"),
				Buyer:    &proto.User{Id: fmt.Sprint("b", rapid.IntRange(0, 3).Draw(t, "buyer"))},
				Key:      fmt.Sprint("k", rapid.IntRange(0, 5).Draw(t, "key")),
				Hash:     []byte{byte(rapid.IntRange(1, 2).Draw(t, "content"))},
				Quantity: rapid.SampledFrom([]int32{1, 1, 1, 2, 3, 0, 100}).Draw(t, "quantity"),
			})
		}
		want := naive(b, before, asked)
		decided := b.decide(asked)
		written := map[attemptKey]bool{}
		for i, d := range decided {
			if d.outcome != want[i] {
				t.Fatalf("attempt %d: %v, want %v", i, d.outcome, want[i])
			}
			if d.fresh {
				if written[keyOf(asked[i])] || b.recorded[keyOf(asked[i])].outcome != "" {
					t.Fatalf("attempt %d is written twice", i)
				}
				written[keyOf(asked[i])] = true
			}
			if d.outcome == outcomeOrdered && !d.fresh && d.first == i && b.recorded[keyOf(asked[i])].outcome != "ordered" {
				t.Fatalf("attempt %d is ordered from nowhere", i)
			}
		}
		for id, sale := range b.sales {
			if sale.sold > sale.quantity {
				t.Fatalf("sale %s sold %d of %d", id, sale.sold, sale.quantity)
			}
		}
	})
}
