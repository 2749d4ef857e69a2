package loadtest

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

//go:embed sql/read_out_of_window.sql
var readOutOfWindowSQL string

//go:embed sql/read_sale_peaks.sql
var readSalePeaksSQL string

// demand is what clients wanted of a sale, as far as they were told ok or sold_out for good.
type demand struct {
	byBuyer map[string]int64
	// The smallest quantity that was answered with sold_out, 0 for none.
	refused int64
}

// demands adds up each key once, at what it asked for when it got its outcome.
func (c *recordCheck) demands() map[string]*demand {
	sales := map[string]*demand{}
	counted := map[recordKey]bool{}
	for i := range c.records {
		r := &c.records[i]
		if r.Kind != KindFlashBuy {
			continue
		}
		d := sales[r.SaleID]
		if d == nil {
			d = &demand{byBuyer: map[string]int64{}}
			sales[r.SaleID] = d
		}
		soldOut := r.Outcome == string(proto.ReasonSoldOut)
		if soldOut && (d.refused == 0 || r.Quantity < d.refused) {
			d.refused = r.Quantity
		}
		if (soldOut || r.Outcome == OutcomeOK) && !counted[r.id()] {
			counted[r.id()] = true
			d.byBuyer[r.Client] += r.Quantity
		}
	}
	return sales
}

// pieces returns the demand with no buyer wanting more than limit, 0 for no limit.
func (d *demand) pieces(limit int64) int64 {
	var sum int64
	for _, n := range d.byBuyer {
		if limit > 0 {
			n = min(n, limit)
		}
		sum += n
	}
	return sum
}

// checkSales looks at the sales that the history names.
func (c *recordCheck) checkSales(ctx context.Context, tx pgx.Tx) error {
	sales := c.demands()
	ids := slices.Sorted(maps.Keys(sales))
	if err := c.checkWindows(ctx, tx, ids); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, readSalePeaksSQL, ids)
	if err != nil {
		return fmt.Errorf("read sales: %w", err)
	}
	var id string
	var quantity, limit, peak, undone int64
	_, err = pgx.ForEachRow(rows, []any{&id, &quantity, &limit, &peak, &undone}, func() error {
		d := sales[id]
		// Some were told sold_out while attempts that came to nothing held pieces, or because fewer were
		// left than they wanted.
		wanted := d.pieces(limit)
		if d.refused > 0 && wanted >= quantity && peak+undone+d.refused-1 < quantity {
			c.report(checkSoldAll, "sale_id", id, "quantity", quantity, "demand", wanted, "most_sold", peak, "held_by_undone_attempts", undone)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read sales: %w", err)
	}
	return nil
}

func (c *recordCheck) checkWindows(ctx context.Context, tx pgx.Tx, sales []string) error {
	rows, err := tx.Query(ctx, readOutOfWindowSQL, sales)
	if err != nil {
		return fmt.Errorf("read orders out of window: %w", err)
	}
	var order, buyer, key, sale, created, start, end string
	_, err = pgx.ForEachRow(rows, []any{&order, &buyer, &key, &sale, &created, &start, &end}, func() error {
		c.report(checkWindow, "order_id", order, "client", buyer, "key", key, "sale_id", sale, "created_at", created, "starts_at", start, "ended_at", end)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read orders out of window: %w", err)
	}
	return nil
}
