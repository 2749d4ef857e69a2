package cart

import (
	"bytes"
	"time"

	"livecart/proto"
)

// Outcomes in short.
const (
	outcomeOrdered      = proto.FlashOutcome_FLASH_OUTCOME_ORDERED
	outcomeSoldOut      = proto.FlashOutcome_FLASH_OUTCOME_SOLD_OUT
	outcomeLimit        = proto.FlashOutcome_FLASH_OUTCOME_LIMIT_PER_BUYER
	outcomeEnded        = proto.FlashOutcome_FLASH_OUTCOME_SALE_ENDED
	outcomeVoid         = proto.FlashOutcome_FLASH_OUTCOME_VOID
	outcomeRejected     = proto.FlashOutcome_FLASH_OUTCOME_REJECTED
	outcomeTryAgain     = proto.FlashOutcome_FLASH_OUTCOME_TRY_AGAIN
	outcomeBusy         = proto.FlashOutcome_FLASH_OUTCOME_BUSY
	outcomeNotStarted   = proto.FlashOutcome_FLASH_OUTCOME_NOT_STARTED
	outcomeConflict     = proto.FlashOutcome_FLASH_OUTCOME_CONFLICT
	outcomeSaleNotFound = proto.FlashOutcome_FLASH_OUTCOME_SALE_NOT_FOUND
	outcomeOwnSale      = proto.FlashOutcome_FLASH_OUTCOME_OWN_SALE
)

// outcomeWords are the outcomes that are recorded, as the table attempt spells them.
var outcomeWords = map[proto.FlashOutcome]string{
	outcomeOrdered:  "ordered",
	outcomeSoldOut:  "sold_out",
	outcomeLimit:    "limit_per_buyer",
	outcomeEnded:    "sale_ended",
	outcomeVoid:     "void",
	outcomeRejected: "rejected",
}

// outcomeOf is the inverse of outcomeWords.
var outcomeOf = func() map[string]proto.FlashOutcome {
	byWord := make(map[string]proto.FlashOutcome, len(outcomeWords))
	for outcome, word := range outcomeWords {
		byWord[word] = outcome
	}
	return byWord
}()

// holder is one buyer of one sale.
type holder struct{ saleID, buyerID string }

// books is what a ledger transaction has read, after it locked the sales.
type books struct {
	now      time.Time              // the database's clock
	sales    map[string]*saleRow    // absent: there is no such sale
	recorded map[attemptKey]attempt // outcomes written earlier
	held     map[holder]int64       // pieces in orders that hold stock
}

// decision is what became of one attempt of a batch.
type decision struct {
	outcome proto.FlashOutcome
	// The order, where an earlier transaction made it.
	orderID string
	// The attempt of the batch that this one repeats; the attempt's own place where it repeats none.
	first int
	// To be written: no outcome was recorded yet, and this one is final.
	fresh bool
}

// decide decides attempts in their order, each on the books as those before it left them: sold
// counts and the buyers' pieces rise with each order. A key's first attempt counts, equal ones after
// it get the same outcome, others are conflicts. What is not final (not started, no such sale, the own
// sale) leaves no trace.
func (b *books) decide(asked []*proto.FlashAttempt) []decision {
	decided := make([]decision, len(asked))
	firsts := make(map[attemptKey]int, len(asked))
	for i, a := range asked {
		key := keyOf(a)
		if first, repeated := firsts[key]; repeated {
			decided[i] = decision{outcome: outcomeConflict, first: i}
			if bytes.Equal(asked[first].Hash, a.Hash) {
				decided[i] = decided[first]
				decided[i].fresh = false
			}
			continue
		}
		decided[i] = b.decideOne(a)
		decided[i].first = i
		if decided[i].fresh {
			firsts[key] = i
		}
	}
	return decided
}

func (b *books) decideOne(a *proto.FlashAttempt) decision {
	if before, ok := b.recorded[keyOf(a)]; ok {
		if !bytes.Equal(before.hash, a.Hash) {
			return decision{outcome: outcomeConflict}
		}
		return decision{outcome: outcomeOf[before.outcome], orderID: before.orderID}
	}
	sale := b.sales[a.SaleId]
	who := holder{a.SaleId, a.Buyer.GetId()}
	n := int64(a.Quantity)
	switch {
	case sale == nil || sale.roomID != a.RoomId:
		return decision{outcome: outcomeSaleNotFound}
	case sale.isOwn(a.Buyer):
		return decision{outcome: outcomeOwnSale}
	case sale.endedAt(b.now):
		return decision{outcome: outcomeEnded, fresh: true}
	case b.now.Before(sale.startsAt):
		return decision{outcome: outcomeNotStarted}
	case n < 1 || n > MaxQuantity:
		return decision{outcome: outcomeRejected, fresh: true}
	case sale.sold+n > sale.quantity:
		return decision{outcome: outcomeSoldOut, fresh: true}
	case sale.limit > 0 && b.held[who]+n > int64(sale.limit):
		return decision{outcome: outcomeLimit, fresh: true}
	}
	sale.sold += n
	b.held[who] += n
	return decision{outcome: outcomeOrdered, fresh: true}
}
