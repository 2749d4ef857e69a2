package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// MaxResume is how many missed events a resuming client is sent; who missed more gets the whole
	// snapshot. maxResumeBytes is the same in bytes.
	MaxResume      = 500
	maxResumeBytes = 64 << 10

	// maxBefore is how many events are kept while a room is being read; numbered ones beyond it heal.
	maxBefore = 10_000

	// welcomeAge is the oldest that a welcome's server time may be.
	welcomeAge = time.Second

	// joinsEvery is the least time between two member_join events: for those that this gateway
	// publishes, and for those that its viewers see.
	joinsPublished = time.Second
	joinsShown     = 500 * time.Millisecond

	loadTimeout = 10 * time.Second
	// lookAgain is the least wait before an empty room is looked at again while somebody enters.
	lookAgain = 50 * time.Millisecond
	// retryHeal is the wait after Postgres did not answer.
	retryHeal = 500 * time.Millisecond
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
	err    error         // why the room could not be read; set before loaded closes

	// Guarded by hub.mu: who is about to enter.
	pins int

	mu         sync.Mutex
	conns      []*Conn
	formats    [proto.Formats]int
	emptySince time.Time

	snap    *snapshot // nil until it is read
	before  []*proto.Event
	tail    []*proto.Event // newest numbered events without gap, the last one is the snapshot's
	welcome [proto.Formats]*message
	builtAt [proto.Formats]time.Time

	seq        sequence
	behind     bool // Postgres has numbered events that are not here
	stale      bool // the snapshot lacks what no event will bring
	healAfter  time.Time
	tips       tipSet
	batch      batch
	batchSince time.Time
	flushedAt  time.Time
	budget     chatBudget

	joined      *proto.Event // waits to be shown
	shownAt     time.Time
	newcomer    *proto.User // waits to be published
	newcomers   int32
	publishedAt time.Time

	alarm time.Time // when run looks again
}

func newAudience(h *hub, roomID string) *audience {
	return &audience{
		roomID: roomID, hub: h,
		poke: make(chan struct{}, 1), loaded: make(chan struct{}),
		emptySince: time.Now(),
		budget:     chatBudget{perSecond: h.cfg.ChatPerViewer},
	}
}

func (a *audience) nudge() {
	select {
	case a.poke <- struct{}{}:
	default:
	}
}

// run opens the room, then flushes, heals and publishes when it is due, until ctx ends or nobody
// has been here for a while.
func (a *audience) run(ctx context.Context) {
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
		a.err = err
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
		if todo.heal {
			if err := a.heal(ctx); err != nil && ctx.Err() == nil {
				a.hub.cfg.Log.Warn("missed room events stay missing for now", "err", err)
				a.putOff()
			}
		}
		if todo.reload {
			if err := a.reload(ctx); err != nil && ctx.Err() == nil {
				a.hub.cfg.Log.Warn("a room's snapshot stays old for now", "err", err)
				a.putOff()
			}
		}
		if todo.publish != nil {
			// Only a sample; while NATS is away nobody hears of newcomers.
			_ = a.hub.cfg.Bus.PublishRoom(a.roomID, todo.publish)
		}
		timer.Reset(time.Until(todo.next))
	}
}

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
	a.snap = newSnapshot(w)
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

// reload reads the room anew for the sake of what no event brings: what NATS lost, and entries that
// moved up on the shelf. The connections are not told; who joins from now on sees it.
func (a *audience) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	a.mu.Lock()
	a.snap.stock = make(map[string]*proto.FlashStock) // from here on, what comes while it is read
	a.mu.Unlock()
	w, _, err := a.read(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w.Seq != a.snap.w.Seq {
		a.stale, a.healAfter = true, time.Now().Add(retryHeal) // something happened meanwhile
		return nil
	}
	came := a.snap.stock
	a.snap = newSnapshot(w)
	for _, stock := range came {
		a.snap.applyStock(stock)
	}
	a.welcome = [proto.Formats]*message{}
	return nil
}

// putOff has what failed tried again a little later.
func (a *audience) putOff() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.behind, a.stale, a.healAfter = true, true, time.Now().Add(retryHeal)
	a.nudge()
}

// relinked tells that NATS may have lost anything.
func (a *audience) relinked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.snap != nil {
		a.behind, a.stale = true, true
		a.nudge()
	}
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
	if len(a.conns) == 0 {
		soonest(latest(a.emptySince.Add(a.linger()), now.Add(lookAgain)))
	}
	if a.snap == nil {
		return t
	}
	if due, waiting := a.seq.due(); waiting && !now.Before(due) {
		a.behind = true
	} else if waiting {
		soonest(due)
	}
	if a.behind || a.stale {
		if now.Before(a.healAfter) {
			soonest(a.healAfter)
		} else {
			t.heal, t.reload = a.behind, a.stale
			a.behind, a.stale = false, false
			soonest(now.Add(MaxEarly))
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

// settle flushes where that is due, else returns when it will be. Called with a.mu.
func (a *audience) settle(now time.Time) (due time.Time, waiting bool) {
	if a.joined != nil {
		if due = a.shownAt.Add(joinsShown); now.Before(due) {
			waiting = true
		} else {
			a.enqueue(a.joined, now)
			a.joined, a.shownAt = nil, now
		}
	}
	if !a.batch.empty() {
		tick := a.flushedAt.Add(roomTick(a.hub.cfg.RoomTick, len(a.conns)))
		if a.batch.urgent || !now.Before(tick) {
			a.flush(now)
		} else if !waiting || tick.Before(due) {
			due, waiting = tick, true
		}
	}
	return due, waiting
}

// settleSoon settles, and has run look when what is left over is due.
func (a *audience) settleSoon(now time.Time) {
	due, waiting := a.settle(now)
	if late, early := a.seq.due(); early && (!waiting || late.Before(due)) {
		due, waiting = late, true
	}
	if waiting && due.Before(a.alarm) {
		a.alarm = due
		a.nudge()
	}
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

// roomTick returns the time between two flushes of a busy room.
func roomTick(fixed time.Duration, viewers int) time.Duration {
	switch {
	case fixed > 0:
		return fixed
	case viewers < 1000:
		return 50 * time.Millisecond
	case viewers <= 5000:
		return 100 * time.Millisecond
	}
	return 250 * time.Millisecond
}

// flush brings the snapshot up to the batch and hands the batch to every connection. Called with
// a.mu.
func (a *audience) flush(now time.Time) {
	pinned := a.snap.w.Pinned.GetMessage().GetId()
	for _, ev := range a.batch.events {
		a.snap.apply(ev)
		if ev.Seq > 0 {
			a.remember(ev)
		}
		if room := ev.GetRoomState().GetRoom(); room != nil {
			a.hub.cfg.Rooms.Observe(room)
		}
		if w := a.snap.w; ev.GetProductUpdated() != nil && len(w.Shelf) < min(int(w.ShelfTotal), MaxWelcomeShelf) {
			a.stale = true
			a.nudge()
		}
	}
	a.welcome = [proto.Formats]*message{}
	a.flushedAt = now
	budget := a.budget.left(now)
	events, chats, sampled := a.batch.take(budget, pinned)
	a.budget.spend(chats)
	if len(a.conns) == 0 {
		return
	}
	b, err := newBroadcast(events, chats, sampled, a.formats)
	if err != nil {
		a.hub.cfg.Log.Error("a flush was lost", "room", a.roomID, "err", err)
		return
	}
	lost := 0
	for _, c := range a.conns {
		n, ok := c.queue.pushRoom(b)
		lost += n
		if !ok {
			c.shutSlow()
		}
	}
	m := a.hub.metrics
	m.sampled.Add(float64(sampled))
	m.skipped.Add(float64(lost))
	m.fanout.Observe(time.Since(a.batchSince).Seconds())
	for _, ev := range events {
		if s := ev.GetUserSanctioned(); s.GetKind() == proto.SanctionKind_SANCTION_KIND_BAN && !s.Lifted {
			a.expel(s.GetUser().GetId())
		}
	}
}

// remember keeps a numbered event for those who resume.
func (a *audience) remember(ev *proto.Event) {
	if n := len(a.tail); n > 0 && a.tail[n-1].Seq != ev.Seq-1 {
		a.tail = nil
	}
	if len(a.tail) >= 2*MaxResume {
		a.tail = append([]*proto.Event(nil), a.tail[len(a.tail)-MaxResume+1:]...)
	}
	a.tail = append(a.tail, ev)
}

// expel closes a user's connections in this room after what was flushed to them.
func (a *audience) expel(userID string) {
	for _, c := range a.conns {
		if v := c.Viewer(); !v.Anonymous && v.ID == userID {
			c.shut(CloseForbidden, string(proto.ReasonBanned))
		}
	}
}

// enter queues the welcome, or what c missed since after, and makes c one of the room's
// connections.
func (a *audience) enter(c *Conn, after int64, resume bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	missed, resumed := []*proto.Event(nil), false
	if resume {
		missed, resumed = a.since(after)
	}
	if resumed {
		w := &proto.SessionWelcome{Resumed: true, Seq: a.snap.w.Seq, ServerTimeMs: now.UnixMilli()}
		frame := welcomeFrame(w)
		frame.Events = append(frame.Events, missed...)
		c.queue.pushOwn(frame)
	} else {
		m, err := a.welcomeMessage(c.format, now)
		if err != nil {
			return err
		}
		c.queue.pushMessage(m)
	}
	c.slot = len(a.conns)
	a.conns = append(a.conns, c)
	a.formats[c.format]++
	if resumed {
		return nil
	}
	a.newcomers++
	if v := c.Viewer(); !v.Anonymous {
		if a.newcomer == nil {
			a.nudge()
		}
		a.newcomer = v.User()
	}
	return nil
}

// leave takes c out of the room.
func (a *audience) leave(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := len(a.conns) - 1
	a.conns[c.slot] = a.conns[last]
	a.conns[c.slot].slot = c.slot
	a.conns[last] = nil
	a.conns = a.conns[:last]
	a.formats[c.format]--
	if last == 0 {
		a.emptySince = time.Now()
		a.nudge()
	}
}

// resume answers session_resume with what was missed since after, or with the whole snapshot.
func (a *audience) resume(c *Conn, requestID string, after int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	nowMs := time.Now().UnixMilli()
	missed, ok := a.since(after)
	w := &proto.SessionWelcome{Resumed: true, Seq: a.snap.w.Seq, ServerTimeMs: nowMs}
	if !ok {
		a.refreshStats()
		whole, _, err := a.snap.fitting(c.format, nowMs)
		if err != nil {
			return fmt.Errorf("welcome of room %s: %w", a.roomID, err)
		}
		missed, w = nil, whole
	}
	c.send(&proto.ServerFrame{
		Events: missed,
		Replies: []*proto.Reply{{RequestId: requestID, Result: &proto.Reply_Ok{
			Ok: &proto.Ok{Value: &proto.Ok_SessionWelcome{SessionWelcome: w}},
		}}},
	})
	return nil
}

// refreshStats puts the room's figures as last read into the snapshot.
func (a *audience) refreshStats() {
	if stats := a.hub.cfg.Presence.Stats(a.roomID); stats != nil {
		stats = proto.Clone(stats)
		stats.HeadSeq = a.snap.w.Seq
		a.snap.w.Stats = stats
	}
}

// since returns the numbered events above after, false where they are too old, too many or not of
// this room's numbering.
func (a *audience) since(after int64) ([]*proto.Event, bool) {
	missing := a.snap.w.Seq - after
	if missing < 0 || missing > min(MaxResume, int64(len(a.tail))) {
		return nil, false
	}
	missed := a.tail[len(a.tail)-int(missing):]
	size := 0
	for _, ev := range missed {
		size += proto.Size(ev)
	}
	return append([]*proto.Event(nil), missed...), size <= maxResumeBytes
}

// welcomeMessage returns the room's welcome, made anew only when the room changed or the server
// time in it is a second old.
func (a *audience) welcomeMessage(f proto.Format, now time.Time) (*message, error) {
	if a.welcome[f] != nil && now.Sub(a.builtAt[f]) < welcomeAge {
		return a.welcome[f], nil
	}
	a.refreshStats()
	_, data, err := a.snap.fitting(f, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("welcome of room %s: %w", a.roomID, err)
	}
	m, err := newMessage(f, data)
	if err != nil {
		return nil, err
	}
	a.welcome[f], a.builtAt[f] = m, now
	return m, nil
}

// room returns the room as last seen.
func (a *audience) room() *proto.Room {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.snap.w.Room
}
