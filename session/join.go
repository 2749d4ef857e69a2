package session

import (
	"fmt"
	"sync"
	"time"

	"livecart/proto"
)

const (
	// MaxResume is how many missed events a resuming client is sent; who missed more gets the whole
	// snapshot. maxResumeBytes is the same in bytes.
	MaxResume      = 500
	maxResumeBytes = 64 << 10

	// welcomeAge is the oldest that a welcome's server time may be.
	welcomeAge = time.Second
)

// enter queues the welcome, or what c missed since after, and makes c one of the room's connections.
// The connection must not be written to before ready was called, without locks.
func (a *audience) enter(c *Conn, after int64, resume bool) (ready func() error, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if resume {
		if r := a.resumption(c.format, after, now); r != nil {
			a.admit(c, func() { c.queue.pushMessage(&r.message) })
			return r.encode, nil
		}
	}
	m, err := a.welcomeMessage(c.format, now)
	if err != nil {
		return nil, err
	}
	a.admit(c, func() { c.queue.pushMessage(m) })
	a.newcomers++
	if v := c.Viewer(); !v.Anonymous {
		if a.newcomer == nil {
			a.nudge()
		}
		a.newcomer = v.User()
	}
	return func() error { return nil }, nil
}

// lateMessage is encoded by who needs it first, outside of all locks.
type lateMessage struct {
	format proto.Format
	frame  *proto.ServerFrame
	once   sync.Once
	err    error
	message
}

func newLateMessage(f proto.Format, frame *proto.ServerFrame) *lateMessage {
	return &lateMessage{format: f, frame: frame, message: message{size: frameSize(f, frame)}}
}

type resumeKey struct {
	format proto.Format
	after  int64
}

// maxResumptions is how many of them a room remembers.
const maxResumptions = 64

// resumption returns what there is to tell since after, nil where that is too much. When a gateway dies
// its viewers come by the thousand and have missed the same: they share it. Called with a.mu.
func (a *audience) resumption(f proto.Format, after int64, now time.Time) *lateMessage {
	key := resumeKey{f, after}
	if r := a.resumptions[key]; r != nil && now.Sub(a.resumedAt) < welcomeAge {
		return r
	}
	missed, ok := a.since(after)
	if !ok {
		return nil
	}
	frame := welcomeFrame(&proto.SessionWelcome{Resumed: true, Seq: a.snap.w.Seq, ServerTimeMs: now.UnixMilli()})
	frame.Events = append(frame.Events, missed...)
	r := newLateMessage(f, frame)
	if len(a.resumptions) >= maxResumptions || now.Sub(a.resumedAt) >= welcomeAge {
		a.resumptions, a.resumedAt = nil, now
	}
	if a.resumptions == nil {
		a.resumptions = make(map[resumeKey]*lateMessage)
	}
	a.resumptions[key] = r
	return r
}

func (r *lateMessage) encode() error {
	r.once.Do(func() {
		var m *message
		if m, r.err = encodeMessage(r.format, r.frame); r.err == nil {
			r.bytes = m.bytes
		}
	})
	return r.err
}

// admit puts c into its row, with the welcome queued. Called with a.mu.
func (a *audience) admit(c *Conn, welcome func()) {
	s, section := c.shard, emptiest(a.sections[:], c.shard.index)
	s.mu.Lock()
	welcome()
	c.section, c.seen = section, a.newest
	s.add(c, &a.rows[s.index][section.index])
	s.mu.Unlock()
	section.admit(s.index, a.newest)
	a.online++
	a.formats[c.format]++
}

// left counts c out, which is in its row no more.
func (a *audience) left(c *Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.online--
	c.section.leave(c.shard.index)
	a.formats[c.format]--
	if a.online == 0 {
		a.emptySince = time.Now()
		a.nudge()
	}
}

// resume answers session_resume with what was missed since after, or with the whole snapshot.
func (a *audience) resume(c *Conn, requestID string, after int64) error {
	answer, err := a.postResume(c, requestID, after, time.Now())
	if err != nil {
		return err
	}
	// Here, where only who asked waits for it.
	return answer.encode()
}

// postResume posts the answer, which is not encoded yet.
func (a *audience) postResume(c *Conn, requestID string, after int64, now time.Time) (*lateMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	missed, ok := a.since(after)
	w := &proto.SessionWelcome{Resumed: true, Seq: a.snap.w.Seq, ServerTimeMs: now.UnixMilli()}
	if !ok {
		// The shared one: who asks for the whole room again and again must not cost the room its flushes.
		if _, err := a.welcomeMessage(c.format, now); err != nil {
			return nil, err
		}
		missed, w = nil, a.whole[c.format]
	}
	// Not ahead of flushes that the snapshot contains, and none of what it contains after it.
	seen := uint64(0)
	if !ok {
		seen = a.newest
		c.section.knows(seen)
	}
	answer := newLateMessage(c.format, &proto.ServerFrame{
		Events: missed,
		Replies: []*proto.Reply{{RequestId: requestID, Result: &proto.Reply_Ok{
			Ok: &proto.Ok{Value: &proto.Ok_SessionWelcome{SessionWelcome: w}},
		}}},
	})
	c.shard.post(post{conn: c, answer: answer, seen: seen})
	return answer, nil
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

// welcomeMessage returns the room's welcome, and keeps what it says in whole. It is made anew only
// when the room changed or the server time in it is a second old.
func (a *audience) welcomeMessage(f proto.Format, now time.Time) (*message, error) {
	if a.welcome[f] != nil && now.Sub(a.builtAt[f]) < welcomeAge {
		return a.welcome[f], nil
	}
	a.refreshStats()
	whole, data, err := a.snap.fitting(f, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("welcome of room %s: %w", a.roomID, err)
	}
	m := newMessage(f, data)
	a.welcome[f], a.whole[f], a.builtAt[f] = m, whole, now
	return m, nil
}
