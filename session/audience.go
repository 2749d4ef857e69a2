package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"livecart/proto"
)

const (
	// joinsPublished and joinsShown are the least times between two member_join events: those that
	// this gateway publishes, and those that its viewers see.
	joinsPublished = time.Second
	joinsShown     = 500 * time.Millisecond

	// lookAgain is the least wait before an empty room is looked at again while somebody enters.
	lookAgain = 50 * time.Millisecond
)

// audience is one room's connections on this gateway, and what they see. Its snapshot changes only
// in a flush, in the same critical section in which the flush is handed to the connections: who
// takes the snapshot and enters the set in one critical section misses nothing and gets nothing
// twice.
type audience struct {
	// Fixed after construction.
	roomID string
	hub    *hub
	poke   chan struct{} // holds a token when run should look again
	loaded chan struct{} // closed when snap is there or err is set
	origin time.Time     // of the sections' turns
	err    error         // why the room could not be read; set before loaded closes

	// Guarded by hub.mu: who is about to enter.
	pins int

	// One a shard and section; the shards' locks guard what is in them.
	rows [][sections]row

	mu         sync.Mutex
	online     int
	sections   [sections]section
	formats    [proto.Formats]int
	newest     uint64    // number of the newest segment
	recent     []segment // those that not all sections had yet
	written    *flush    // the newest
	emptySince time.Time

	snap    *snapshot // nil until it is read
	before  []*proto.Event
	tail    []*proto.Event // newest numbered events without gap, the last one is the snapshot's
	welcome [proto.Formats]*message
	whole   [proto.Formats]*proto.SessionWelcome
	builtAt [proto.Formats]time.Time
	now     atomic.Pointer[proto.Room] // of the snapshot, for who has no time for the lock

	resumptions map[resumeKey]*lateMessage
	resumedAt   time.Time

	seq        sequence
	behind     bool // Postgres has numbered events that are not here
	stale      bool // the snapshot lacks what no event will bring
	mending    bool // one or both are being read
	mendFailed bool // last time; logged once
	mendAfter  time.Time
	tips       idSet
	patrons    idSet // users who bought or gave something since the room was opened here
	batch      batch
	batchSince time.Time
	busy       bool // the batch waits for shards

	joined      *proto.Event // waits to be shown
	shownAt     time.Time
	newcomer    *proto.User // waits to be published
	newcomers   int32
	publishedAt time.Time

	alarm time.Time // when run looks again
}

func newAudience(h *hub, roomID string) *audience {
	now := time.Now()
	a := &audience{
		roomID: roomID, hub: h, rows: make([][sections]row, len(h.shards)),
		poke: make(chan struct{}, 1), loaded: make(chan struct{}), origin: now,
		emptySince: now,
	}
	for i := range a.sections {
		a.sections[i] = section{
			index: i, present: make([]int, len(h.shards)),
			budget: chatBudget{perSecond: h.cfg.ChatPerViewer},
		}
	}
	return a
}

func (a *audience) nudge() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// run opens the room, then flushes, mends and publishes when it is due, until ctx ends or nobody
// has been here for a while.
func (a *audience) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var mending sync.WaitGroup // ends by ctx
	defer mending.Wait()
	defer cancel()
	sub, err := a.hub.cfg.Bus.SubscribeRoom(a.roomID, a.receive)
	if err == nil {
		defer func() {
			if err := sub.Close(); err != nil {
				a.hub.cfg.Log.Warn("leave a room's subject", "err", err)
			}
		}()
		err = a.load(ctx)
	}
	if err != nil {
		a.fail(err)
		if ctx.Err() == nil && !isProblem(err) {
			a.hub.cfg.Log.Error("open a room", "room", a.roomID, "err", err)
		}
	}
	close(a.loaded)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.poke:
		case <-timer.C:
		}
		if a.hub.retire(a) {
			return
		}
		todo := a.turn(time.Now())
		if todo.heal || todo.reload {
			// Apart, as flushes must not wait for Postgres.
			mending.Go(func() { a.mend(ctx, todo) })
		}
		if todo.publish != nil {
			// Only a sample; while NATS is away nobody hears of newcomers.
			_ = a.hub.cfg.Bus.PublishRoom(a.roomID, todo.publish)
		}
		timer.Reset(time.Until(todo.next))
	}
}

// fail notes that the room could not be read. It is remembered from now on, however long that took.
func (a *audience) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err, a.emptySince = err, time.Now()
}

// todo is what run does outside the lock, and when it looks again.
type todo struct {
	heal    bool
	reload  bool
	publish *proto.Event
	next    time.Time
}

// turn does what is due.
func (a *audience) turn(now time.Time) (t todo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t = todo{next: now.Add(time.Hour)}
	soonest := func(at time.Time) {
		if at.Before(t.next) {
			t.next = at
		}
	}
	defer func() { a.alarm = t.next }()
	if a.online == 0 {
		soonest(latest(a.emptySince.Add(a.linger()), now.Add(lookAgain)))
	}
	if a.snap == nil {
		return t
	}
	if !a.mending {
		if due, waiting := a.seq.due(); waiting && !now.Before(due) {
			a.behind = true
		} else if waiting {
			soonest(due)
		}
		switch {
		case !a.behind && !a.stale:
		case now.Before(a.mendAfter):
			soonest(a.mendAfter)
		default:
			t.heal, t.reload = a.behind, a.stale
			a.behind, a.stale, a.mending = false, false, true
		}
	}
	if a.newcomer != nil {
		if due := a.publishedAt.Add(joinsPublished); now.Before(due) {
			soonest(due)
		} else {
			t.publish = &proto.Event{TimeMs: now.UnixMilli(), Event: &proto.Event_MemberJoin{
				MemberJoin: &proto.MemberJoin{User: a.newcomer, Count: a.newcomers},
			}}
			a.newcomer, a.newcomers, a.publishedAt = nil, 0, now
		}
	}
	if due, waiting := a.settle(now); waiting {
		soonest(due)
	}
	return t
}

// linger is how long the room stays open without viewers. One that could not be read is forgotten
// sooner, but not at once: else every viewer who tries again would ask Postgres.
func (a *audience) linger() time.Duration {
	if a.snap == nil {
		return time.Second
	}
	return a.hub.cfg.Linger
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// room returns the room as last seen. It may be called with or without a.mu.
func (a *audience) room() *proto.Room { return a.now.Load() }

// setSnapshot replaces what new viewers are told. Called with a.mu.
func (a *audience) setSnapshot(s *snapshot) {
	a.snap = s
	a.now.Store(s.w.Room)
}
