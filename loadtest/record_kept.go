package loadtest

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

//go:embed sql/read_kept_orders.sql
var readKeptOrdersSQL string

//go:embed sql/read_kept_tips.sql
var readKeptTipsSQL string

//go:embed sql/read_kept_attempts.sql
var readKeptAttemptsSQL string

// keptKey is what Postgres keeps under an idempotency key.
type keptKey struct {
	// The recorded outcome as a Record spells it, with the id of what was made; empty where none is kept
	// or where clients are told of it by a word that others share.
	outcome, id string
	rows        []keptRow
}

// keptRow is an order or a tip.
type keptRow struct {
	id, roomID string
	what       string // sale or gift; empty for an ordinary order
	quantity   int64
}

func (r keptRow) String() string {
	return fmt.Sprintf("%s room=%s of=%s quantity=%d", r.id, r.roomID, r.what, r.quantity)
}

func (k *keptKey) rowsOf() []keptRow {
	if k == nil {
		return nil
	}
	return k.rows
}

// keptWords are the recorded outcomes as clients are told them. A rejected attempt answers
// invalid_argument, as does a command that never got that far.
var keptWords = map[string]string{
	"ordered": OutcomeOK, "booked": OutcomeOK, "void": string(proto.ReasonAttemptExpired), "rejected": "",
	"sold_out": string(proto.ReasonSoldOut), "limit_per_buyer": string(proto.ReasonLimitPerBuyer), "sale_ended": string(proto.ReasonSaleEnded),
	"insufficient_beans": string(proto.ReasonInsufficientBeans), "unknown_gift": string(proto.ReasonUnknownGift),
	"confirmation_required": string(proto.ReasonConfirmationRequired),
	// Other guards than the ledger give these as well.
	"room_not_found": "", "room_not_live": "", "forbidden": "",
}

// readKept reads what Postgres keeps under the keys.
func readKept(ctx context.Context, tx pgx.Tx, keys []recordKey) (map[recordKey]*keptKey, error) {
	kept := make(map[recordKey]*keptKey, len(keys))
	var clients, kinds, words []string
	for _, k := range keys {
		kept[k] = new(keptKey)
		clients, kinds, words = append(clients, k.client), append(kinds, k.kind), append(words, k.key)
	}
	rows, err := tx.Query(ctx, readKeptAttemptsSQL, clients, kinds, words)
	if err != nil {
		return nil, fmt.Errorf("read outcomes: %w", err)
	}
	var k recordKey
	var outcome, id string
	_, err = pgx.ForEachRow(rows, []any{&k.client, &k.kind, &k.key, &outcome, &id}, func() error {
		word, ok := keptWords[outcome]
		if !ok {
			return fmt.Errorf("the outcome %q is unknown", outcome)
		}
		kept[k].outcome, kept[k].id = word, id
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read outcomes: %w", err)
	}
	for what, sql := range map[string]string{"orders": readKeptOrdersSQL, "tips": readKeptTipsSQL} {
		rows, err := tx.Query(ctx, sql, clients, kinds, words)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		var row keptRow
		_, err = pgx.ForEachRow(rows, []any{&k.client, &k.kind, &k.key, &row.id, &row.roomID, &row.what, &row.quantity}, func() error {
			kept[k].rows = append(kept[k].rows, row)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
	}
	return kept, nil
}
