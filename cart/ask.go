package cart

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/store"
)

//go:embed release.lua
var releaseLua string

var releaseScript = store.NewScript(releaseLua)

// askTimeout is how long a gateway waits for a worker before it asks another.
const askTimeout = time.Second

// ask carries bids of one sale to the ledger in one envelope and asks again, any worker, under the
// same keys, until all have an outcome or the gateway stops. Nothing is given up before: a commit
// whose answer was lost is found by its key, and a void answers what nobody decided.
func (a *admission) ask(saleID string, bids []*bid) {
	// Whether some worker may have the envelope without having told us.
	unknown := false
	for tries := 1; a.breaker.pass(a.stop); tries++ {
		decisions, err := a.askOnce(bids)
		if err != nil {
			a.breaker.silent()
			unknown = unknown || !(errors.Is(err, bus.ErrNoResponders) || errors.Is(err, bus.ErrDisconnected))
		} else {
			if a.deliver(saleID, &bids, decisions, &unknown) {
				a.breaker.answered()
			} else {
				a.breaker.silent()
			}
			if len(bids) == 0 {
				return
			}
		}
		pause := time.NewTimer(bus.Backoff(tries))
		select {
		case <-a.stop:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// askOnce asks one worker and returns its decisions, one a bid.
func (a *admission) askOnce(bids []*bid) ([]*proto.FlashDecision, error) {
	batch := new(proto.FlashBatch)
	for _, b := range bids {
		batch.Attempts = append(batch.Attempts, b.attempt)
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	reply := new(proto.FlashDecisions)
	if err := a.cfg.Bus.Request(ctx, busFlash, batch, reply); err != nil {
		return nil, err
	}
	if len(reply.Decisions) != len(bids) {
		return nil, fmt.Errorf("%d decisions for %d attempts", len(reply.Decisions), len(bids))
	}
	return reply.Decisions, nil
}

// deliver hands out the decisions and leaves in bids those that must be asked again. It reports
// whether the worker was able to decide.
func (a *admission) deliver(saleID string, bids *[]*bid, decisions []*proto.FlashDecision, unknown *bool) (able bool) {
	var again, free []*bid
	var answers []answer
	tryAgain := false
	for i, b := range *bids {
		outcome := decisions[i].Outcome
		switch {
		case outcome == outcomeTryAgain:
			// The worker cannot say whether it committed.
			tryAgain = true
			again = append(again, b)
			continue
		case outcome == outcomeBusy && *unknown:
			able = true
			again = append(again, b)
			continue
		}
		able = true
		got := ledgerAnswer(decisions[i])
		// After a lost answer another worker may still decide this: the reservation stays until one
		// did, or until it is reaped.
		if _, final := outcomeWords[outcome]; final || !b.reserved || *unknown {
			b.done <- got
			continue
		}
		free, answers = append(free, b), append(answers, got)
	}
	*unknown = *unknown || tryAgain
	*bids = again
	if len(free) > 0 {
		a.release(saleID, free)
		for i, b := range free {
			b.done <- answers[i]
		}
	}
	return able
}

func ledgerAnswer(d *proto.FlashDecision) answer {
	switch d.Outcome {
	case outcomeOrdered:
		if d.Order == nil {
			return answer{err: fmt.Errorf("the ledger ordered without an order")}
		}
		return answer{order: d.Order}
	case outcomeBusy:
		return answer{err: ErrBusy.After(retryAfter)}
	case outcomeNotStarted:
		return answer{err: ErrNotStarted}
	case outcomeConflict:
		return answer{err: ErrKeyConflict}
	case outcomeSaleNotFound:
		return answer{err: ErrSaleNotFound}
	case outcomeOwnSale:
		return answer{err: ErrOwnSale}
	}
	if refusal, ok := refusals[outcomeWords[d.Outcome]]; ok {
		return answer{err: refusal}
	}
	return answer{err: fmt.Errorf("the ledger answered %v", d.Outcome)}
}

// release gives back reservations that the ledger did not and will not decide. Where Redis does not
// answer they are reaped.
func (a *admission) release(saleID string, bids []*bid) {
	args := []any{int(markAge.Seconds())}
	for _, b := range bids {
		field, content := hashed(b.attempt)
		args = append(args, field, content)
	}
	ctx, cancel := context.WithTimeout(context.Background(), store.RedisTimeout)
	defer cancel()
	if err := releaseScript.Run(ctx, a.cfg.Redis, saleKeys(saleID), args...).Err(); err != nil {
		a.cfg.Log.Warn("reservations stay pending until they are reaped", "sale", saleID, "reservations", len(bids), "err", err)
		return
	}
	a.stock.changed(saleID)
}
