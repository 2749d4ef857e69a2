package chat

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// RecentComments is how many comments a newcomer sees.
	RecentComments = 30
	// historyAge is how long a silent room's comments are kept.
	historyAge = 24 * time.Hour
	// pastAge is how long a comment that newer ones pushed out of the list can still be deleted.
	pastAge = time.Hour

	idPrefix = "msg"
)

// errNoHistory says that Redis does not give the recent comments.
var errNoHistory = errors.New("no recent comments")

// history is the recent comments of rooms, in Redis: lost with it.
type history struct {
	rdb       redis.UniversalClient
	kept      int
	downUntil atomic.Int64 // Unix nanoseconds; nothing is added before
}

// add appends lines, all in one pipeline. After a failure it rests for a second, so that a Redis that
// hangs does not hold up every batch.
func (h *history) add(ctx context.Context, lines []*line) error {
	if len(lines) == 0 {
		return nil
	}
	if time.Now().UnixNano() < h.downUntil.Load() {
		return errPaused
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	_, err := h.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, l := range lines {
			values := make([]any, len(l.payloads))
			for i, payload := range l.payloads {
				values[i] = payload
			}
			key := commentsKey(l.roomID)
			p.RPush(ctx, key, values...)
			p.LTrim(ctx, key, int64(-h.kept), -1)
			p.PExpire(ctx, key, historyAge)
		}
		return nil
	})
	if err != nil {
		h.downUntil.Store(time.Now().Add(redisPause).UnixNano())
		return fmt.Errorf("add to recent comments: %w", err)
	}
	return nil
}

// newest returns at most n comments, oldest first, deleted ones among them.
func (h *history) newest(ctx context.Context, roomID string, n int) ([]*proto.ChatMessage, error) {
	payloads, err := h.rdb.LRange(ctx, commentsKey(roomID), int64(-n), -1).Result()
	if err != nil {
		return nil, fmt.Errorf("%w of room %s: %w", errNoHistory, roomID, err)
	}
	messages := make([]*proto.ChatMessage, 0, len(payloads))
	seen := make(map[string]bool, len(payloads))
	for _, payload := range payloads {
		m := new(proto.ChatMessage)
		if err := proto.Decode(proto.Binary, []byte(payload), m); err != nil {
			return nil, fmt.Errorf("%w of room %s: %w", errNoHistory, roomID, err)
		}
		// One that was said again by its sender's second request stands twice.
		if !seen[m.Id] {
			seen[m.Id] = true
			messages = append(messages, m)
		}
	}
	return messages, nil
}

// said reports whether a comment is, or was before newer ones pushed it out, among the recent ones.
func (h *history) said(ctx context.Context, roomID, messageID string) (bool, error) {
	messages, err := h.newest(ctx, roomID, h.kept)
	if err != nil {
		return false, err
	}
	_, found := find(messages, messageID)
	return found || h.pushedOut(messages, messageID), nil
}

// pushedOut reports whether a comment of this id would have left the full list by now.
func (h *history) pushedOut(messages []*proto.ChatMessage, messageID string) bool {
	return len(messages) >= h.kept && messageID < messages[0].Id
}

func find(messages []*proto.ChatMessage, messageID string) (*proto.ChatMessage, bool) {
	for _, m := range messages {
		if m.Id == messageID {
			return m, true
		}
	}
	return nil, false
}

// deletable returns the comment of an id, ErrNotFound, or nil where the id is of the last hour and
// nobody can tell whether there was such a comment: newer ones pushed it out, or Redis is away. A
// moderator of a busy room must be able to take those back too.
func (h *history) deletable(ctx context.Context, roomID, messageID string) (*proto.ChatMessage, error) {
	at, ok := madeAt(messageID)
	if !ok {
		return nil, ErrNotFound
	}
	age := time.Since(at)
	past := age > -time.Minute && age < pastAge
	messages, err := h.newest(ctx, roomID, h.kept)
	if err != nil {
		if past {
			return nil, nil
		}
		return nil, ErrTryAgain
	}
	if m, ok := find(messages, messageID); ok {
		return m, nil
	}
	if past && h.pushedOut(messages, messageID) {
		return nil, nil
	}
	return nil, ErrNotFound
}

// madeAt returns the time inside a comment's id, which is a UUIDv7: 48 bits of Unix milliseconds.
func madeAt(messageID string) (time.Time, bool) {
	digits, ok := strings.CutPrefix(messageID, idPrefix+"_")
	if !ok {
		return time.Time{}, false
	}
	id, err := hex.DecodeString(digits)
	if err != nil || len(id) != 16 {
		return time.Time{}, false
	}
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms), true
}

// Recent returns the room's last 30 comments that were not deleted, oldest first.
func (c *Chat) Recent(ctx context.Context, roomID string) ([]*proto.ChatMessage, error) {
	return c.recent(ctx, c.pool, roomID)
}

func (c *Chat) recent(ctx context.Context, q store.Querier, roomID string) ([]*proto.ChatMessage, error) {
	// Most of the time few are deleted; the whole list is read only where many are.
	for n := min(2*RecentComments, c.history.kept); ; n = c.history.kept {
		messages, err := c.history.newest(ctx, roomID, n)
		if err != nil {
			return nil, err
		}
		left, err := withoutDeleted(ctx, q, roomID, messages)
		if err != nil {
			return nil, err
		}
		if len(left) >= RecentComments || len(messages) < n || n == c.history.kept {
			return left[max(0, len(left)-RecentComments):], nil
		}
	}
}

func withoutDeleted(ctx context.Context, q store.Querier, roomID string, messages []*proto.ChatMessage) ([]*proto.ChatMessage, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.Id
	}
	rows, err := q.Query(ctx, `SELECT message_id FROM chat_deletion WHERE room_id = $1 AND message_id = ANY($2)`, roomID, ids)
	if err != nil {
		return nil, fmt.Errorf("deleted comments of room %s: %w", roomID, err)
	}
	gone := map[string]bool{}
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { gone[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("deleted comments of room %s: %w", roomID, err)
	}
	left := make([]*proto.ChatMessage, 0, len(messages))
	for _, m := range messages {
		if !gone[m.Id] {
			left = append(left, m)
		}
	}
	return left, nil
}
