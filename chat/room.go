package chat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// staleAfter is how old a room's state may be when a comment is admitted by it, should the
	// refresh be late.
	staleAfter = time.Second
	// idleAfter is how long a room without comments is still refreshed.
	idleAfter = time.Minute
	// readTimeout bounds a reading, should Postgres hang.
	readTimeout = time.Second
)

// room is what admitting a comment needs to know, as of one moment. Never changed once made.
type room struct {
	phase     string
	version   int64 // of chat_room, 0 while the chat was never changed
	settings  *proto.ChatSettings
	terms     []string // blocked ones, folded
	sanctions map[string][]sanction
	// The database's time and ours when this was read.
	clock time.Time
	read  time.Time
}

type sanction struct {
	kind  proto.SanctionKind
	until time.Time // zero for good
}

// now is the database's time.
func (r *room) now() time.Time { return r.clock.Add(time.Since(r.read)) }

// refuse returns why a user may not say a text here, or nil.
func (r *room) refuse(by *proto.User, text string) error {
	if r.phase != "live" && r.phase != "paused" {
		return ErrNotLive
	}
	var muted error
	for _, s := range r.sanctions[by.Id] {
		var left time.Duration
		if !s.until.IsZero() {
			if left = s.until.Sub(r.now()); left <= 0 {
				continue
			}
		}
		if s.kind == proto.SanctionKind_SANCTION_KIND_BAN {
			return ErrBanned.After(left)
		}
		muted = ErrMuted.After(left)
	}
	switch {
	case muted != nil:
		return muted
	case r.settings.Closed && !exempt(by.Role):
		return ErrClosed
	case holdsAny(text, r.terms):
		return ErrBlockedTerm
	}
	return nil
}

// rooms remembers the state of rooms in which this gateway takes comments. All of them are refreshed
// by one query a quarter of a second, so that a comment waits for Postgres only when it is the first
// in its room or is about to be refused.
type rooms struct {
	pool  *pgxpool.Pool
	every time.Duration
	log   *slog.Logger

	mu    sync.Mutex
	known map[string]*known
}

type known struct {
	loading sync.Mutex // held while this room alone is read

	// The last failure to read this room alone. Guarded by loading.
	failed  error
	failing time.Time // when that reading began

	// Guarded by rooms.mu.
	state *room
	used  time.Time
}

func newRooms(pool *pgxpool.Pool, every time.Duration, log *slog.Logger) *rooms {
	return &rooms{pool: pool, every: every, log: log, known: map[string]*known{}}
}

// admit returns the room's state, or why the comment is refused. A refusal is always by a state read
// after the comment came.
func (rs *rooms) admit(ctx context.Context, roomID string, by *proto.User, text string) (*room, error) {
	came := time.Now()
	state := rs.use(roomID, came)
	if state == nil || came.Sub(state.read) > staleAfter {
		fresh, err := rs.readSince(ctx, roomID, came)
		if err != nil && (state == nil || ctx.Err() != nil) {
			return nil, err
		}
		if err == nil { // else what was known last holds
			state = fresh
		}
	}
	refusal := state.refuse(by, text)
	if refusal != nil && state.read.Before(came) {
		if fresh, err := rs.readSince(ctx, roomID, came); err == nil {
			state, refusal = fresh, fresh.refuse(by, text)
		}
	}
	return state, refusal
}

func (rs *rooms) use(roomID string, now time.Time) *room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if k := rs.known[roomID]; k != nil {
		k.used = now
		return k.state
	}
	return nil
}

// forget makes the next comment of the room read its state.
func (rs *rooms) forget(roomID string) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.known, roomID)
}

// readSince returns a state that was read after a moment. Those who wait for the same room share one
// reading.
func (rs *rooms) readSince(ctx context.Context, roomID string, came time.Time) (*room, error) {
	rs.mu.Lock()
	k := rs.known[roomID]
	if k == nil {
		k = &known{used: came}
		rs.known[roomID] = k
	}
	rs.mu.Unlock()

	k.loading.Lock()
	defer k.loading.Unlock()
	rs.mu.Lock()
	state := k.state
	rs.mu.Unlock()
	if state != nil && !state.read.Before(came) {
		return state, nil
	}
	if k.failed != nil && !k.failing.Before(came) {
		return nil, k.failed // shared as well, or those who wait would fail one after another
	}
	began := time.Now()
	if err := rs.refresh(ctx, map[string]*known{roomID: k}); err != nil {
		if ctx.Err() == nil {
			k.failed, k.failing = err, began
		}
		return nil, err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if k.state == nil {
		delete(rs.known, roomID)
		return nil, store.ErrNoRoom
	}
	return k.state, nil
}

// run refreshes all rooms until ctx ends.
func (rs *rooms) run(ctx context.Context) {
	tick := time.NewTicker(rs.every)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := rs.refresh(ctx, rs.inUse(time.Now()))
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failed {
			rs.log.Warn("rooms' chat settings cannot be read, those known last hold", "err", err)
		}
		failed = err != nil
	}
}

// inUse returns the rooms to refresh and drops those without comments.
func (rs *rooms) inUse(now time.Time) map[string]*known {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	used := make(map[string]*known, len(rs.known))
	for roomID, k := range rs.known {
		switch {
		case now.Sub(k.used) > idleAfter:
			delete(rs.known, roomID)
		case k.state != nil:
			used[roomID] = k
		}
	}
	return used
}

// refresh reads the phase and version of rooms in one query, and settings and sanctions of those
// whose version rose.
func (rs *rooms) refresh(ctx context.Context, which map[string]*known) error {
	if len(which) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	ids := make([]string, 0, len(which))
	for roomID := range which {
		ids = append(ids, roomID)
	}
	read := time.Now()
	rows, err := rs.pool.Query(ctx, `
		SELECT r.id, r.phase, coalesce(c.version, 0), clock_timestamp()
		FROM room r LEFT JOIN chat_room c ON c.room_id = r.id WHERE r.id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("read chat rooms: %w", err)
	}
	found := map[string]*room{}
	var roomID string
	var r room
	_, err = pgx.ForEachRow(rows, []any{&roomID, &r.phase, &r.version, &r.clock}, func() error {
		copied := r
		copied.read = read
		found[roomID] = &copied
		return nil
	})
	if err != nil {
		return fmt.Errorf("read chat rooms: %w", err)
	}
	for roomID, fresh := range found {
		if err := rs.complete(ctx, roomID, which[roomID], fresh); err != nil {
			return err
		}
	}
	return nil
}

// complete fills in settings and sanctions and makes fresh the room's state unless a newer one is.
func (rs *rooms) complete(ctx context.Context, roomID string, k *known, fresh *room) error {
	rs.mu.Lock()
	old := k.state
	rs.mu.Unlock()
	if old != nil && old.version == fresh.version {
		fresh.settings, fresh.terms, fresh.sanctions = old.settings, old.terms, old.sanctions
	} else {
		var err error
		if fresh.settings, err = readSettings(ctx, rs.pool, roomID); err != nil {
			return err
		}
		fresh.terms = foldTerms(fresh.settings)
		if fresh.sanctions, err = readSanctions(ctx, rs.pool, roomID); err != nil {
			return err
		}
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if k.state == nil || k.state.read.Before(fresh.read) {
		k.state = fresh
	}
	return nil
}
