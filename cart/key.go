package cart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Kinds of commands as keys are kept under.
const (
	kindFlashBuy    = "flash_buy"
	kindOrderCreate = "order_create"
	kindOrderPay    = "order_pay"
	kindOrderCancel = "order_cancel"

	kindOrderReceive = "order_receive"
	kindOrderReprice = "order_reprice"
	kindOrderShip    = "order_ship"
	kindOrderRefund  = "order_refund"
)

// keyAge is how long a request_key is kept, and an attempt that was refused. An attempt that was
// ordered stays with its order.
const keyAge = 24 * time.Hour

// checkKey refuses what cannot be a request_id.
func checkKey(requestID string) error {
	if requestID == "" || !utf8.ValidString(requestID) || utf8.RuneCountInString(requestID) > proto.MaxRequestID || bytes.IndexByte([]byte(requestID), 0) >= 0 {
		return ErrRequestIDRequired
	}
	return nil
}

// contentHash stands for what a command asks, so that a key used again for something else is seen.
func contentHash(cmd proto.Message) ([]byte, error) {
	content, err := proto.Encode(proto.Binary, cmd)
	if err != nil {
		return nil, fmt.Errorf("hash command: %w", err)
	}
	sum := sha256.Sum256(content)
	return sum[:], nil
}

// claimKey records a key of a command that is idempotent by itself. It reports whether the key was
// used before for the same content; other content is ErrKeyConflict.
func claimKey(ctx context.Context, tx pgx.Tx, userID, kind, key string, cmd proto.Message) (again bool, err error) {
	hash, err := contentHash(cmd)
	if err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `INSERT INTO request_key (user_id, kind, key, hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, userID, kind, key, hash)
	if err != nil || tag.RowsAffected() == 1 {
		return false, err
	}
	var before []byte
	if err := tx.QueryRow(ctx, `SELECT hash FROM request_key WHERE user_id = $1 AND kind = $2 AND key = $3`, userID, kind, key).Scan(&before); err != nil {
		return false, err
	}
	if !bytes.Equal(before, hash) {
		return false, ErrKeyConflict
	}
	return true, nil
}

func pruneKeys(ctx context.Context, q store.Querier) error {
	if _, err := q.Exec(ctx, `DELETE FROM request_key WHERE at < now() - make_interval(secs => $1)`, keyAge.Seconds()); err != nil {
		return fmt.Errorf("prune request keys: %w", err)
	}
	return nil
}

func pruneAttempts(ctx context.Context, q store.Querier) error {
	if _, err := q.Exec(ctx, `DELETE FROM attempt WHERE outcome <> 'ordered' AND at < now() - make_interval(secs => $1)`, keyAge.Seconds()); err != nil {
		return fmt.Errorf("prune refused attempts: %w", err)
	}
	return nil
}

// attempt is the recorded outcome of a flash_buy or order_create.
type attempt struct {
	hash    []byte
	outcome string
	orderID string
}

// readAttempt returns the outcome recorded under a key, nil for none.
func readAttempt(ctx context.Context, q store.Querier, buyerID, kind, key string) (*attempt, error) {
	a := new(attempt)
	err := q.QueryRow(ctx, `SELECT hash, outcome, coalesce(order_id, '') FROM attempt WHERE buyer_id = $1 AND kind = $2 AND key = $3`, buyerID, kind, key).
		Scan(&a.hash, &a.outcome, &a.orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read attempt: %w", err)
	}
	return a, nil
}

// refusals are the recorded outcomes that made no order.
var refusals = map[string]error{
	"sold_out":        ErrSoldOut,
	"limit_per_buyer": ErrLimitPerBuyer,
	"sale_ended":      ErrSaleEnded,
	"void":            ErrAttemptExpired,
	"rejected":        ErrRejected,
}

// answer returns the attempt's order as it is now, the first where it made several, or the refusal that
// was recorded.
func (a *attempt) answer(ctx context.Context, q store.Querier) (*proto.Order, error) {
	if a.outcome == "ordered" {
		return readOrder(ctx, q, a.orderID)
	}
	if refusal, ok := refusals[a.outcome]; ok {
		return nil, refusal
	}
	return nil, fmt.Errorf("attempt has the unknown outcome %q", a.outcome)
}

// answers is answer for a key that may have made several orders, the first of them first.
func (a *attempt) answers(ctx context.Context, q store.Querier) ([]*proto.Order, error) {
	if a.outcome != "ordered" {
		_, err := a.answer(ctx, q)
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT id FROM orders WHERE id = $1 OR split_from = $1 ORDER BY id`, a.orderID)
	if err != nil {
		return nil, fmt.Errorf("orders of an attempt: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("orders of an attempt: %w", err)
	}
	return readOrders(ctx, q, ids)
}
