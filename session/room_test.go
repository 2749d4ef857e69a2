package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

var host = &proto.User{Id: "hanna", Name: "Hanna", Role: proto.Role_ROLE_HOST}

func (w *world) rooms(onEnd ...func(context.Context, string) error) *Rooms {
	w.t.Helper()
	r, err := NewRooms(RoomsConfig{Pool: w.pool, Bus: w.bus, OnEnd: onEnd})
	w.must(err)
	return r
}

func (w *world) events(roomID string) []*proto.Event {
	w.t.Helper()
	events, err := store.EventsAfter(w.t.Context(), w.pool, roomID, 0, 100)
	w.must(err)
	return events
}

func newRoom(id string) *proto.Room {
	return &proto.Room{Id: id, Title: "Spring sale", Host: host, ShopId: "shop_1", PlaybackUrl: "https://cdn.example/live.m3u8"}
}

func TestLifecycle(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	ctx := t.Context()
	moves := map[string]func(context.Context, string, *proto.User) (*proto.Room, error){
		"start": rooms.Start, "pause": rooms.Pause, "resume": rooms.Resume, "end": rooms.End,
	}
	for i, test := range []struct {
		name, path string
		// What each further move leads to; the others are refused.
		next map[string]string
	}{
		{"scheduled", "", map[string]string{"start": "live"}},
		{"live", "start", map[string]string{"pause": "paused", "end": "ended"}},
		{"paused", "start pause", map[string]string{"resume": "live", "end": "ended"}},
		{"live again", "start pause resume", map[string]string{"pause": "paused", "end": "ended"}},
		{"ended", "start end", nil},
		{"ended while paused", "start pause end", nil},
	} {
		for verb, act := range moves {
			t.Run(test.name+" "+verb, func(t *testing.T) {
				id := fmt.Sprintf("room-%d-%s", i, verb)
				if _, err := rooms.Put(ctx, newRoom(id)); err != nil {
					t.Fatal(err)
				}
				for _, step := range strings.Fields(test.path) {
					if _, err := moves[step](ctx, id, host); err != nil {
						t.Fatal(err)
					}
				}
				before, err := rooms.Room(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				seen := len(w.events(id))
				room, err := act(ctx, id, host)
				want, legal := test.next[verb]
				if !legal {
					if !errors.Is(err, ErrRoomState) {
						t.Errorf("got %v, %v", room, err)
					}
					if after, err := rooms.Room(ctx, id); err != nil || !proto.Equal(after, before) || len(w.events(id)) != seen {
						t.Errorf("a refused move left %v, %v", after, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if phaseWords[room.Phase] != want || room.Version != before.Version+1 {
					t.Errorf("room is %v, was %v", room, before)
				}
				if stored, err := rooms.Room(ctx, id); err != nil || !proto.Equal(stored, room) {
					t.Errorf("stored %v, %v; returned %v", stored, err, room)
				}
				events := w.events(id)
				last := events[len(events)-1]
				if len(events) != seen+1 || !proto.Equal(last.GetRoomState().GetRoom(), room) || last.Seq != int64(len(events)) {
					t.Errorf("events are %v", events)
				}
				if room.StartedAtMs == 0 || (want == "ended") != (room.EndedAtMs != 0) || before.StartedAtMs != 0 && room.StartedAtMs != before.StartedAtMs {
					t.Errorf("times are %d and %d", room.StartedAtMs, room.EndedAtMs)
				}
			})
		}
	}
}

func TestWhoMayMoveARoom(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	for role, want := range map[proto.Role]error{
		proto.Role_ROLE_VIEWER: ErrForbidden, proto.Role_ROLE_MODERATOR: ErrForbidden, proto.Role_ROLE_BOT: ErrForbidden,
		proto.Role_ROLE_UNSPECIFIED: ErrForbidden, proto.Role_ROLE_HOST: store.ErrNoRoom, proto.Role_ROLE_OPERATOR: store.ErrNoRoom,
	} {
		if _, err := rooms.End(t.Context(), "nowhere", &proto.User{Id: "x", Role: role}); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", role, err, want)
		}
	}
	if _, err := rooms.End(t.Context(), "demo", nil); !errors.Is(err, ErrForbidden) {
		t.Errorf("nobody ended a room: %v", err)
	}
}

func TestOneOfManyStartsARoom(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	if _, err := rooms.Put(t.Context(), newRoom("one")); err != nil {
		t.Fatal(err)
	}
	var started atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch _, err := rooms.Start(t.Context(), "one", host); {
			case err == nil:
				started.Add(1)
			case !errors.Is(err, ErrRoomState):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := started.Load(); n != 1 {
		t.Errorf("%d started it", n)
	}
}

func TestTheEndOfARoomIsFinishedLater(t *testing.T) {
	w := newWorld(t)
	broken := errors.New("no sales today")
	var calls []string
	rooms := w.rooms(func(_ context.Context, roomID string) error {
		calls = append(calls, roomID)
		return broken
	})
	if room, err := rooms.End(t.Context(), "demo", host); err != nil || room.Phase != proto.RoomPhase_ROOM_PHASE_ENDED {
		t.Fatalf("%v, %v", room, err)
	}
	if err := rooms.finishEnded(t.Context()); !errors.Is(err, broken) {
		t.Errorf("upkeep: %v", err)
	}
	broken = nil
	for range 2 {
		if err := rooms.finishEnded(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(calls, []string{"demo", "demo", "demo"}) {
		t.Errorf("called for %v", calls)
	}
}

func TestPut(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	ctx := t.Context()
	made, err := rooms.Put(ctx, newRoom("one"))
	if err != nil || made.Phase != proto.RoomPhase_ROOM_PHASE_SCHEDULED || made.Version != 1 {
		t.Fatalf("%v, %v", made, err)
	}
	if again, err := rooms.Put(ctx, newRoom("one")); err != nil || !proto.Equal(again, made) || len(w.events("one")) != 1 {
		t.Errorf("the same again: %v, %v, %d events", again, err, len(w.events("one")))
	}
	edit := proto.Clone(made)
	edit.Title, edit.Anonymous, edit.Phase, edit.ScheduledAtMs = "Summer sale", true, proto.RoomPhase_ROOM_PHASE_ENDED, 1_900_000_000_000
	edited, err := rooms.Put(ctx, edit)
	if err != nil || edited.Title != "Summer sale" || !edited.Anonymous || edited.Version != 2 ||
		edited.Phase != proto.RoomPhase_ROOM_PHASE_SCHEDULED || edited.ScheduledAtMs != edit.ScheduledAtMs {
		t.Fatalf("%v, %v", edited, err)
	}
	if events := w.events("one"); len(events) != 2 || !proto.Equal(events[1].GetRoomState().GetRoom(), edited) {
		t.Errorf("events are %v", events)
	}
	if _, err := rooms.Put(ctx, edit); reasonOf(err) != proto.ReasonVersionConflict {
		t.Errorf("an edit of an old version: %v", err)
	}
	if _, err := rooms.Start(ctx, "one", host); err != nil {
		t.Fatal(err)
	}
	moved := proto.Clone(edited)
	moved.Version, moved.ShopId = 0, "shop_2"
	if _, err := rooms.Put(ctx, moved); !errors.Is(err, ErrRoomState) {
		t.Errorf("a live room changed its shop: %v", err)
	}
	moved.ShopId, moved.CoverUrl = "shop_1", "/static/cover.svg"
	if room, err := rooms.Put(ctx, moved); err != nil || room.Phase != proto.RoomPhase_ROOM_PHASE_LIVE || room.CoverUrl == "" {
		t.Errorf("%v, %v", room, err)
	}
	missing := newRoom("two")
	missing.Version = 1
	if _, err := rooms.Put(ctx, missing); !errors.Is(err, store.ErrNoRoom) {
		t.Errorf("an edit of a room that is not: %v", err)
	}
	live, err := rooms.List(ctx, proto.RoomPhase_ROOM_PHASE_LIVE)
	if err != nil || len(live) != 2 || live[0].Id != "one" || live[1].Id != "demo" {
		t.Errorf("live are %v, %v", live, err)
	}
	if all, err := rooms.List(ctx); err != nil || len(all) != 2 {
		t.Errorf("all are %v, %v", all, err)
	}
}

func TestDescriptionsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	for _, test := range []struct {
		name   string
		change func(*proto.Room)
	}{
		{"id with a dot", func(r *proto.Room) { r.Id = "a.b" }},
		{"no id", func(r *proto.Room) { r.Id = "" }},
		{"id of 65", func(r *proto.Room) { r.Id = strings.Repeat("a", 65) }},
		{"no title", func(r *proto.Room) { r.Title = " " }},
		{"title of 201", func(r *proto.Room) { r.Title = strings.Repeat("字", 201) }},
		{"title with nul", func(r *proto.Room) { r.Title = "a\x00" }},
		{"no host", func(r *proto.Room) { r.Host = nil }},
		{"host of 129 bytes", func(r *proto.Room) { r.Host = &proto.User{Id: strings.Repeat("h", 129)} }},
		{"shop with a space", func(r *proto.Room) { r.ShopId = "a b" }},
		{"script address", func(r *proto.Room) { r.PlaybackUrl = "javascript:alert(1)" }},
		{"relative address", func(r *proto.Room) { r.CoverUrl = "cover.png" }},
		{"address of another server", func(r *proto.Room) { r.CoverUrl = "//evil.example/x" }},
		{"long address", func(r *proto.Room) { r.CoverUrl = "/" + strings.Repeat("x", MaxRoomURL) }},
		{"time before all times", func(r *proto.Room) { r.ScheduledAtMs = -1 }},
		{"time after all times", func(r *proto.Room) { r.ScheduledAtMs = 1 << 60 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			room := proto.Clone(newRoom("one"))
			test.change(room)
			if _, err := rooms.Put(t.Context(), room); reasonOf(err) != proto.ReasonInvalidArgument {
				t.Error(err)
			}
		})
	}
	widest := newRoom(strings.Repeat("a", 64))
	widest.Title, widest.CoverUrl = strings.Repeat("字", 200), "/"+strings.Repeat("x", MaxRoomURL-1)
	if _, err := rooms.Put(t.Context(), widest); err != nil {
		t.Errorf("at the limits: %v", err)
	}
}

func TestSnapshotHoldsRoomNumberAndTotals(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	if _, err := rooms.Pause(t.Context(), "demo", host); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `INSERT INTO room_counter (room_id, peak, visits, unique_viewers, unique_lower_bound, likes)
		VALUES ('demo', 3, 9, 5, true, 70)`); err != nil {
		t.Fatal(err)
	}
	welcome := new(proto.SessionWelcome)
	err := store.InSnapshot(t.Context(), w.pool, func(tx pgx.Tx) error { return rooms.Snapshot(t.Context(), tx, "demo", welcome) })
	if err != nil {
		t.Fatal(err)
	}
	want := &proto.RoomStats{Peak: 3, Visits: 9, Unique: 5, UniqueLowerBound: true, Likes: 70, HeadSeq: 1}
	if welcome.Seq != 1 || welcome.Room.GetPhase() != proto.RoomPhase_ROOM_PHASE_PAUSED || !proto.Equal(welcome.Stats, want) || welcome.ServerTimeMs == 0 {
		t.Errorf("welcome is %v", welcome)
	}
	err = store.InSnapshot(t.Context(), w.pool, func(tx pgx.Tx) error { return rooms.Snapshot(t.Context(), tx, "nowhere", welcome) })
	if !errors.Is(err, store.ErrNoRoom) {
		t.Errorf("a room that is not: %v", err)
	}
}

func TestEnterCostsNoReadForAKnownRoom(t *testing.T) {
	w := newWorld(t)
	rooms := w.rooms()
	anonymous := Viewer{ID: "anon:x", Anonymous: true}
	enter := func(want error) {
		t.Helper()
		if _, err := rooms.Enter(t.Context(), anonymous, "demo"); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	enter(nil)
	// What changes behind the cache's back shows that nothing is read.
	if _, err := w.pool.Exec(t.Context(), `UPDATE room SET anonymous = false, version = version + 1 WHERE id = 'demo'`); err != nil {
		t.Fatal(err)
	}
	enter(nil)
	room, err := rooms.Room(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	rooms.Observe(room)
	enter(ErrSignInRequired)
	older := proto.Clone(room)
	older.Version, older.Anonymous = 1, true
	rooms.Observe(older)
	enter(ErrSignInRequired)

	for _, id := range []string{"nowhere", "a.b", ""} {
		if _, err := rooms.Enter(t.Context(), anonymous, id); !errors.Is(err, store.ErrNoRoom) {
			t.Errorf("room %q: %v", id, err)
		}
	}
	if _, cached := rooms.cache.look("nowhere"); !cached {
		t.Error("a room that is not is read each time")
	}
}

func TestTheRoomCacheIsBounded(t *testing.T) {
	var c roomCache
	for i := range cachedRooms + 100 {
		c.keep(fmt.Sprint(i), nil, time.Minute)
	}
	if len(c.rooms) != cachedRooms {
		t.Errorf("%d rooms are cached", len(c.rooms))
	}
}
