package cart

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

var allStates = []state{awaitingPayment, paid, shipped, completed, expired, cancelled, refundDue, refunded}

// TestMoves tries every pair of states: only the drawn moves happen, each with its event.
func TestMoves(t *testing.T) {
	m := newMarket(t)
	allowed := map[string]bool{
		"awaiting_payment paid": true, "awaiting_payment expired": true, "awaiting_payment cancelled": true,
		"paid shipped": true, "shipped completed": true, "expired paid": true, "expired refund_due": true,
		"paid refund_due": true, "shipped refund_due": true, "completed refund_due": true, "refund_due refunded": true,
	}
	o := m.order("k", "tea-s", 1)
	for _, from := range allStates {
		for _, to := range allStates {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				tx, err := m.pool().Begin(t.Context())
				m.must(err)
				defer tx.Rollback(t.Context())
				_, err = tx.Exec(t.Context(), `UPDATE orders SET state = $2 WHERE id = $1`, o.Id, from)
				m.must(err)
				err = moveOrder(t.Context(), tx, o.Id, from, to, "test")
				var events, version int64
				var now state
				m.must(tx.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM order_event WHERE order_id = id AND n = 2 AND from_state = $2 AND to_state = $3),
					version, state FROM orders WHERE id = $1`, o.Id, from, to).Scan(&events, &version, &now))
				if allowed[string(from)+" "+string(to)] {
					if err != nil || events != 1 || version != 2 || now != to {
						t.Errorf("allowed move: %v, %d events, version %d, state %s", err, events, version, now)
					}
					return
				}
				m.refused(err, ErrOrderState)
				if events != 0 || version != 1 || now != from {
					t.Errorf("refused move left %d events, version %d, state %s", events, version, now)
				}
			})
		}
	}
}

func TestMoveFromAnotherStateChangesNothing(t *testing.T) {
	m := newMarket(t)
	o := m.order("k", "tea-s", 1)
	err := store.InTx(t.Context(), m.pool(), func(tx pgx.Tx) error {
		return moveOrder(t.Context(), tx, o.Id, paid, shipped, "test")
	})
	m.refused(err, ErrOrderState)
	m.expect("state", m.state(o.Id), awaitingPayment)
}

func TestStatesHaveTheirWireForm(t *testing.T) {
	seen := map[proto.OrderState]bool{}
	for _, s := range allStates {
		if s.wire() == proto.OrderState_ORDER_STATE_UNSPECIFIED || seen[s.wire()] || stateOf(s.wire()) != s {
			t.Errorf("%s is %v on the wire and %s back", s, s.wire(), stateOf(s.wire()))
		}
		seen[s.wire()] = true
	}
	if len(seen) != len(proto.OrderState_name)-1 {
		t.Errorf("the wire knows %d states, we %d", len(proto.OrderState_name)-1, len(seen))
	}
}

// A NUL is what Postgres takes for no text at all.
func TestOrderIDThatCanBeNone(t *testing.T) {
	m := newMarket(t)
	for _, id := range []string{"", "ord\x00", strings.Repeat("x", store.MaxID+1)} {
		t.Run(fmt.Sprintf("%.8q", id), func(t *testing.T) {
			_, err := m.cart.Pay(t.Context(), "ann", "p1", id)
			m.refused(err, ErrOrderNotFound)
			_, err = m.cart.Cancel(t.Context(), "ann", "c1", id)
			m.refused(err, ErrOrderNotFound)
			_, err = m.cart.SetAddress(t.Context(), "ann", &proto.OrderAddress{OrderId: id, ShipTo: goodAddress()})
			m.refused(err, ErrOrderNotFound)
		})
	}
	m.expect("keys", scan[int](m, `SELECT count(*) FROM request_key`), 0)
}
