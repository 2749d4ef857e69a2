package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"livecart/proto"
)

// attemptRecord is the outcome of one attempt at the sale.
type attemptRecord struct {
	buyer   *person
	key     string
	reason  proto.Reason // "" with an order
	orderID string
	paid    bool
	created int64 // of the order, Unix milliseconds of the server
}

// sell starts the sale and lets all attempts go at it within the rush.
func (r *smokeRun) sell(ctx context.Context) error {
	if err := r.startSale(ctx, time.Time{}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i := range r.Pieces * r.AttemptsPerPiece {
		p := r.crowd.people[i%len(r.crowd.people)]
		delay := rand.N(r.pace.rush)
		again := 0
		if i%5 == 0 {
			again = 1
		}
		group.Go(func() error {
			pause(ctx, delay)
			return r.attempt(ctx, p, time.Now(), again)
		})
	}
	return group.Wait()
}

// startSale has the host start a sale, at once or at a time.
func (r *smokeRun) startSale(ctx context.Context, at time.Time) error {
	var startsAt int64
	if !at.IsZero() {
		startsAt = at.UnixMilli()
	}
	// The welcome is as old as the connection; a fresh one knows of other sales.
	if err := r.host.refresh(ctx); err != nil {
		return err
	}
	listing, err := r.front.saleable(ctx, r.host.current().Welcome(), int64(r.Pieces))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	reply, err := r.host.ask(ctx, &proto.Command{Command: &proto.Command_FlashStart{FlashStart: &proto.FlashStart{
		ListingId: listing.Id, Price: listing.Price / 2, Quantity: int64(r.Pieces), PerBuyerLimit: 1, DurationMs: (10 * time.Minute).Milliseconds(), StartsAtMs: startsAt,
	}}})
	if err != nil {
		return err
	}
	if r.sale = reply.GetOk().GetFlashSale(); r.sale == nil {
		return fmt.Errorf("flash_start was refused: %v", reply.GetError())
	}
	return nil
}

// attempt buys one piece under a key of its own, from which on it counts as due, and asks so often again
// after the outcome.
func (r *smokeRun) attempt(ctx context.Context, p *person, due time.Time, again int) error {
	cmd := &proto.Command{RequestId: NewRequestID(), Command: &proto.Command_FlashBuy{FlashBuy: &proto.FlashBuy{SaleId: r.sale.Id, Quantity: 1}}}
	first, err := p.askSince(ctx, cmd, due)
	if err != nil {
		return err
	}
	if first.GetOk() != nil {
		r.meter.Time("confirm", time.Since(due))
	}
	for range again {
		second, err := p.ask(ctx, cmd)
		if err != nil {
			return err
		}
		if a, b := outcome(first), outcome(second); a != b {
			r.note("flash_buy %s was %s and then %s", cmd.RequestId, a, b)
		}
	}
	r.attemptsN.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, attemptRecord{
		buyer: p, key: cmd.RequestId, orderID: first.GetOk().GetOrder().GetId(), reason: proto.Reason(first.GetError().GetReason()),
		created: first.GetOk().GetOrder().GetCreatedMs(),
	})
	return nil
}

// outcome names the order or the refusal of a reply.
func outcome(reply *proto.Reply) string {
	return cmp.Or(reply.GetOk().GetOrder().GetId(), reply.GetError().GetReason(), "nothing")
}

// pay lets every second buyer pay and waits until each is told.
func (r *smokeRun) pay(ctx context.Context) error { return r.payShare(ctx, 0.5) }

// payShare lets a part of the buyers pay.
func (r *smokeRun) payShare(ctx context.Context, share float64) error {
	return r.payFirst(ctx, int(share*float64(len(r.ordered()))))
}

// ordered returns the attempts that became orders.
func (r *smokeRun) ordered() (orders []*attemptRecord) {
	for i := range r.attempts {
		if r.attempts[i].orderID != "" {
			orders = append(orders, &r.attempts[i])
		}
	}
	return orders
}

// payFirst lets the first n of those who have orders pay.
func (r *smokeRun) payFirst(ctx context.Context, n int) error {
	payers := r.ordered()[:n]
	r.payers = n
	return each(ctx, 8, payers, func(ctx context.Context, a *attemptRecord) error {
		reply, err := a.buyer.ask(ctx, &proto.Command{Command: &proto.Command_OrderPay{OrderPay: &proto.OrderPay{OrderId: a.orderID}}})
		if err != nil {
			return err
		}
		payment := reply.GetOk().GetPayment()
		if payment == nil {
			return fmt.Errorf("order_pay was refused: %v", reply.GetError())
		}
		if err := r.front.pay(ctx, payment.Url); err != nil {
			return err
		}
		paid := until(ctx, 15*time.Second, func() bool {
			return a.buyer.history.order(a.orderID).GetState() == proto.OrderState_ORDER_STATE_PAID
		})
		if paid {
			r.paid.Add(1)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		a.paid = paid
		return ctx.Err()
	})
}

// stop ends the sale and waits until every watcher knows everything.
func (r *smokeRun) stop(ctx context.Context) error {
	if err := r.endSale(ctx); err != nil {
		return err
	}
	// The last numbered event has to reach everybody before gaps are looked for.
	until(ctx, r.pace.news, r.caughtUp)
	return ctx.Err()
}

// abandonSale ends a sale that a run that breaks off leaves behind, so that the next run finds its goods for
// sale. Where it cannot, the sale ends by itself.
func (r *smokeRun) abandonSale(ctx context.Context) {
	if r.sale == nil || r.ended {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	_ = r.endSale(ctx) // what the run broke off for is told, which is why this may fail too
}

func (r *smokeRun) endSale(ctx context.Context) error {
	for range 5 {
		reply, err := r.host.ask(ctx, &proto.Command{Command: &proto.Command_FlashStop{FlashStop: &proto.FlashStop{SaleId: r.sale.Id, ExpectedVersion: r.sale.Version}}})
		if err != nil {
			return err
		}
		if sale := reply.GetOk().GetFlashSale(); sale != nil {
			r.sale, r.ended = sale, true
			return nil
		}
		if proto.Reason(reply.GetError().GetReason()) != proto.ReasonVersionConflict {
			return fmt.Errorf("flash_stop was refused: %v", reply.GetError())
		}
		// Somebody edited it meanwhile: look again.
		if err := r.host.refresh(ctx); err != nil {
			return err
		}
		for _, sale := range r.host.current().Welcome().GetSales() {
			if sale.Id == r.sale.Id {
				r.sale = sale
			}
		}
	}
	return errors.New("flash_stop: the sale's version kept changing")
}

// caughtUp reports whether every watcher knows the sale's end and every numbered event there is.
func (r *smokeRun) caughtUp() bool {
	head := r.head()
	for _, p := range r.staying() {
		if !p.history.saw("flash_ended") || p.history.last() < head {
			return false
		}
	}
	return true
}
