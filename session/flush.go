package session

import (
	"time"

	"livecart/proto"
)

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
	// A flush that the shards have not written yet is not followed by another one: what they cannot
	// keep up with gathers here, where it is merged, sampled and encoded once.
	if !a.batch.empty() && a.written.walked() {
		wait := roomTick(a.hub.cfg.RoomTick, a.online)
		if a.batch.calm {
			wait = max(wait, calmTick(a.online))
		}
		tick := a.flushedAt.Add(wait)
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

// calmTick returns the least time between two flushes of nothing but figures, where a large room is
// otherwise quiet: each is a write to every viewer, and the next one replaces it.
func calmTick(viewers int) time.Duration {
	switch {
	case viewers < 1000:
		return 0
	case viewers <= 5000:
		return time.Second
	}
	return 2 * time.Second
}

// flush brings the snapshot up to the batch and hands the batch to the shards of the room's connections.
// Called with a.mu.
func (a *audience) flush(now time.Time) {
	rank := a.rank()
	for _, ev := range a.batch.events {
		a.snap.apply(ev)
		if ev.Seq > 0 {
			a.remember(ev)
		}
		if room := ev.GetRoomState().GetRoom(); room != nil {
			a.now.Store(a.snap.w.Room)
			a.hub.cfg.Rooms.Observe(room)
		}
		if w := a.snap.w; ev.GetProductUpdated() != nil && len(w.Shelf) < min(int(w.ShelfTotal), MaxWelcomeShelf) {
			a.stale = true
			a.nudge()
		}
	}
	a.welcome, a.resumptions = [proto.Formats]*message{}, nil
	a.flushedAt = now
	budget := a.budget.left(now)
	events, chats, sampled := a.batch.take(budget, rank)
	a.budget.spend(chats)
	a.flushes++
	a.hub.metrics.sampled.Add(float64(sampled))
	if a.online == 0 {
		return
	}
	b, err := newBroadcast(events, chats, sampled, a.formats)
	if err != nil {
		a.hub.cfg.Log.Error("a flush was lost", "room", a.roomID, "err", err)
		return
	}
	var banned []string
	for _, ev := range events {
		if s := ev.GetUserSanctioned(); s.GetKind() == proto.SanctionKind_SANCTION_KIND_BAN && !s.Lifted {
			banned = append(banned, s.GetUser().GetId())
		}
	}
	b.number, b.since = a.flushes, a.batchSince
	a.written = b
	for _, n := range a.present {
		if n > 0 {
			b.walking.Add(1)
		}
	}
	for i, n := range a.present {
		if n > 0 {
			a.hub.shards[i].post(post{room: a, row: &a.rows[i], flush: b, expel: banned})
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
