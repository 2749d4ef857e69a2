package loadtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"livecart/proto"
)

// checks compares everything that was told with everything that was done.
func (r *smokeRun) checks(ctx context.Context) []Check {
	checks := []Check{
		r.checkComments(),
		r.checkNumbered(),
		r.checkLikes(),
		r.checkOutcomes(),
		r.checkSale(),
		r.checkOwnOrders(ctx),
		r.checkTips(),
		r.checkBalances(ctx),
	}
	return append(checks, r.checkDatabase(ctx)...)
}

// verdict turns a list of complaints into a check.
func verdict(name string, complaints []string, detail string, args ...any) Check {
	const told = 3
	if len(complaints) == 0 {
		return Check{Name: name, OK: true, Detail: fmt.Sprintf(detail, args...)}
	}
	text := strings.Join(complaints[:min(told, len(complaints))], "; ")
	if more := len(complaints) - told; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return Check{Name: name, Detail: text}
}

// checkComments holds that each comment reached each watcher or is in what the watcher was told of
// as left out. The watchers stayed from before the first comment to after the last.
func (r *smokeRun) checkComments() Check {
	var bad []string
	var came, sampled, skipped int
	for _, p := range r.watchers {
		h := p.history
		h.mu.Lock()
		for id, times := range h.comments {
			if times > 1 {
				bad = append(bad, fmt.Sprintf("%s got comment %s %d times", p.id, id, times))
			}
			if !r.comments[id] {
				bad = append(bad, fmt.Sprintf("%s got comment %s that nobody of the crowd wrote", p.id, id))
			}
		}
		if got := len(h.comments) + h.sampled + h.skipped; got != len(r.comments) {
			bad = append(bad, fmt.Sprintf("%s: %d came + %d sampled + %d skipped is not %d", p.id, len(h.comments), h.sampled, h.skipped, len(r.comments)))
		}
		came, sampled, skipped = came+len(h.comments), sampled+h.sampled, skipped+h.skipped
		h.mu.Unlock()
	}
	return verdict("comments_accounted", bad, "%d comments × %d viewers = %d came + %d sampled + %d skipped", len(r.comments), len(r.watchers), came, sampled, skipped)
}

// checkNumbered holds that every watcher's numbered events rose by one from the welcome on and that
// all of them got to the same end.
func (r *smokeRun) checkNumbered() Check {
	var bad []string
	var head int64
	for _, p := range r.watchers {
		p.history.mu.Lock()
		if n := len(p.history.numbered); n > 0 {
			head = max(head, p.history.numbered[n-1])
		}
		p.history.mu.Unlock()
	}
	total := 0
	for _, p := range r.watchers {
		h := p.history
		h.mu.Lock()
		last := h.welcomeSeq
		for _, seq := range h.numbered {
			if seq <= h.welcomeSeq {
				continue // contained in the snapshot
			}
			if seq != last+1 {
				bad = append(bad, fmt.Sprintf("%s: event %d came after %d", p.id, seq, last))
			}
			last = seq
		}
		if last != head {
			bad = append(bad, fmt.Sprintf("%s: the last numbered event was %d, others saw %d", p.id, last, head))
		}
		total += len(h.numbered)
		h.mu.Unlock()
	}
	if total == 0 {
		bad = append(bad, "no numbered event came at all")
	}
	return verdict("events_gapless", bad, "%d numbered events without gap or repeat, up to %d", total, head)
}

// checkLikes holds that the room's total rose by what was acknowledged.
func (r *smokeRun) checkLikes() Check {
	if got, want := r.host.history.likes()-r.likesBefore, r.likes.Load(); got != want {
		return Check{Name: "likes_exact", Detail: fmt.Sprintf("%d likes were acknowledged, the total rose by %d", want, got)}
	}
	return Check{Name: "likes_exact", OK: true, Detail: fmt.Sprintf("%d likes acknowledged and counted", r.likes.Load())}
}

// checkOutcomes holds that a key had one outcome however often it was sent.
func (r *smokeRun) checkOutcomes() Check {
	return verdict("one_key_one_outcome", r.broken, "%d attempts and %d gifts, many of them sent twice", len(r.attempts), len(r.tips))
}

// checkSale holds that with more demand than pieces all are sold and not one more.
func (r *smokeRun) checkSale() Check {
	var bad []string
	orders := map[string]bool{}
	buyers := map[string]int{}
	refusals := map[proto.Reason]int{}
	for _, a := range r.attempts {
		if a.orderID == "" {
			refusals[a.reason]++
			continue
		}
		if orders[a.orderID] {
			bad = append(bad, fmt.Sprintf("order %s answers two attempts", a.orderID))
		}
		orders[a.orderID] = true
		if buyers[a.buyer.id]++; buyers[a.buyer.id] > 1 {
			bad = append(bad, fmt.Sprintf("%s got %d pieces, the limit is 1", a.buyer.id, buyers[a.buyer.id]))
		}
	}
	for reason := range refusals {
		if reason != proto.ReasonSoldOut && reason != proto.ReasonLimitPerBuyer {
			bad = append(bad, fmt.Sprintf("%d attempts were refused with %q", refusals[reason], reason))
		}
	}
	if len(orders) != r.Pieces {
		bad = append(bad, fmt.Sprintf("%d orders were confirmed for %d pieces", len(orders), r.Pieces))
	}
	if r.sale.Sold != int64(r.Pieces) {
		bad = append(bad, fmt.Sprintf("the stopped sale says %d sold of %d", r.sale.Sold, r.Pieces))
	}
	for _, p := range r.watchers {
		p.history.mu.Lock()
		if sold := p.history.sold[r.sale.Id]; sold > int64(r.Pieces) {
			bad = append(bad, fmt.Sprintf("%s was told of %d sold pieces", p.id, sold))
		}
		if !p.history.soldOut[r.sale.Id] {
			bad = append(bad, fmt.Sprintf("%s was not told that the sale is sold out", p.id))
		}
		p.history.mu.Unlock()
	}
	paid := 0
	for _, a := range r.attempts {
		if a.paid {
			paid++
		}
	}
	if want := r.Pieces / 2; paid != want {
		bad = append(bad, fmt.Sprintf("%d of %d buyers who paid were told so", paid, want))
	}
	return verdict("sale_sold_exactly", bad, "%d attempts, %d sold, %d sold_out, %d limit_per_buyer, %d paid",
		len(r.attempts), len(orders), refusals[proto.ReasonSoldOut], refusals[proto.ReasonLimitPerBuyer], paid)
}

// checkOwnOrders holds that each confirmed order is the one that its key leads to.
func (r *smokeRun) checkOwnOrders(ctx context.Context) Check {
	var bad []string
	n := 0
	for _, a := range r.attempts {
		if a.orderID == "" {
			continue
		}
		n++
		reply, err := a.buyer.ask(ctx, &proto.Command{Command: &proto.Command_OrderGet{OrderGet: &proto.OrderGet{OfRequestId: a.key}}})
		switch order := reply.GetOk().GetOrder(); {
		case err != nil:
			bad = append(bad, err.Error())
		case order.GetId() != a.orderID:
			bad = append(bad, fmt.Sprintf("the key of order %s leads to %q (%v)", a.orderID, order.GetId(), reply.GetError()))
		case a.paid && order.State != proto.OrderState_ORDER_STATE_PAID:
			bad = append(bad, fmt.Sprintf("order %s was told as paid and is %v", a.orderID, order.State))
		}
	}
	return verdict("orders_found_by_key", bad, "%d orders", n)
}

// checkTips holds that each acknowledged tip has an id of its own and that no watcher was told of
// one twice or of none.
func (r *smokeRun) checkTips() Check {
	var bad []string
	ids := map[string]string{}
	for _, t := range r.tips {
		if len(t.tipIDs) != 1 {
			bad = append(bad, fmt.Sprintf("gift %s is tips %v", t.key, t.tipIDs))
		}
		for _, id := range t.tipIDs {
			if other := ids[id]; other != "" {
				bad = append(bad, fmt.Sprintf("tip %s answers gifts %s and %s", id, other, t.key))
			}
			ids[id] = t.key
		}
	}
	for _, p := range r.watchers {
		p.history.mu.Lock()
		for id := range ids {
			if n := p.history.tips[id]; n != 1 {
				bad = append(bad, fmt.Sprintf("%s was told of tip %s %d times", p.id, id, n))
			}
		}
		for id := range p.history.tips {
			if ids[id] == "" {
				bad = append(bad, fmt.Sprintf("%s was told of tip %s that nobody of the crowd sent", p.id, id))
			}
		}
		p.history.mu.Unlock()
	}
	return verdict("tips_told_once", bad, "%d tips × %d viewers", len(ids), len(r.watchers))
}

// checkBalances holds that what a gifter has left is what came in less what was sent.
func (r *smokeRun) checkBalances(ctx context.Context) Check {
	spent := map[*person]int64{}
	for _, t := range r.tips {
		spent[t.sender] += t.beans
	}
	var bad []string
	for _, p := range r.gifters {
		reply, err := p.ask(ctx, &proto.Command{Command: &proto.Command_WalletGet{WalletGet: &proto.WalletGet{}}})
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		if got, want := reply.GetOk().GetWalletBalance().GetBalance(), beansEach-spent[p]; got != want {
			bad = append(bad, fmt.Sprintf("%s has %d beans, %d came in and %d were sent", p.id, got, beansEach, spent[p]))
		}
		var told int64
		ok := until(ctx, 5*time.Second, func() bool {
			p.history.mu.Lock()
			defer p.history.mu.Unlock()
			told = p.history.balance.GetBalance()
			return told == beansEach-spent[p]
		})
		if !ok {
			bad = append(bad, fmt.Sprintf("%s was last told of %d beans and has %d", p.id, told, beansEach-spent[p]))
		}
	}
	return verdict("balances_add_up", bad, "%d wallets", len(r.gifters))
}

// figures counts what was done.
func (r *smokeRun) figures() []Figure {
	reconnects, frames := 0, 0
	closes := map[int]int{}
	for _, p := range r.crowd.people {
		reconnects += p.reconnects
		p.history.mu.Lock()
		frames += p.history.frames
		if p.history.closeCode != 0 {
			closes[p.history.closeCode]++
		}
		p.history.mu.Unlock()
	}
	out := []Figure{
		{"comments", int64(len(r.comments))}, {"likes", r.likes.Load()}, {"gifts", int64(len(r.tips))},
		{"attempts", int64(len(r.attempts))}, {"paid", r.paid.Load()}, {"reconnects", int64(reconnects)}, {"frames", int64(frames)},
	}
	codes := make([]int, 0, len(closes))
	for code := range closes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		out = append(out, Figure{fmt.Sprintf("closed with %d", code), int64(closes[code])})
	}
	return out
}
