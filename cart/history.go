package cart

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Pages of orders.
const (
	defaultPage = 20
	maxPage     = 50
)

// Order returns an own order by its id, or by the request_id of the flash_buy or order_create that
// made it, which [Cart.OrdersOf] tells in whole. A recorded outcome that made no order comes back as its refusal (ErrSoldOut and others).
// ErrOrderNotFound is for another's order, and for a request_id without a recorded outcome: not
// sent, not decided yet, or refused without a record.
func (c *Cart) Order(ctx context.Context, userID string, cmd *proto.OrderGet) (*proto.Order, error) {
	switch {
	case cmd.OrderId != "":
		if !store.ValidID(cmd.OrderId) {
			return nil, ErrOrderNotFound
		}
		o, err := readOrder(ctx, c.cfg.Pool, cmd.OrderId)
		if err == nil && o.Buyer.Id != userID {
			return nil, ErrOrderNotFound
		}
		return o, err
	case cmd.OfRequestId != "":
		orders, err := c.OrdersOf(ctx, userID, cmd.OfRequestId)
		if err != nil {
			return nil, err
		}
		return orders[0], nil
	}
	return nil, invalid("order_id or of_request_id is needed")
}

// OrdersOf returns what a flash_buy or order_create of the user made: one order, or one of each shop
// as [Cart.CreateOrders] returned them. Refusals are those of [Cart.Order].
func (c *Cart) OrdersOf(ctx context.Context, userID, requestID string) ([]*proto.Order, error) {
	if err := checkKey(requestID); err != nil {
		return nil, err
	}
	for _, kind := range []string{kindFlashBuy, kindOrderCreate} {
		a, err := readAttempt(ctx, c.cfg.Pool, userID, kind, requestID)
		if err != nil {
			return nil, err
		}
		if a != nil {
			return a.answers(ctx, c.cfg.Pool)
		}
	}
	return nil, ErrOrderNotFound
}

// Orders returns a page of the user's own orders, newest first.
func (c *Cart) Orders(ctx context.Context, userID string, cmd *proto.OrderList) (*proto.OrderPage, error) {
	return c.orderPage(ctx, `buyer_id = $1`, []any{userID}, cmd.GetCursor(), int(cmd.GetLimit()))
}

// ShopOrders returns a page of a shop's orders, newest first, of one room or with an empty roomID of
// all. Addresses are whole: use [MaskAddress] for who may not see them. limit is 1 to 50, 0 for 20.
func (c *Cart) ShopOrders(ctx context.Context, shopID, roomID, cursor string, limit int) (*proto.OrderPage, error) {
	if roomID == "" {
		return c.orderPage(ctx, `shop_id = $1`, []any{shopID}, cursor, limit)
	}
	return c.orderPage(ctx, `shop_id = $1 AND room_id = $2`, []any{shopID, roomID}, cursor, limit)
}

// orderPage reads one page by keyset: what comes after the cursor's order in (created_at, id).
func (c *Cart) orderPage(ctx context.Context, where string, args []any, cursor string, limit int) (*proto.OrderPage, error) {
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 1 || limit > maxPage {
		return nil, invalid("a page has 1 to %d orders, not %d", maxPage, limit)
	}
	if cursor != "" {
		at, id, err := parseCursor(cursor)
		if err != nil {
			return nil, err
		}
		args = append(args, at, id)
		where += fmt.Sprintf(` AND (created_at, id) < ($%d, $%d)`, len(args)-1, len(args))
	}
	args = append(args, limit+1)
	sql := `SELECT id, created_at FROM orders WHERE ` + where + fmt.Sprintf(` ORDER BY created_at DESC, id DESC LIMIT $%d`, len(args))
	page := new(proto.OrderPage)
	err := store.InSnapshot(ctx, c.cfg.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		var ids []string
		var times []time.Time
		var id string
		var at time.Time
		if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error {
			ids, times = append(ids, id), append(times, at)
			return nil
		}); err != nil {
			return err
		}
		if len(ids) > limit {
			ids = ids[:limit]
			page.NextCursor = makeCursor(times[limit-1], ids[limit-1])
		}
		page.Orders, err = readOrders(ctx, tx, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("page of orders: %w", err)
	}
	return page, nil
}

// A cursor is the time in microseconds, as exact as Postgres keeps it, and the id.
func makeCursor(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(at.UnixMicro(), 10) + "." + id))
}

func parseCursor(cursor string) (time.Time, string, error) {
	if len(cursor) > 200 {
		return time.Time{}, "", ErrCursor
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return time.Time{}, "", ErrCursor
	}
	micros, id, found := strings.Cut(string(text), ".")
	n, err := strconv.ParseInt(micros, 10, 64)
	// Years that Postgres takes; real ones are far within.
	if err != nil || !found || !store.ValidID(id) || n < 0 || n > time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() {
		return time.Time{}, "", ErrCursor
	}
	return time.UnixMicro(n), id, nil
}
