package cart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/session/store"
)

// MaxFee is the whole of an amount in parts per million.
const MaxFee = 1_000_000

// Fees of shops that have no policy in force.
const (
	DefaultSaleFee = 0
	DefaultTipFee  = 500_000
)

// FeePolicy is what the platform keeps of a shop's sales and of the tips in its rooms, from Since on
// until the shop's next policy. An order falls under the policy in force when it was made, a tip
// under the one in force when it was decided.
type FeePolicy struct {
	Since time.Time
	// SalePPM and TipPPM are in parts per million, 0 to MaxFee. The fee of a sale is rounded down, and
	// so is the host's part of a tip.
	SalePPM, TipPPM int64
	// SetBy is the user who set it, and SetAt when.
	SetBy string
	SetAt time.Time
}

// maxFeeAhead is how far ahead fees are set at most.
const maxFeeAhead = 10 * 365 * 24 * time.Hour

// PutFees sets a shop's fees from since on; the zero time is now. A policy that is not in force yet is
// replaced by another of the same time. What is in force stays as it is: a time before the database's
// now is ErrInvalid, unless exactly this policy stands there.
func (c *Cart) PutFees(ctx context.Context, shopID string, since time.Time, salePPM, tipPPM int64, by string) (FeePolicy, error) {
	if salePPM < 0 || salePPM > MaxFee || tipPPM < 0 || tipPPM > MaxFee {
		return FeePolicy{}, invalid("a fee is 0 to %d ppm", MaxFee)
	}
	if err := checkText("the setter's id", by, 1, 128); err != nil {
		return FeePolicy{}, err
	}
	var put FeePolicy
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) (err error) {
		put, err = putFees(ctx, tx, shopID, since, FeePolicy{SalePPM: salePPM, TipPPM: tipPPM, SetBy: by})
		return err
	})
	return put, wrapFees(err, shopID)
}

func putFees(ctx context.Context, tx pgx.Tx, shopID string, since time.Time, p FeePolicy) (FeePolicy, error) {
	// Two who set fees of one shop go one after the other; the clock is read once it is our turn.
	var shop int
	err := tx.QueryRow(ctx, `SELECT 1 FROM shop WHERE id = $1 FOR NO KEY UPDATE`, shopID).Scan(&shop)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, ErrShopNotFound
	}
	if err != nil {
		return p, fmt.Errorf("lock shop: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&p.SetAt); err != nil {
		return p, fmt.Errorf("read clock: %w", err)
	}
	if p.Since = since; since.IsZero() {
		p.Since = p.SetAt
	}
	if p.Since.After(p.SetAt.Add(maxFeeAhead)) {
		return p, invalid("fees are set at most ten years ahead")
	}
	if p.Since.Before(p.SetAt) {
		old := FeePolicy{Since: p.Since}
		err := tx.QueryRow(ctx, `SELECT sale_ppm, tip_ppm, set_by, at FROM fee_policy WHERE shop_id = $1 AND since = $2`, shopID, p.Since).
			Scan(&old.SalePPM, &old.TipPPM, &old.SetBy, &old.SetAt)
		switch {
		case errors.Is(err, pgx.ErrNoRows), err == nil && (old.SalePPM != p.SalePPM || old.TipPPM != p.TipPPM):
			return p, invalid("fees are not changed for the past: since is now or later")
		case err != nil:
			return p, fmt.Errorf("read policy: %w", err)
		}
		return old, nil
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO fee_policy (shop_id, since, sale_ppm, tip_ppm, set_by, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (shop_id, since) DO UPDATE SET sale_ppm = $3, tip_ppm = $4, set_by = $5, at = $6`,
		shopID, p.Since, p.SalePPM, p.TipPPM, p.SetBy, p.SetAt)
	if err != nil {
		return p, fmt.Errorf("write policy: %w", err)
	}
	return p, nil
}

// maxPolicies is how many policies of a shop Fees returns.
const maxPolicies = 100

// Fees returns a shop's policies, the latest first: those to come, the one in force, and earlier
// ones, at most 100. inForce is its fees now, without a Since where they are the defaults.
func (c *Cart) Fees(ctx context.Context, shopID string) (inForce FeePolicy, policies []FeePolicy, err error) {
	err = store.InSnapshot(ctx, c.cfg.Pool, func(tx pgx.Tx) (err error) {
		var shop int
		if err := tx.QueryRow(ctx, `SELECT 1 FROM shop WHERE id = $1`, shopID).Scan(&shop); errors.Is(err, pgx.ErrNoRows) {
			return ErrShopNotFound
		} else if err != nil {
			return err
		}
		policies, err = readPolicies(ctx, tx, `WHERE shop_id = $1 ORDER BY since DESC LIMIT $2`, shopID, maxPolicies)
		if err != nil {
			return err
		}
		// It may be older than all that are listed.
		now, err := readPolicies(ctx, tx, `WHERE shop_id = $1 AND since <= clock_timestamp() ORDER BY since DESC LIMIT 1`, shopID)
		if inForce = (FeePolicy{SalePPM: DefaultSaleFee, TipPPM: DefaultTipFee}); len(now) > 0 {
			inForce = now[0]
		}
		return err
	})
	return inForce, policies, wrapFees(err, shopID)
}

func readPolicies(ctx context.Context, tx pgx.Tx, which string, args ...any) ([]FeePolicy, error) {
	rows, err := tx.Query(ctx, `SELECT since, sale_ppm, tip_ppm, set_by, at FROM fee_policy `+which, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p FeePolicy, err error) {
		return p, row.Scan(&p.Since, &p.SalePPM, &p.TipPPM, &p.SetBy, &p.SetAt)
	})
}

func wrapFees(err error, shopID string) error {
	if err == nil {
		return nil
	}
	return wrap(err, "fees of shop %s", shopID)
}
