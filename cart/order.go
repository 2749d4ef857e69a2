package cart

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// state is an order's state as Postgres keeps it.
type state string

const (
	awaitingPayment state = "awaiting_payment"
	paid            state = "paid"
	shipped         state = "shipped"
	completed       state = "completed"
	expired         state = "expired"
	cancelled       state = "cancelled"
	refundDue       state = "refund_due"
	refunded        state = "refunded"
)

// moves lists where each state may go; the package's doc draws it.
var moves = map[state][]state{
	awaitingPayment: {paid, expired, cancelled},
	paid:            {shipped, refundDue},
	shipped:         {completed, refundDue},
	completed:       {refundDue},
	expired:         {paid, refundDue},
	cancelled:       {},
	refundDue:       {refunded},
	refunded:        {},
}

const wirePrefix = "ORDER_STATE_"

func (s state) wire() proto.OrderState {
	return proto.OrderState(proto.OrderState_value[wirePrefix+strings.ToUpper(string(s))])
}

func stateOf(s proto.OrderState) state {
	return state(strings.ToLower(strings.TrimPrefix(s.String(), wirePrefix)))
}

// mayBecome reports whether an order may move from s to the other state.
func (s state) mayBecome(to state) bool { return slices.Contains(moves[s], to) }

//go:embed sql/move_orders.sql
var moveOrdersSQL string

// moveOrders moves those of the orders that are in state from to another state, in the same
// transaction with their order_event rows, and returns which moved. A move that no order may make
// is ErrOrderState. The caller has locked the rows in an earlier statement.
func moveOrders(ctx context.Context, tx pgx.Tx, ids []string, from, to state, cause string) ([]string, error) {
	if !from.mayBecome(to) {
		return nil, ErrOrderState
	}
	rows, err := tx.Query(ctx, moveOrdersSQL, ids, from, to, cause)
	if err != nil {
		return nil, fmt.Errorf("move orders to %s: %w", to, err)
	}
	moved, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("move orders to %s: %w", to, err)
	}
	return moved, nil
}

// moveOrder is moveOrders for one order that must move.
func moveOrder(ctx context.Context, tx pgx.Tx, id string, from, to state, cause string) error {
	moved, err := moveOrders(ctx, tx, []string{id}, from, to, cause)
	if err == nil && len(moved) != 1 {
		return ErrOrderState
	}
	return err
}

// lockedOrder is what decisions about one order need, read under its lock.
type lockedOrder struct {
	ID, ShopID, BuyerID, SaleID string
	State                       state
	Currency                    string
	Amount                      int64
	PriceVersion, Version       int64
	// HasAddress says that it is known where the order goes.
	HasAddress bool
	// Overdue says that the payment window was over at the moment of the read.
	Overdue bool
}

// lockOrder locks an order and reads it in a later statement, so that nothing of it, nor the time,
// is from before a wait. pgx.ErrNoRows comes through for an order that does not exist.
func lockOrder(ctx context.Context, tx pgx.Tx, id string) (lockedOrder, error) {
	o := lockedOrder{ID: id}
	if _, err := tx.Exec(ctx, `SELECT FROM orders WHERE id = $1 FOR UPDATE`, id); err != nil {
		return o, fmt.Errorf("lock order %s: %w", id, err)
	}
	err := tx.QueryRow(ctx, `
		SELECT shop_id, buyer_id, coalesce(sale_id, ''), state, currency, amount, price_version, version, ship_to IS NOT NULL, expires_at <= clock_timestamp()
		FROM orders WHERE id = $1`, id).
		Scan(&o.ShopID, &o.BuyerID, &o.SaleID, &o.State, &o.Currency, &o.Amount, &o.PriceVersion, &o.Version, &o.HasAddress, &o.Overdue)
	if err != nil {
		return o, fmt.Errorf("read order %s: %w", id, err)
	}
	return o, nil
}

// entered counts the states that orders have come to by a commit, and tells their buyers.
func (cfg Config) entered(orders ...*proto.Order) {
	for _, o := range orders {
		cfg.metrics.orders.WithLabelValues(string(stateOf(o.State))).Inc()
	}
	cfg.tell(orders...)
}

// tell sends buyers their orders. Who misses it sees the order's version when asking.
func (cfg Config) tell(orders ...*proto.Order) {
	if err := cfg.Bus.PublishPrivate(orderUpdated(orders...)...); err != nil {
		cfg.Log.Warn("buyers were not told of their orders", "orders", len(orders), "err", err)
	}
}

// readOrder is readOrders for one.
func readOrder(ctx context.Context, q store.Querier, id string) (*proto.Order, error) {
	orders, err := readOrders(ctx, q, []string{id})
	if err != nil {
		return nil, err
	}
	if len(orders) == 0 {
		return nil, ErrOrderNotFound
	}
	return orders[0], nil
}
