package cart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// How long a product is on show.
const (
	defaultShow = 30 * time.Second
	minShow     = time.Second
	maxShow     = 10 * time.Minute
)

// Push shows a product to the whole room and returns it. It replaces another product on show; one
// that is on show already is ErrPushInProgress, so that a second click changes nothing.
//
// Other refusals: ErrRoomNotFound, ErrRoomNotLive unless the room is live or paused,
// ErrProductNotInRoom, ErrProductOffSale, and invalid_argument for a duration outside 1 s to 10 min
// (0 is 30 s).
func (c *Cart) Push(ctx context.Context, roomID string, by *proto.User, cmd *proto.ProductPush) (*proto.Product, error) {
	show := defaultShow
	if cmd.DurationMs != 0 {
		if cmd.DurationMs < minShow.Milliseconds() || cmd.DurationMs > maxShow.Milliseconds() {
			return nil, invalid("a product is on show for %v to %v", minShow, maxShow)
		}
		show = time.Duration(cmd.DurationMs) * time.Millisecond
	}
	var product *proto.Product
	var news roomNews
	err := store.InTx(ctx, c.cfg.Pool, func(tx pgx.Tx) (err error) {
		news = roomNews{}
		r, err := readRoom(ctx, tx, roomID)
		if err != nil {
			return err
		}
		if !r.onAir() {
			return ErrRoomNotLive
		}
		product, err = lockShelved(ctx, tx, roomID, cmd.ProductId)
		if err != nil {
			return err
		}
		if !product.OnSale {
			return ErrProductOffSale
		}
		var until time.Time
		err = tx.QueryRow(ctx, `
			INSERT INTO pop_up (room_id, product_id, until, by_id, by_name)
			VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3), $4, $5)
			ON CONFLICT (room_id) DO UPDATE
			SET product_id = excluded.product_id, until = excluded.until, by_id = excluded.by_id, by_name = excluded.by_name
			WHERE pop_up.product_id <> excluded.product_id OR pop_up.until <= clock_timestamp()
			RETURNING until`, roomID, product.Id, show.Seconds(), by.GetId(), by.GetName()).Scan(&until)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrPushInProgress
		}
		if err != nil {
			return err
		}
		news.add(roomID, productPushedEvent(&proto.ProductPushed{Product: product, UntilMs: until.UnixMilli(), By: by}))
		return news.number(ctx, tx)
	})
	if err != nil {
		return nil, wrap(err, "push product %s in room %s", cmd.ProductId, roomID)
	}
	news.publish(c.cfg)
	return product, nil
}

// clearPopUps takes products off show whose time is over.
func clearPopUps(ctx context.Context, cfg Config) error {
	rows, err := cfg.Pool.Query(ctx, `SELECT room_id FROM pop_up WHERE until <= now()`)
	if err != nil {
		return fmt.Errorf("find expired pop-ups: %w", err)
	}
	rooms, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("find expired pop-ups: %w", err)
	}
	for _, roomID := range rooms {
		if err := clearPopUp(ctx, cfg, roomID); err != nil {
			return fmt.Errorf("clear pop-up of room %s: %w", roomID, err)
		}
	}
	return nil
}

func clearPopUp(ctx context.Context, cfg Config, roomID string) error {
	var news roomNews
	err := store.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error {
		news = roomNews{}
		tag, err := tx.Exec(ctx, `DELETE FROM pop_up WHERE room_id = $1 AND until <= clock_timestamp()`, roomID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		news.add(roomID, productPushedEvent(&proto.ProductPushed{}))
		return news.number(ctx, tx)
	})
	if err != nil {
		return err
	}
	news.publish(cfg)
	return nil
}

// readOnShow returns what the room shows now, nil for nothing.
func readOnShow(ctx context.Context, q store.Querier, roomID string) (*proto.ProductPushed, error) {
	var productID string
	var until time.Time
	shown := &proto.ProductPushed{By: &proto.User{Role: proto.Role_ROLE_HOST}}
	err := q.QueryRow(ctx, `SELECT product_id, until, by_id, by_name FROM pop_up WHERE room_id = $1 AND until > clock_timestamp()`, roomID).
		Scan(&productID, &until, &shown.By.Id, &shown.By.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("product on show in room %s: %w", roomID, err)
	}
	shown.UntilMs = until.UnixMilli()
	shown.Product, err = readProduct(ctx, q, productID)
	return shown, err
}
