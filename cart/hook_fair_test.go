package cart

import (
	"fmt"
	"testing"
)

// crowd adds so many webhooks of shop "shop" at an address that nobody calls, and returns the worker.
func (m *market) crowd(n int) *hookWorker {
	m.t.Helper()
	m.exec(`INSERT INTO webhook (shop_id, id, url, secret) SELECT 'shop', 'dead' || i, 'https://shop.example/', $2 FROM generate_series(1, $1) i`, n, testSecret)
	return newHookWorker(m.cfg)
}

// TestWaitingMovesHoldUpNoOtherWebhook has more webhooks than are served at a time wait for the next try of
// an order's first move, with its second one behind it.
func TestWaitingMovesHoldUpNoOtherWebhook(t *testing.T) {
	m := newMarket(t)
	w := m.crowd(hookAddresses)
	m.notice(success(m.pay(m.order("k", "tea-s", 1).Id), "e1"))
	m.exec(`UPDATE webhook_delivery SET tries = 1, next_at = clock_timestamp() + interval '1 hour' WHERE n = 1`)
	m.exec(`UPDATE webhook_delivery SET next_at = clock_timestamp() - interval '1 hour' WHERE n = 2`)
	due, err := w.due(t.Context())
	m.must(err)
	m.expect("due", fmt.Sprint(due), "[]")
}

// TestWebhooksTakeTurns has one webhook more than are served at a time, all with more to send than one turn
// is enough for.
func TestWebhooksTakeTurns(t *testing.T) {
	m := newMarket(t)
	w := m.crowd(hookAddresses + 1)
	m.order("k", "tea-s", 1)
	served := map[hookAddress]bool{}
	for range 2 {
		due, err := w.due(t.Context())
		m.must(err)
		m.expect("at a time", len(due), hookAddresses)
		for _, at := range due {
			served[at] = true
			w.done(at)
		}
	}
	m.expect("served", len(served), hookAddresses+1)
}
