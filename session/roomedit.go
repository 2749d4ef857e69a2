package session

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

// Limits of a room's description.
const (
	MaxRoomTitle = 200  // code points
	MaxRoomURL   = 2048 // bytes
)

// Put creates a room, or changes the description of one that exists: title, host, addresses,
// schedule and whether viewers without a token may watch. Phase, start and end are never taken from
// here; a new room is scheduled. With a version above 0 the room must exist in just that version
// (version_conflict); shop and host change only while it is scheduled (room_state). A change is
// announced; putting what is there already changes nothing.
func (r *Rooms) Put(ctx context.Context, room *proto.Room) (*proto.Room, error) {
	if err := checkRoom(room); err != nil {
		return nil, err
	}
	var unchanged *proto.Room
	changed, err := r.change(ctx, room.Id, "", func(tx pgx.Tx) (put *proto.Room, err error) {
		unchanged, put, err = putRoom(ctx, tx, room)
		return put, err
	})
	if err != nil {
		return nil, fmt.Errorf("put room %s: %w", room.Id, err)
	}
	if changed == nil {
		return unchanged, nil
	}
	return changed, nil
}

// putRoom returns the room as it was when nothing is to be done, else as it is now.
func putRoom(ctx context.Context, tx pgx.Tx, room *proto.Room) (unchanged, changed *proto.Room, err error) {
	var scheduled *time.Time
	if room.ScheduledAtMs > 0 {
		t := time.UnixMilli(room.ScheduledAtMs)
		scheduled = &t
	}
	args := []any{
		room.Id, room.Title, room.GetHost().GetId(), room.GetHost().GetName(), room.ShopId,
		room.PlaybackUrl, room.CoverUrl, room.Anonymous, scheduled,
	}
	if room.Version == 0 {
		changed, err = scanRoom(tx.QueryRow(ctx, `
			INSERT INTO room (id, title, host_id, host_name, shop_id, playback_url, cover_url, anonymous, scheduled_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (id) DO NOTHING RETURNING `+roomColumns, args...))
		if !errors.Is(err, pgx.ErrNoRows) {
			return nil, changed, err
		}
	}
	old, err := scanRoom(tx.QueryRow(ctx, `SELECT `+roomColumns+` FROM room WHERE id = $1 FOR NO KEY UPDATE`, room.Id))
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil, store.ErrNoRoom
	}
	if err != nil {
		return nil, nil, err
	}
	if room.Version > 0 && room.Version != old.Version {
		return nil, nil, proto.Refuse(proto.ReasonVersionConflict, "the room is at version %d, not %d", old.Version, room.Version)
	}
	if sameDescription(old, room) {
		return old, nil, nil
	}
	if old.Phase != proto.RoomPhase_ROOM_PHASE_SCHEDULED && (old.ShopId != room.ShopId || old.Host.Id != room.GetHost().GetId()) {
		return nil, nil, proto.Refuse(proto.ReasonRoomState, "shop and host of a room change only before it starts")
	}
	changed, err = scanRoom(tx.QueryRow(ctx, `
		UPDATE room SET title = $2, host_id = $3, host_name = $4, shop_id = $5, playback_url = $6, cover_url = $7,
			anonymous = $8, scheduled_at = $9, version = version + 1
		WHERE id = $1 RETURNING `+roomColumns, args...))
	return nil, changed, err
}

func sameDescription(a, b *proto.Room) bool {
	return a.Title == b.Title && a.GetHost().GetId() == b.GetHost().GetId() && a.GetHost().GetName() == b.GetHost().GetName() &&
		a.ShopId == b.ShopId && a.PlaybackUrl == b.PlaybackUrl && a.CoverUrl == b.CoverUrl &&
		a.Anonymous == b.Anonymous && a.ScheduledAtMs == b.ScheduledAtMs
}

func checkRoom(room *proto.Room) error {
	refuse := func(format string, args ...any) error {
		return proto.Refuse(proto.ReasonInvalidArgument, format, args...)
	}
	if !store.ValidID(room.GetId()) {
		return refuse("a room id is 1 to %d of A-Z, a-z, 0-9, _ and -", store.MaxID)
	}
	if n := utf8.RuneCountInString(room.Title); strings.TrimSpace(room.Title) == "" || n > MaxRoomTitle || !cleanText(room.Title) {
		return refuse("a title has 1 to %d code points without control characters", MaxRoomTitle)
	}
	if err := checkSubject(room.GetHost().GetId()); err != nil {
		return refuse("the host's id: %v", err)
	}
	if _, err := checkName(room.GetHost().GetName(), ""); err != nil {
		return refuse("the host's name: %v", err)
	}
	if room.ShopId != "" && !store.ValidID(room.ShopId) {
		return refuse("a shop id is 1 to %d of A-Z, a-z, 0-9, _ and -", store.MaxID)
	}
	for field, address := range map[string]string{"playback_url": room.PlaybackUrl, "cover_url": room.CoverUrl} {
		if !webAddress(address) {
			return refuse("%s is an http or https address, or a path on this server, of at most %d bytes", field, MaxRoomURL)
		}
	}
	const lastMs = 253402300799000 // the end of year 9999
	if room.ScheduledAtMs < 0 || room.ScheduledAtMs > lastMs {
		return refuse("scheduled_at_ms is out of range")
	}
	return nil
}

// webAddress reports whether s is empty or something that a page may load: a script address in it
// would run in every viewer's browser.
func webAddress(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse(s)
	if err != nil || len(s) > MaxRoomURL || !cleanText(s) {
		return false
	}
	if u.Scheme == "" && u.Host == "" {
		return strings.HasPrefix(u.Path, "/")
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
