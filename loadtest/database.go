package loadtest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// orderRow is an order of the sale in Postgres.
type orderRow struct {
	id, buyer, request string
	pieces             int64
}

// tipRow is a tip in Postgres.
type tipRow struct {
	id, sender string
	beans      int64
}

// probeTimeout bounds how long the database may take to answer before a run.
const probeTimeout = 10 * time.Second

// probeDatabase finds out before a run whether its records can be read afterwards.
func probeDatabase(ctx context.Context, t Target) error {
	if t.DatabaseURL == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	known := false
	err := readDatabase(ctx, t.DatabaseURL, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM room WHERE id = $1)`, t.Room).Scan(&known)
	})
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if !known {
		return fmt.Errorf("%w: the database knows no room %q", ErrInvalid, t.Room)
	}
	return nil
}

// readDatabase runs read on one moment of the database. Postgres refuses every write in it.
func readDatabase(ctx context.Context, url string, read func(pgx.Tx) error) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, read)
}

// checkDatabase compares the histories with Postgres, where it may be read.
func (r *smokeRun) checkDatabase(ctx context.Context) []Check {
	const orders, tips, audit = "orders_recorded_once", "tips_recorded_once", "audit"
	if r.Target.DatabaseURL == "" {
		const why = "no database is given"
		return []Check{{Name: orders, Skipped: why}, {Name: tips, Skipped: why}, {Name: audit, Skipped: why}}
	}
	var checks []Check
	err := readDatabase(ctx, r.Target.DatabaseURL, func(tx pgx.Tx) error {
		orderRows, sold, err := readOrders(ctx, tx, r.sale.Id)
		if err != nil {
			return err
		}
		tipRows, err := readTips(ctx, tx, r.senders())
		if err != nil {
			return err
		}
		checks = []Check{r.checkOrderRows(orders, orderRows, sold), r.checkTipRows(tips, tipRows)}
		return nil
	})
	if err != nil {
		checks = []Check{{Name: orders, Detail: err.Error()}, {Name: tips, Detail: err.Error()}}
	}
	return append(checks, r.checkAudit(ctx))
}

// checkAudit holds the server's own invariants.
func (r *smokeRun) checkAudit(ctx context.Context) Check {
	const name = "audit"
	if r.Audit == nil {
		return Check{Name: name, Skipped: "not asked for"}
	}
	violated, err := r.Audit(ctx)
	if err != nil {
		violated = append(violated, err.Error())
	}
	return verdict(name, violated, "every invariant holds")
}

// readOrders returns the sale's orders and how many pieces the sale itself counts as sold.
func readOrders(ctx context.Context, tx pgx.Tx, saleID string) (orders []orderRow, sold int64, err error) {
	rows, err := tx.Query(ctx, `
		SELECT o.id, o.buyer_id, o.request_id, coalesce((SELECT sum(quantity) FROM order_line l WHERE l.order_id = o.id), 0)
		FROM orders o WHERE o.sale_id = $1 ORDER BY o.id`, saleID)
	if err != nil {
		return nil, 0, fmt.Errorf("read orders: %w", err)
	}
	var row orderRow
	_, err = pgx.ForEachRow(rows, []any{&row.id, &row.buyer, &row.request, &row.pieces}, func() error {
		orders = append(orders, row)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read orders: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT sold FROM sale WHERE id = $1`, saleID).Scan(&sold); err != nil {
		return nil, 0, fmt.Errorf("read sale %s: %w", saleID, err)
	}
	return orders, sold, nil
}

// readTips returns every tip of the senders.
func readTips(ctx context.Context, tx pgx.Tx, senders []string) (tips []tipRow, err error) {
	rows, err := tx.Query(ctx, `SELECT id, sender_id, beans FROM tip WHERE sender_id = ANY($1) ORDER BY id`, senders)
	if err != nil {
		return nil, fmt.Errorf("read tips: %w", err)
	}
	var row tipRow
	_, err = pgx.ForEachRow(rows, []any{&row.id, &row.sender, &row.beans}, func() error {
		tips = append(tips, row)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read tips: %w", err)
	}
	return tips, nil
}
