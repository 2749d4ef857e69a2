package chat

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
)

// welcomeComments bounds, in encoded bytes, the comments of a welcome, which holds 16 KiB in all.
const welcomeComments = 8 << 10

// Snapshot fills in a welcome's chat settings, pinned comment and recent comments as of tx: the last
// 30, or as many of the newest as fit 8 KiB. Without Redis there are no comments, and no error.
func (c *Chat) Snapshot(ctx context.Context, tx pgx.Tx, roomID string, w *proto.SessionWelcome) error {
	w.ChatSettings, w.Pinned, w.Comments = new(proto.ChatSettings), nil, nil
	s := w.ChatSettings
	var pinned []byte
	err := tx.QueryRow(ctx, `SELECT closed, slow_mode_ms, blocked_terms, pinned FROM chat_room WHERE room_id = $1`, roomID).
		Scan(&s.Closed, &s.SlowModeMs, &s.BlockedTerms, &pinned)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("chat of room %s: %w", roomID, err)
	}
	if pinned != nil {
		w.Pinned = new(proto.ChatPinned)
		if err := proto.Decode(proto.Binary, pinned, w.Pinned); err != nil {
			return fmt.Errorf("pinned comment of room %s: %w", roomID, err)
		}
	}
	comments, err := c.recent(ctx, tx, roomID)
	if errors.Is(err, errNoHistory) {
		c.log.Warn("welcome without comments", "room", roomID, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	size, first := 0, len(comments)
	for first > 0 {
		if size += proto.Size(comments[first-1]); size > welcomeComments {
			break
		}
		first--
	}
	w.Comments = comments[first:]
	return nil
}

// Self fills in the sanctions that hold against users in the room, by user id.
func (c *Chat) Self(ctx context.Context, tx pgx.Tx, roomID string, selves map[string]*proto.SessionSelf) error {
	ids := make([]string, 0, len(selves))
	for userID := range selves {
		ids = append(ids, userID)
	}
	rows, err := tx.Query(ctx, `
		SELECT user_id, kind, until FROM chat_sanction
		WHERE room_id = $1 AND user_id = ANY($2) AND (until IS NULL OR until > clock_timestamp())
		ORDER BY user_id, kind`, roomID, ids)
	if err != nil {
		return fmt.Errorf("own sanctions in room %s: %w", roomID, err)
	}
	err = eachSanction(rows, func(userID string, s sanction) {
		wire := &proto.Sanction{Kind: s.kind}
		if !s.until.IsZero() {
			wire.UntilMs = s.until.UnixMilli()
		}
		selves[userID].Sanctions = append(selves[userID].Sanctions, wire)
	})
	if err != nil {
		return fmt.Errorf("own sanctions in room %s: %w", roomID, err)
	}
	return nil
}
