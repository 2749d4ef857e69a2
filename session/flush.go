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
