package loadtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"livecart/proto"
)

// roomsTally counts what the viewers of many rooms were told. Safe for concurrent use, but for text.
type roomsTally struct {
	tag      string
	meter    *Meter
	audience *audience
	sizes    []int
	roomOf   []int // by viewer
	first    []int // viewers by room
	heard    []heard
	said     int64 // comments that text numbered

	joinedAll                atomic.Bool
	spoke                    []atomic.Int64 // accepted comments by room
	accepted, open, outcomes atomic.Int64
	// Comments of another room, and connections that were lost.
	leaks, lost complaints
}

func newRoomsTally(tag string, sizes []int, meter *Meter) *roomsTally {
	t := &roomsTally{tag: tag, meter: meter, audience: newAudience(meter), sizes: sizes, spoke: make([]atomic.Int64, len(sizes))}
	for room, size := range sizes {
		t.first = append(t.first, len(t.roomOf))
		for range size {
			t.roomOf = append(t.roomOf, room)
		}
	}
	t.heard = make([]heard, len(t.roomOf))
	return t
}

// text is the next comment of a room.
func (t *roomsTally) text(room, bytes int) string {
	t.said++
	text := fmt.Sprintf("%s %d %d ", t.tag, room, t.said)
	return text + strings.Repeat("x", max(bytes-len(text), 0))
}

// room reads of which room a comment is; of none of this run with false.
func (t *roomsTally) room(text string) (int, bool) {
	rest, ok := strings.CutPrefix(text, t.tag+" ")
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, " ")
	room, err := strconv.Atoi(number)
	return room, err == nil
}

// frame takes in what came to one viewer.
func (t *roomsTally) frame(i int, f *proto.ServerFrame, bytes int) {
	t.audience.frame(f, bytes)
	h := &t.heard[i]
	h.sampled.Add(int32(f.Sampled))
	h.skipped.Add(int32(f.Skipped))
	for _, ev := range f.Events {
		m := ev.GetChatMessage()
		if m == nil {
			continue
		}
		if room, ok := t.room(m.Text); !ok || room != t.roomOf[i] {
			t.leaks.add("viewer %d of room %d got comment %q", i, t.roomOf[i], strings.TrimRight(m.Text, "x"))
			continue
		}
		h.told.Add(1)
	}
}

// end takes in that a connection ended.
func (t *roomsTally) end(i int, lost error) {
	t.audience.left(lost)
	if lost != nil {
		t.heard[i].left.Store(true)
		t.lost.add("viewer %d of room %d: %v", i, t.roomOf[i], lost)
	}
}

// answered takes in the outcome of a viewer's comment.
func (t *roomsTally) answered(i int, due time.Time, reply *proto.Reply, err error) {
	defer t.outcomes.Add(1)
	if err != nil {
		t.open.Add(1)
		return
	}
	t.meter.Time("reply.chat_send", time.Since(due))
	if e := reply.GetError(); e != nil {
		t.meter.Count("refused.chat_send."+e.Reason, 1)
		return
	}
	t.meter.Count("ok.chat_send", 1)
	t.spoke[t.roomOf[i]].Add(1)
	t.accepted.Add(1)
}

// unanswered is how many comments have no outcome: it is not known, or did not come yet. It must be called by
// the goroutine of text.
func (t *roomsTally) unanswered() int64 { return t.said - t.outcomes.Load() + t.open.Load() }

// lack is how many comments of the own room a viewer who stayed is missing; below 0 there are too many.
func (t *roomsTally) lack(i int) int64 {
	h := &t.heard[i]
	if h.left.Load() {
		return 0
	}
	return t.spoke[t.roomOf[i]].Load() - int64(h.told.Load()) - int64(h.sampled.Load()) - int64(h.skipped.Load())
}

// missing is how many viewers lack something or have too much.
func (t *roomsTally) missing() (n int) {
	for i := range t.roomOf {
		if t.lack(i) != 0 {
			n++
		}
	}
	return n
}

// checks are what must have held.
func (t *roomsTally) checks() []Check {
	checks := []Check{
		t.lost.check("viewers_stayed", fmt.Sprintf("%d viewers kept their connection", len(t.roomOf))),
		t.leaks.check("rooms_separate", fmt.Sprintf("no comment of %d came to another room", t.accepted.Load())),
	}
	const name = "comments_accounted_by_room"
	outcomes := Check{Name: "outcomes_known", OK: t.unanswered() == 0, Detail: fmt.Sprintf("%d of %d comments have none", t.unanswered(), t.said)}
	checks = append(checks, outcomes)
	if !outcomes.OK {
		return append(checks, Check{Name: name, Skipped: outcomes.Detail})
	}
	var bad []string
	rooms := 0
	for room, size := range t.sizes {
		for i := t.first[room]; i < t.first[room]+size; i++ {
			if lack := t.lack(i); lack != 0 {
				bad = append(bad, fmt.Sprintf("viewer %d of room %d lacks %d of its %d comments", i, room, lack, t.spoke[room].Load()))
			}
		}
		if t.spoke[room].Load() > 0 {
			rooms++
		}
	}
	if rooms == 0 {
		bad = append(bad, "no comment was accepted")
	}
	return append(checks, verdict(name, bad, "%d comments in %d of %d rooms, at %d viewers", t.accepted.Load(), rooms, len(t.sizes), len(t.roomOf)))
}

// figures count what was done.
func (t *roomsTally) figures() []Figure {
	small := 0
	for _, size := range t.sizes {
		if size < smallRoom {
			small++
		}
	}
	return []Figure{
		{"rooms", int64(len(t.sizes))}, {"rooms of fewer than 50", int64(small)}, {"viewers of the largest room", int64(slices.Max(t.sizes))},
		{"comments sent", t.said}, {"comments accepted", t.accepted.Load()}, {"comments without outcome", t.unanswered()},
	}
}
