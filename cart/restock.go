package cart

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/lock_skus.sql
var lockSkusSQL string

//go:embed sql/return_sales.sql
var returnSalesSQL string

//go:embed sql/return_skus.sql
var returnSkusSQL string

// lockStock locks what a change of the orders' stock touches, in the package's order: the sales,
// then the skus. The orders themselves come after it.
func lockStock(ctx context.Context, tx pgx.Tx, orderIDs []string) error {
	_, err := tx.Exec(ctx, `
		SELECT FROM sale WHERE id IN (SELECT sale_id FROM orders WHERE id = ANY ($1)) ORDER BY id FOR UPDATE`, orderIDs)
	if err != nil {
		return fmt.Errorf("lock sales: %w", err)
	}
	if _, err := tx.Exec(ctx, lockSkusSQL, orderIDs); err != nil {
		return fmt.Errorf("lock skus: %w", err)
	}
	return nil
}

// returnStock gives back the pieces that the orders still hold. lockStock and the orders' locks come
// before it; Resync of the sales it returns comes after the commit.
func returnStock(ctx context.Context, tx pgx.Tx, orderIDs []string) (saleIDs []string, err error) {
	if len(orderIDs) == 0 {
		return nil, nil
	}
	for _, sql := range []string{
		returnSalesSQL,
		returnSkusSQL,
		`UPDATE order_line SET restocked = quantity WHERE order_id = ANY ($1) AND restocked < quantity`,
	} {
		if _, err := tx.Exec(ctx, sql, orderIDs); err != nil {
			return nil, fmt.Errorf("return stock: %w", err)
		}
	}
	return openSales(ctx, tx, orderIDs)
}

// openSales returns the orders' sales that are still open.
func openSales(ctx context.Context, tx pgx.Tx, orderIDs []string) ([]string, error) {
	rows, err := tx.Query(ctx, `
		SELECT DISTINCT s.id FROM orders o JOIN sale s ON s.id = o.sale_id WHERE o.id = ANY ($1) AND s.closed_at IS NULL`, orderIDs)
	if err != nil {
		return nil, fmt.Errorf("sales of orders: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("sales of orders: %w", err)
	}
	return ids, nil
}

// takeAgain takes the pieces that an order gave back once more, all or none. lockStock and the
// order's lock come before it.
func takeAgain(ctx context.Context, tx pgx.Tx, o lockedOrder) (bool, error) {
	take := takeFromSkus
	if o.SaleID != "" {
		take = takeFromSale
	}
	taken, err := take(ctx, tx, o)
	if err != nil || !taken {
		return false, err
	}
	if _, err := tx.Exec(ctx, `UPDATE order_line SET restocked = 0 WHERE order_id = $1`, o.ID); err != nil {
		return false, fmt.Errorf("take stock again: %w", err)
	}
	return true, nil
}

func takeFromSkus(ctx context.Context, tx pgx.Tx, o lockedOrder) (bool, error) {
	var lacking bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT FROM sku k JOIN (SELECT sku_id, sum(restocked) AS n FROM order_line WHERE order_id = $1 GROUP BY sku_id) r ON r.sku_id = k.id
			WHERE k.sold + k.moved + r.n > k.stock)`, o.ID).Scan(&lacking)
	if err != nil {
		return false, fmt.Errorf("look for stock: %w", err)
	}
	if lacking {
		return false, nil
	}
	_, err = tx.Exec(ctx, `
		UPDATE sku SET sold = sold + r.n
		FROM (SELECT sku_id, sum(restocked) AS n FROM order_line WHERE order_id = $1 GROUP BY sku_id) r WHERE sku.id = r.sku_id`, o.ID)
	if err != nil {
		return false, fmt.Errorf("take stock again: %w", err)
	}
	return true, nil
}

// takeFromSale looks at the sale's quantity and the buyer's limit; a closed sale has given its rest
// back, so the sku must have the pieces as well.
func takeFromSale(ctx context.Context, tx pgx.Tx, o lockedOrder) (bool, error) {
	var skuID string
	var n, left, limit, held, free int64
	var closed bool
	err := tx.QueryRow(ctx, `
		SELECT s.sku_id, s.quantity - s.sold, s.per_buyer_limit, s.closed_at IS NOT NULL, k.stock - k.sold - k.moved,
		       (SELECT coalesce(sum(l.restocked), 0) FROM order_line l WHERE l.order_id = $1),
		       (SELECT coalesce(sum(l.quantity - l.restocked), 0) FROM orders o JOIN order_line l ON l.order_id = o.id
		        WHERE o.sale_id = s.id AND o.buyer_id = $3)
		FROM sale s JOIN sku k ON k.id = s.sku_id WHERE s.id = $2`, o.ID, o.SaleID, o.BuyerID).
		Scan(&skuID, &left, &limit, &closed, &free, &n, &held)
	if err != nil {
		return false, fmt.Errorf("look for stock of sale %s: %w", o.SaleID, err)
	}
	if n > left || limit > 0 && held+n > limit || closed && n > free {
		return false, nil
	}
	if _, err := tx.Exec(ctx, `UPDATE sale SET sold = sold + $2 WHERE id = $1`, o.SaleID, n); err != nil {
		return false, fmt.Errorf("take stock of sale %s again: %w", o.SaleID, err)
	}
	if closed {
		if _, err := tx.Exec(ctx, `UPDATE sku SET moved = moved + $2 WHERE id = $1`, skuID, n); err != nil {
			return false, fmt.Errorf("take stock of sale %s again: %w", o.SaleID, err)
		}
	}
	return true, nil
}
