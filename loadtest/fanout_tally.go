package loadtest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// fanoutTally counts what viewers were told. Safe for concurrent use.
type fanoutTally struct {
	tag   string
	meter *Meter
	begin atomic.Pointer[time.Time] // of the measured time; nil before
	phase atomic.Value              // string
	heard []heard                   // by viewer

	sent, answered, accepted, open, strangers atomic.Int64

	mu      sync.Mutex
	present int64 // viewers
}

// heard is what one viewer was told of the run's comments. They are told in full or counted as left out.
type heard struct {
	told, sampled, skipped atomic.Int32
	left                   atomic.Bool
}

func newFanoutTally(tag string, viewers int, meter *Meter) fanoutTally {
	return fanoutTally{tag: tag, meter: meter, heard: make([]heard, viewers)}
}

// numberDigits are those of a comment's number.
const numberDigits = 8

// text begins comment number n.
func (t *fanoutTally) text(n int) string { return fmt.Sprintf("%s %0*d ", t.tag, numberDigits, n) }

// number reads what text wrote.
func (t *fanoutTally) number(text string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(text, t.tag+" ")
	if !ok || len(rest) < numberDigits {
		return 0, false
	}
	n, err := strconv.Atoi(rest[:numberDigits])
	return n, err == nil && n >= 0
}

// frame takes in what came to one viewer.
func (r *fanoutRun) frame(i int, f *proto.ServerFrame, bytes int) {
	r.meter.Count("frames_in", 1)
	r.meter.Count("bytes_in", int64(bytes))
	begin := r.begin.Load()
	if begin == nil {
		return
	}
	h := &r.heard[i]
	if f.Sampled > 0 {
		h.sampled.Add(int32(f.Sampled))
		r.meter.Count("sampled", int64(f.Sampled))
	}
	if f.Skipped > 0 {
		h.skipped.Add(int32(f.Skipped))
		r.meter.Count("skipped", int64(f.Skipped))
	}
	delivered := int32(0)
	for _, ev := range f.Events {
		m := ev.GetChatMessage()
		if m == nil {
			continue
		}
		n, ok := r.number(m.Text)
		if !ok {
			r.strangers.Add(1)
			continue
		}
		delivered++
		r.meter.Time("delivery.chat", time.Since(begin.Add(nth(n, r.Rate))))
	}
	if delivered > 0 {
		h.told.Add(delivered)
		r.meter.Count("delivered", int64(delivered))
	}
}

func (t *fanoutTally) joined() { t.count(1) }

// end takes in that a connection ended.
func (t *fanoutTally) end(i int, lost error) {
	t.count(-1)
	if lost == nil {
		return
	}
	t.heard[i].left.Store(true)
	var closed *websocket.CloseError
	if errors.As(lost, &closed) {
		t.meter.Count(fmt.Sprintf("closed.%d", closed.Code), 1)
	}
}

// count sets the gauge under the lock, so that the newest number is the last one told.
func (t *fanoutTally) count(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.present += n
	t.meter.Gauge("viewers", float64(t.present))
}

func (t *fanoutTally) viewers() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.present
}

// lost is how many deliveries are missing at the viewers who stayed: below 0 there are too many.
func (t *fanoutTally) lost() (n int64) {
	for i := range t.heard {
		n += t.missing(i)
	}
	return n
}

// missing is lost for one viewer.
func (t *fanoutTally) missing(i int) int64 {
	h := &t.heard[i]
	if h.left.Load() {
		return 0
	}
	return t.accepted.Load() - int64(h.told.Load()) - int64(h.sampled.Load()) - int64(h.skipped.Load())
}

// unanswered is how many comments have no outcome: it is not known, or did not come yet.
func (t *fanoutTally) unanswered() int64 { return t.sent.Load() - t.answered.Load() + t.open.Load() }

// left is how many viewers the server or the network cut off.
func (t *fanoutTally) left() (n int) {
	for i := range t.heard {
		if t.heard[i].left.Load() {
			n++
		}
	}
	return n
}

// checks are what must have held.
func (t *fanoutTally) checks() []Check {
	stay := Check{Name: "everybody stays", OK: t.left() == 0, Detail: fmt.Sprintf("%d of %d viewers lost their connection", t.left(), len(t.heard))}
	answered := Check{Name: "every comment has an outcome", OK: t.unanswered() == 0, Detail: fmt.Sprintf("%d of %d comments have none", t.unanswered(), t.sent.Load())}
	comments := Check{Name: "comments are delivered or counted as left out"}
	wrong, missing, doubled := 0, int64(0), int64(0)
	for i := range t.heard {
		m := t.missing(i)
		missing, doubled = missing+max(m, 0), doubled+max(-m, 0)
		if m != 0 {
			wrong++
		}
	}
	switch {
	case t.sent.Load() == 0:
		comments.Skipped, answered.Skipped = "no comments were sent", "no comments were sent"
	case t.unanswered() > 0:
		comments.Skipped = answered.Detail
	case t.accepted.Load() == 0:
		comments.Detail = "no comment was accepted"
	default:
		comments.OK = wrong == 0
		comments.Detail = fmt.Sprintf("%d comments at %d viewers", t.accepted.Load(), len(t.heard)-t.left())
		if wrong > 0 {
			comments.Detail += fmt.Sprintf(": %d deliveries are missing and %d too many, at %d viewers", missing, doubled, wrong)
		}
	}
	return []Check{stay, answered, comments}
}

// figures count what was done.
func (t *fanoutTally) figures() []Figure {
	return []Figure{
		{"comments sent", t.sent.Load()}, {"comments accepted", t.accepted.Load()}, {"comments without outcome", t.unanswered()},
		{"deliveries missing", t.lost()}, {"connections lost", int64(t.left())},
	}
}
