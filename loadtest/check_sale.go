package loadtest

import (
	"context"
	"fmt"

	"livecart/proto"
)

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
	for _, p := range r.staying() {
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
	if want := r.payers; paid != want {
		bad = append(bad, fmt.Sprintf("%d of %d buyers who paid were told so", paid, want))
	}
	return verdict("sale_sold_exactly", bad, "%d attempts, %d sold, %d sold_out, %d limit_per_buyer, %d paid",
		len(r.attempts), len(orders), refusals[proto.ReasonSoldOut], refusals[proto.ReasonLimitPerBuyer], paid)
}

// checkOwnOrders holds that each confirmed order is the one that its key leads to.
func (r *smokeRun) checkOwnOrders(ctx context.Context) Check {
	return verdict("orders_found_by_key", r.wrongOrders(ctx), "%d orders", len(r.ordered()))
}

// askOrders has each buyer ask for the order.
func (r *smokeRun) askOrders(ctx context.Context) (bad []string) {
	for _, a := range r.ordered() {
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
	return bad
}
