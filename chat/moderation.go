package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// MaxSlowMode is the longest slow mode.
const MaxSlowMode = time.Hour

// lockedRoom is the chat of a room whose row a transaction has locked.
type lockedRoom struct {
	settings *proto.ChatSettings
	pinnedID string
}

// change runs fn with the room's chat locked. The events that fn returns are numbered, stored with
// what fn wrote, and published after the commit; without events nothing has changed.
func (c *Chat) change(ctx context.Context, roomID string, fn func(tx pgx.Tx, room lockedRoom) ([]*proto.Event, error)) error {
	if !store.ValidID(roomID) {
		return store.ErrNoRoom
	}
	var events []*proto.Event
	err := store.InTx(ctx, c.pool, func(tx pgx.Tx) error {
		room, err := lockRoom(ctx, tx, roomID)
		if err != nil {
			return err
		}
		if events, err = fn(tx, room); err != nil || len(events) == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE chat_room SET version = version + 1 WHERE room_id = $1`, roomID); err != nil {
			return fmt.Errorf("raise chat version of room %s: %w", roomID, err)
		}
		for _, ev := range events {
			if err := store.AppendEvent(ctx, tx, roomID, ev); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(events) == 0 {
		return err
	}
	c.rooms.forget(roomID)
	if err := c.bus.PublishRoom(roomID, events...); err != nil {
		c.log.Warn("chat events were stored but not published; gateways will find them", "room", roomID, "err", err)
	}
	return nil
}

func lockRoom(ctx context.Context, tx pgx.Tx, roomID string) (lockedRoom, error) {
	_, err := tx.Exec(ctx, `INSERT INTO chat_room (room_id) SELECT id FROM room WHERE id = $1 ON CONFLICT DO NOTHING`, roomID)
	if err != nil {
		return lockedRoom{}, fmt.Errorf("lock chat of room %s: %w", roomID, err)
	}
	room := lockedRoom{settings: new(proto.ChatSettings)}
	err = tx.QueryRow(ctx, `SELECT closed, slow_mode_ms, blocked_terms, coalesce(pinned_id, '') FROM chat_room WHERE room_id = $1 FOR UPDATE`, roomID).
		Scan(&room.settings.Closed, &room.settings.SlowModeMs, &room.settings.BlockedTerms, &room.pinnedID)
	if errors.Is(err, pgx.ErrNoRows) {
		return lockedRoom{}, store.ErrNoRoom
	}
	if err != nil {
		return lockedRoom{}, fmt.Errorf("lock chat of room %s: %w", roomID, err)
	}
	return room, nil
}

// Delete takes a comment back, for moderators. Deleting twice is harmless; a pinned comment is
// unpinned. ErrNotFound where there is no such comment among the room's recent ones; in a room so
// busy that comments of the last hour have left that list, each of their ids is taken.
func (c *Chat) Delete(ctx context.Context, roomID string, by *proto.User, messageID string) error {
	if !by.GetRole().Moderates() {
		return ErrForbidden
	}
	if !store.ValidID(messageID) {
		return ErrNotFound
	}
	message, err := c.history.deletable(ctx, roomID, messageID)
	if errors.Is(err, ErrNotFound) {
		if gone, queryErr := isDeleted(ctx, c.pool, roomID, messageID); queryErr != nil || gone {
			return queryErr
		}
	}
	if err != nil {
		return err
	}
	return c.change(ctx, roomID, func(tx pgx.Tx, room lockedRoom) ([]*proto.Event, error) {
		tag, err := tx.Exec(ctx, `INSERT INTO chat_deletion (room_id, message_id, author_id, body, by_id) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
			roomID, messageID, message.GetUser().GetId(), message.GetText(), by.Id)
		if err != nil {
			return nil, fmt.Errorf("delete comment %s: %w", messageID, err)
		}
		if tag.RowsAffected() == 0 {
			return nil, nil
		}
		events := []*proto.Event{{Event: &proto.Event_ChatDeleted{ChatDeleted: &proto.ChatDeleted{MessageId: messageID, By: by}}}}
		if room.pinnedID != messageID {
			return events, nil
		}
		unpinned, err := pin(ctx, tx, roomID, by, nil)
		return append(events, unpinned), err
	})
}

func isDeleted(ctx context.Context, q store.Querier, roomID, messageID string) (gone bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM chat_deletion WHERE room_id = $1 AND message_id = $2)`, roomID, messageID).Scan(&gone)
	if err != nil {
		return false, fmt.Errorf("look for deleted comment %s: %w", messageID, err)
	}
	return gone, nil
}

// Pin puts a comment of the recent ones on top of the chat, for moderators; an empty id takes down
// what is there. ErrNotFound where there is no such comment, ErrTryAgain while Redis is away.
func (c *Chat) Pin(ctx context.Context, roomID string, by *proto.User, messageID string) error {
	if !by.GetRole().Moderates() {
		return ErrForbidden
	}
	var message *proto.ChatMessage
	if messageID != "" {
		messages, err := c.history.newest(ctx, roomID, c.history.kept)
		if err != nil {
			return ErrTryAgain
		}
		var ok bool
		if message, ok = find(messages, messageID); !ok {
			return ErrNotFound
		}
	}
	return c.change(ctx, roomID, func(tx pgx.Tx, room lockedRoom) ([]*proto.Event, error) {
		if room.pinnedID == messageID {
			return nil, nil
		}
		// Under the lock: a deletion that comes later finds the comment pinned.
		if gone, err := isDeleted(ctx, tx, roomID, messageID); err != nil {
			return nil, err
		} else if gone {
			return nil, ErrNotFound
		}
		ev, err := pin(ctx, tx, roomID, by, message)
		return []*proto.Event{ev}, err
	})
}

// pin writes what is pinned, nothing where message is nil, and returns the event that says so.
func pin(ctx context.Context, tx pgx.Tx, roomID string, by *proto.User, message *proto.ChatMessage) (*proto.Event, error) {
	pinned := &proto.ChatPinned{Message: message, By: by}
	var id *string
	var payload []byte
	if message != nil {
		var err error
		if payload, err = proto.Encode(proto.Binary, pinned); err != nil {
			return nil, fmt.Errorf("pin comment: %w", err)
		}
		id = &message.Id
	}
	if _, err := tx.Exec(ctx, `UPDATE chat_room SET pinned_id = $2, pinned = $3 WHERE room_id = $1`, roomID, id, payload); err != nil {
		return nil, fmt.Errorf("pin comment in room %s: %w", roomID, err)
	}
	return &proto.Event{Event: &proto.Event_ChatPinned{ChatPinned: pinned}}, nil
}

// Configure replaces the room's chat settings, for moderators. A slow mode outside 0 to one hour and
// terms beyond [MaxTerms], [MaxTerm] and [MaxTermsBytes] are refused as "invalid_argument". Terms are
// cleaned as comments are, and those that mean the same are kept once.
func (c *Chat) Configure(ctx context.Context, roomID string, by *proto.User, settings *proto.ChatSettings) error {
	if !by.GetRole().Moderates() {
		return ErrForbidden
	}
	if settings == nil {
		return invalid("settings are missing")
	}
	if ms := settings.SlowModeMs; ms < 0 || ms > MaxSlowMode.Milliseconds() {
		return invalid("slow_mode_ms is 0 to %d", MaxSlowMode.Milliseconds())
	}
	terms, err := cleanTerms(settings.BlockedTerms)
	if err != nil {
		return err
	}
	clean := &proto.ChatSettings{Closed: settings.Closed, SlowModeMs: settings.SlowModeMs, BlockedTerms: terms}
	return c.change(ctx, roomID, func(tx pgx.Tx, room lockedRoom) ([]*proto.Event, error) {
		if proto.Equal(room.settings, clean) {
			return nil, nil
		}
		_, err := tx.Exec(ctx, `UPDATE chat_room SET closed = $2, slow_mode_ms = $3, blocked_terms = $4 WHERE room_id = $1`,
			roomID, clean.Closed, clean.SlowModeMs, terms)
		if err != nil {
			return nil, fmt.Errorf("configure chat of room %s: %w", roomID, err)
		}
		return []*proto.Event{{Event: &proto.Event_ChatSettings{ChatSettings: clean}}}, nil
	})
}

func readSettings(ctx context.Context, q store.Querier, roomID string) (*proto.ChatSettings, error) {
	s := new(proto.ChatSettings)
	err := q.QueryRow(ctx, `SELECT closed, slow_mode_ms, blocked_terms FROM chat_room WHERE room_id = $1`, roomID).
		Scan(&s.Closed, &s.SlowModeMs, &s.BlockedTerms)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("chat settings of room %s: %w", roomID, err)
	}
	return s, nil
}
