package chat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// MaxSanction is the longest mute or ban that ends by itself.
	MaxSanction = 365 * 24 * time.Hour
	// MaxNote is the most code points of a sanction's note.
	MaxNote = 500
	// maxUserID is the most bytes of a user id.
	maxUserID = 128

	forGood = -1 // duration_ms
	lift    = 0
)

// kindWords are the sanctions' kinds as the table spells them.
var kindWords = map[proto.SanctionKind]string{
	proto.SanctionKind_SANCTION_KIND_MUTE: "mute",
	proto.SanctionKind_SANCTION_KIND_BAN:  "ban",
}

func kindOf(word string) proto.SanctionKind {
	for kind, w := range kindWords {
		if w == word {
			return kind
		}
	}
	return proto.SanctionKind_SANCTION_KIND_UNSPECIFIED
}

// Sanction mutes or bans a user in the room, for moderators: for a time, for good (-1), or not any
// more (0). A new one of the same kind replaces the old. Durations end by Postgres' clock. Lifting
// what is not there is harmless. ErrForbidden for the room's host and for oneself;
// "invalid_argument" for a field outside its range.
func (c *Chat) Sanction(ctx context.Context, roomID string, by *proto.User, s *proto.UserSanction) error {
	if !by.GetRole().Moderates() {
		return ErrForbidden
	}
	word, ok := kindWords[s.GetKind()]
	switch {
	case !ok:
		return invalid("kind is mute or ban")
	case s.UserId == "" || len(s.UserId) > maxUserID || !storable(s.UserId):
		return invalid("user_id holds 1 to %d bytes of UTF-8 without NUL", maxUserID)
	case s.DurationMs < forGood || s.DurationMs > MaxSanction.Milliseconds():
		return invalid("duration_ms is -1, 0, or up to %d", MaxSanction.Milliseconds())
	case utf8.RuneCountInString(s.Note) > MaxNote || !storable(s.Note):
		return invalid("a note holds at most %d code points, none of them NUL", MaxNote)
	case s.UserId == by.Id && s.DurationMs != lift:
		return ErrForbidden
	}
	user := c.asSeen(ctx, roomID, s.UserId)
	return c.change(ctx, roomID, func(tx pgx.Tx, _ lockedRoom) ([]*proto.Event, error) {
		said := &proto.UserSanctioned{User: user, Kind: s.Kind, By: by}
		if s.DurationMs == lift {
			tag, err := tx.Exec(ctx, `DELETE FROM chat_sanction WHERE room_id = $1 AND user_id = $2 AND kind = $3`, roomID, s.UserId, word)
			if err != nil {
				return nil, fmt.Errorf("lift %s in room %s: %w", word, roomID, err)
			}
			if tag.RowsAffected() == 0 {
				return nil, nil
			}
			said.Lifted = true
		} else {
			until, err := impose(ctx, tx, roomID, by, word, s)
			if err != nil {
				return nil, err
			}
			if until != nil {
				said.UntilMs = until.UnixMilli()
			}
		}
		return []*proto.Event{{Event: &proto.Event_UserSanctioned{UserSanctioned: said}}}, nil
	})
}

// storable reports whether Postgres takes a text: UTF-8 without NUL.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// impose writes a sanction and returns its end, nil for none.
func impose(ctx context.Context, tx pgx.Tx, roomID string, by *proto.User, word string, s *proto.UserSanction) (until *time.Time, err error) {
	err = tx.QueryRow(ctx, `
		INSERT INTO chat_sanction (room_id, user_id, kind, until, by_id, note)
		SELECT r.id, $2, $3, CASE WHEN $4::bigint > 0 THEN clock_timestamp() + make_interval(secs => $4::bigint / 1000.0) END, $5, $6
		FROM room r WHERE r.id = $1 AND r.host_id <> $2
		ON CONFLICT (room_id, user_id, kind) DO UPDATE
		SET until = excluded.until, by_id = excluded.by_id, note = excluded.note, at = excluded.at
		RETURNING until`, roomID, s.UserId, word, s.DurationMs, by.Id, s.Note).Scan(&until)
	if errors.Is(err, pgx.ErrNoRows) { // the room is there, it is locked: the user is its host
		return nil, ErrForbidden
	}
	if err != nil {
		return nil, fmt.Errorf("%s in room %s: %w", word, roomID, err)
	}
	return until, nil
}

// asSeen returns a user with the name under which they commented lately, if they did.
func (c *Chat) asSeen(ctx context.Context, roomID, userID string) *proto.User {
	user := &proto.User{Id: userID}
	messages, err := c.history.newest(ctx, roomID, c.history.kept)
	if err != nil {
		return user // the name is a courtesy
	}
	for _, m := range messages {
		if m.GetUser().GetId() == userID {
			user = m.User
		}
	}
	return user
}

func readSanctions(ctx context.Context, q store.Querier, roomID string) (map[string][]sanction, error) {
	rows, err := q.Query(ctx, `SELECT user_id, kind, until FROM chat_sanction WHERE room_id = $1 AND (until IS NULL OR until > clock_timestamp())`, roomID)
	if err != nil {
		return nil, fmt.Errorf("sanctions of room %s: %w", roomID, err)
	}
	found := map[string][]sanction{}
	err = eachSanction(rows, func(userID string, s sanction) { found[userID] = append(found[userID], s) })
	if err != nil {
		return nil, fmt.Errorf("sanctions of room %s: %w", roomID, err)
	}
	return found, nil
}

func eachSanction(rows pgx.Rows, fn func(userID string, s sanction)) error {
	var userID, word string
	var until *time.Time
	_, err := pgx.ForEachRow(rows, []any{&userID, &word, &until}, func() error {
		s := sanction{kind: kindOf(word)}
		if until != nil {
			s.until = *until
		}
		fn(userID, s)
		return nil
	})
	return err
}
