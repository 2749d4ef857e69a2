package cart

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// RetrySchedule is the pauses between the sendings of what is not answered with 2xx, those of WeChat
// Pay's payment notices: "15s/15s/30s/3m/10m/20m/30m/30m/30m/60m/3h/3h/3h/6h/6h, 24h4m in all" (the
// document "payment notification" of its API, pay.weixin.qq.com). After the last one it is given up.
var RetrySchedule = []time.Duration{
	15 * time.Second, 15 * time.Second, 30 * time.Second, 3 * time.Minute, 10 * time.Minute, 20 * time.Minute,
	30 * time.Minute, 30 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 3 * time.Hour, 3 * time.Hour,
	6 * time.Hour, 6 * time.Hour,
}

const (
	// hookAddresses is how many webhooks a process sends to at a time, hookSendings how many of one
	// webhook's events are on their way together, hookBatch how many it claims. A webhook that is slow
	// holds up itself alone.
	hookAddresses = 16
	hookSendings  = 4
	hookBatch     = 16
	// hookClaim is how long nobody else sends what was claimed: the batch's sendings, 4 rounds of them.
	hookClaim = time.Minute
	// deliveriesKept is how long what was sent or given up is kept.
	deliveriesKept = 7 * 24 * time.Hour
)

// hookAddress names a webhook.
type hookAddress struct{ shopID, id string }

// hookWorker sends what is in the outbox. Any number of them may run.
type hookWorker struct {
	cfg    Config
	client *http.Client

	mu   sync.Mutex
	busy map[hookAddress]bool
	// turn counts turns, turns is when the webhooks that still have something to send had their last.
	turn  int64
	turns map[hookAddress]int64
}

func newHookWorker(cfg Config) *hookWorker {
	return &hookWorker{cfg: cfg, client: newHookClient(cfg.WebhookAllowPrivate), busy: map[hookAddress]bool{}, turns: map[hookAddress]int64{}}
}

// run sends until ctx ends.
func (w *hookWorker) run(ctx context.Context) error {
	tick := time.NewTicker(w.cfg.SweepEvery)
	defer tick.Stop()
	defer w.client.CloseIdleConnections()
	var sending sync.WaitGroup
	defer sending.Wait()
	var swept, pruned time.Time
	look := store.Trouble{Log: w.cfg.Log, What: "look for events to send to webhooks"}
	sweep := store.Trouble{Log: w.cfg.Log, What: "end what is sent to no webhook"}
	prune := store.Trouble{Log: w.cfg.Log, What: "prune what was sent to webhooks"}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		due, err := w.due(ctx)
		look.Note(ctx, err)
		for _, at := range due {
			sending.Go(func() { w.serve(ctx, at) }) // ends with its sendings, which ctx ends
		}
		if time.Since(swept) > 10*time.Second {
			swept = time.Now()
			sweep.Note(ctx, w.sweep(ctx))
		}
		if time.Since(pruned) > time.Hour {
			pruned = time.Now()
			prune.Note(ctx, w.prune(ctx))
		}
	}
}

//go:embed sql/due_webhooks.sql
var dueWebhooksSQL string

// due returns webhooks with something to send that nobody here sends to, and marks them busy. Those whose
// last turn is longest ago come first, so that some that never answer do not hold up the others.
func (w *hookWorker) due(ctx context.Context) ([]hookAddress, error) {
	rows, err := w.cfg.Pool.Query(ctx, dueWebhooksSQL)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a hookAddress, err error) { return a, row.Scan(&a.shopID, &a.id) })
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.turns
	w.turns = make(map[hookAddress]int64, len(all))
	for _, at := range all {
		w.turns[at] = before[at]
	}
	slices.SortStableFunc(all, func(a, b hookAddress) int { return cmp.Compare(w.turns[a], w.turns[b]) })
	var free []hookAddress
	for _, at := range all {
		if !w.busy[at] && len(w.busy) < hookAddresses {
			w.turn++
			w.busy[at], w.turns[at] = true, w.turn
			free = append(free, at)
		}
	}
	return free, nil
}

// done ends a webhook's turn.
func (w *hookWorker) done(at hookAddress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, at)
}

// serve sends what is due to one webhook, batch after batch while all of it is taken.
func (w *hookWorker) serve(ctx context.Context, at hookAddress) {
	defer w.done(at)
	for ctx.Err() == nil {
		n, err := w.send(ctx, at)
		if err != nil && ctx.Err() == nil {
			w.cfg.Log.Debug("a webhook's events wait", "shop", at.shopID, "webhook", at.id, "err", err)
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// delivery is one claimed event.
type delivery struct {
	url, secret, orderID, from, to, cause string
	n                                     int64
	tries                                 int
	at                                    time.Time
}

//go:embed sql/claim_deliveries.sql
var claimDeliveriesSQL string

// send claims and sends a batch and returns how many were taken. The first sending that fails is its
// error, with the others done all the same.
func (w *hookWorker) send(ctx context.Context, at hookAddress) (int, error) {
	rows, err := w.cfg.Pool.Query(ctx, claimDeliveriesSQL, at.shopID, at.id, hookBatch, hookClaim.Seconds())
	if err != nil {
		return 0, fmt.Errorf("claim events: %w", err)
	}
	due, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d delivery, err error) {
		return d, row.Scan(&d.url, &d.secret, &d.orderID, &d.n, &d.tries, &d.from, &d.to, &d.cause, &d.at)
	})
	if err != nil {
		return 0, fmt.Errorf("claim events: %w", err)
	}
	limit := make(chan struct{}, hookSendings)
	failed := make([]error, len(due))
	var all sync.WaitGroup
	for i, d := range due {
		limit <- struct{}{}
		all.Go(func() {
			failed[i] = w.deliver(ctx, at, d)
			<-limit
		})
	}
	all.Wait()
	taken := 0
	for _, err := range failed {
		if err == nil {
			taken++
		}
	}
	return taken, errors.Join(failed...)
}

// errGone says that a webhook wants nothing any more.
var errGone = errors.New("answered 410 Gone")

// deliver sends one event and keeps what came of it.
func (w *hookWorker) deliver(ctx context.Context, at hookAddress, d delivery) error {
	sent := w.post(ctx, d)
	// What came of it is kept also when ctx has ended meanwhile.
	turn, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.turnTimeout)
	defer cancel()
	state, result, pause := "taken", "taken", time.Duration(0)
	said := ""
	switch {
	case sent == nil:
	case errors.Is(sent, errGone):
		if _, err := w.cfg.Pool.Exec(turn, `
			UPDATE webhook SET disabled_at = clock_timestamp() WHERE shop_id = $1 AND id = $2 AND url = $3 AND disabled_at IS NULL`,
			at.shopID, at.id, d.url); err != nil {
			return fmt.Errorf("disable webhook: %w", err)
		}
		state, result, said = "given_up", "given_up", sent.Error()
	case d.tries > len(RetrySchedule):
		state, result, said = "given_up", "given_up", sent.Error()
	default:
		state, result, said, pause = "due", "failed", sent.Error(), RetrySchedule[d.tries-1]
	}
	w.cfg.metrics.webhooks.WithLabelValues(result).Inc()
	_, err := w.cfg.Pool.Exec(turn, `
		UPDATE webhook_delivery SET state = $5, last_error = $6, next_at = clock_timestamp() + make_interval(secs => $7),
			done_at = CASE WHEN $5 = 'due' THEN NULL ELSE clock_timestamp() END
		WHERE shop_id = $1 AND webhook_id = $2 AND order_id = $3 AND n = $4 AND state = 'due'`,
		at.shopID, at.id, d.orderID, d.n, state, cleanText(fmt.Sprintf("%.*s", maxRefundError, said)), pause.Seconds())
	if err != nil {
		err = fmt.Errorf("keep what a webhook answered: %w", err)
	}
	return errors.Join(sent, err)
}

// hookBody is what a webhook gets.
type hookBody struct {
	// Type is "order." and the state that the order moved to.
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      hookData  `json:"data"`
}

type hookData struct {
	OrderID string `json:"order_id"`
	// N numbers the moves of an order from 1 without gaps.
	N     int64  `json:"n"`
	From  string `json:"from"`
	To    string `json:"to"`
	Cause string `json:"cause"`
	// Order is as it is now; its version tells which of two is newer.
	Order json.RawMessage `json:"order"`
}

// post sends one event; nil says that it was taken.
func (w *hookWorker) post(ctx context.Context, d delivery) error {
	order, err := readOrder(ctx, w.cfg.Pool, d.orderID)
	if err != nil {
		return err
	}
	wire, err := proto.Encode(proto.JSON, order)
	if err != nil {
		return err
	}
	body, err := json.Marshal(hookBody{
		Type: "order." + d.to, Timestamp: d.at.UTC(),
		Data: hookData{OrderID: d.orderID, N: d.n, From: d.from, To: d.to, Cause: d.cause, Order: wire},
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "livecart")
	if err := Sign(d.secret, req.Header, fmt.Sprintf("%s-%d", d.orderID, d.n), time.Now(), body); err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		// Its words begin with the address, whose query may hold a secret of the shop's.
		var said *url.Error
		if errors.As(err, &said) {
			err = said.Err
		}
		return err
	}
	defer resp.Body.Close()
	// What it says does not matter; read, the connection can be used again.
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxHookAnswer)); err != nil {
		return err
	}
	switch {
	case resp.StatusCode == http.StatusGone:
		return errGone
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("answered %s", resp.Status)
	}
	return nil
}

// sweep gives up what is due to webhooks that are gone or disabled, or were and are there again.
func (w *hookWorker) sweep(ctx context.Context) error {
	_, err := w.cfg.Pool.Exec(ctx, `
		UPDATE webhook_delivery d SET state = 'given_up', done_at = clock_timestamp(), last_error = 'the webhook is gone'
		WHERE state = 'due' AND NOT EXISTS (SELECT FROM webhook h WHERE h.shop_id = d.shop_id AND h.id = d.webhook_id AND h.disabled_at IS NULL AND h.since <= d.created_at)`)
	return err
}

func (w *hookWorker) prune(ctx context.Context) error {
	_, err := w.cfg.Pool.Exec(ctx, `
		DELETE FROM webhook_delivery WHERE done_at < clock_timestamp() - make_interval(secs => $1)`, deliveriesKept.Seconds())
	return err
}
