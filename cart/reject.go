package cart

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// reject records an attempt whose own data cannot be booked and keeps it for a person to look at.
func (l *saleLedger) reject(ctx context.Context, a *proto.FlashAttempt, cause error) booking {
	b := booking{asked: []*proto.FlashAttempt{a}, decisions: refuseAll([]*proto.FlashAttempt{a}, outcomeRejected)}
	payload, err := proto.Encode(proto.Binary, a)
	if err != nil {
		payload = nil
		cause = fmt.Errorf("%w; and it cannot be kept: %w", cause, err)
	}
	l.cfg.Log.Error("a flash attempt was rejected", "sale", a.SaleId, "err", cause)
	ctx, cancel := context.WithTimeout(ctx, bookTimeout)
	defer cancel()
	late := false
	err = store.InTx(ctx, l.cfg.Pool, func(tx pgx.Tx) error {
		// Under the sale's lock, as every outcome is written.
		if _, err := lockSales(ctx, tx, []string{clean(a.SaleId)}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO dead_letter (kind, key, payload, error) VALUES ($1, $2, $3, $4)`,
			kindFlashBuy, clean(a.Key), payload, clean(cause.Error()))
		if err != nil || clean(a.Key) != a.Key || clean(a.Buyer.GetId()) != a.Buyer.GetId() {
			return err
		}
		var row attemptRows
		row.add(&proto.FlashAttempt{SaleId: clean(a.SaleId), Buyer: a.Buyer, Key: a.Key, Hash: a.Hash, Quantity: a.Quantity}, outcomeRejected, "")
		tag, err := tx.Exec(ctx, insertAttemptsSQL, row.args()...)
		late = tag.RowsAffected() == 0
		return err
	})
	if err != nil {
		l.cfg.Log.Error("a rejected flash attempt was not kept", "err", err)
	}
	if err != nil || late {
		// Where another worker has decided the attempt meanwhile, its outcome is found when asked again.
		b.decisions = refuseAll(b.asked, outcomeTryAgain)
	}
	return b
}

// clean makes text that Postgres takes.
func clean(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?") }
