package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// maxBefore is how many events are kept while a room is being read; numbered ones beyond it heal.
	maxBefore = 10_000
	// loadTimeout bounds one reading of a room.
	loadTimeout = 10 * time.Second
	// retryMend is the wait after Postgres did not answer.
	retryMend = 500 * time.Millisecond
	// healPage is how many missed events are read at once.
	healPage = 500
)

// load reads the room in one snapshot of Postgres, after the subscription stands, and applies what
// has come since.
func (a *audience) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	w, tail, err := a.read(ctx)
	if err != nil {
		return err
	}
	a.hub.cfg.Rooms.Observe(w.Room)
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.setSnapshot(newSnapshot(w))
	a.seq.last = w.Seq
	if n := len(tail); n > 0 && tail[n-1].Seq == w.Seq && tail[0].Seq == w.Seq-int64(n)+1 {
		a.tail = tail
	}
	for _, ev := range a.before {
		a.accept(ev, now)
	}
	a.before = nil
	a.settleSoon(now)
	return nil
}

// mend reads what turn found missing. One runs at a time.
func (a *audience) mend(ctx context.Context, missing todo) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var healed, reloaded error
	if missing.heal {
		healed = a.heal(ctx)
	}
	if missing.reload {
		reloaded = a.reload(ctx)
	}
	err := errors.Join(healed, reloaded)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if !a.mendFailed && !errors.Is(err, context.Canceled) {
			a.hub.cfg.Log.Warn("a room stays old for now", "err", err)
		}
		a.behind, a.stale = a.behind || healed != nil, a.stale || reloaded != nil
		a.mendAfter = time.Now().Add(retryMend)
	}
	a.mending, a.mendFailed = false, err != nil
	a.nudge()
}

// reload reads the room anew for the sake of what no event brings: what NATS lost, and entries that
// moved up on the shelf. The connections are not told; who joins from now on sees it.
func (a *audience) reload(ctx context.Context) error {
	a.mu.Lock()
	a.snap.stock = make(map[string]*proto.FlashStock) // from here on, what comes while it is read
	known := a.snap.w.Comments
	a.mu.Unlock()
	w, _, err := a.read(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.Seq != a.snap.w.Seq {
		a.stale, a.mendAfter = true, time.Now().Add(retryMend) // something happened meanwhile
		return nil
	}
	stock, comments := a.snap.stock, a.snap.w.Comments
	a.setSnapshot(newSnapshot(w))
	for _, hint := range stock {
		a.snap.applyStock(hint)
	}
	for _, m := range comments {
		if !slices.Contains(known, m) {
			addComment(a.snap.w, m)
		}
	}
	a.welcome = [proto.Formats]*message{}
	return nil
}

func (a *audience) read(ctx context.Context) (w *proto.SessionWelcome, tail []*proto.Event, err error) {
	err = store.InSnapshot(ctx, a.hub.cfg.Pool, func(tx pgx.Tx) error {
		w = new(proto.SessionWelcome)
		if err := a.hub.cfg.Rooms.Snapshot(ctx, tx, a.roomID, w); err != nil {
			return err
		}
		for _, fill := range a.hub.cfg.Snapshots {
			if err := fill(ctx, tx, a.roomID, w); err != nil {
				return err
			}
		}
		tail, err = store.EventsAfter(ctx, tx, a.roomID, w.Seq-MaxResume, MaxResume)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read room %s: %w", a.roomID, err)
	}
	return w, tail, nil
}

// heal reads the numbered events that are missing from Postgres.
func (a *audience) heal(ctx context.Context) error {
	for {
		a.mu.Lock()
		last := a.seq.last
		a.mu.Unlock()
		events, err := store.EventsAfter(ctx, a.hub.cfg.Pool, a.roomID, last, healPage)
		if err != nil {
			return fmt.Errorf("heal room %s: %w", a.roomID, err)
		}
		now := time.Now()
		a.mu.Lock()
		if len(events) > 0 && events[0].Seq > a.seq.last+1 {
			a.seq.jump(events[0].Seq - 1)
			a.stale = true // nobody has the pruned ones any more; what they changed is in Postgres
		}
		for _, ev := range events {
			a.accept(ev, now)
		}
		a.seq.since = now
		a.settleSoon(now)
		a.mu.Unlock()
		if len(events) < healPage {
			return nil
		}
	}
}

// seen tells of the number of the room's newest event.
func (a *audience) seen(head int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.snap != nil && head > a.seq.last && !a.behind && !a.mending {
		a.behind = true
		a.nudge()
	}
}

// relinked tells that NATS may have lost anything, also before the room was read.
func (a *audience) relinked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.behind, a.stale = true, true
	a.nudge()
}
