package session

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"livecart/proto"
)

// largeRoom is a room with very many viewers elsewhere, on a shard that does not run, at a time of its
// own.
type largeRoom struct {
	t     interface{ Fatalf(string, ...any) }
	shard *shard
	room  *audience
	now   time.Time
	said  int // comments, numbered from 0
	known int // of them, those in the snapshot
}

func newLargeRoom(t interface {
	Fatal(...any)
	Fatalf(string, ...any)
}, cfg GatewayConfig) *largeRoom {
	cfg.Presence = new(Presence)
	s, a := loneShard(t, cfg)
	a.setSnapshot(newSnapshot(new(proto.SessionWelcome)))
	a.online = sectionsFrom
	r := &largeRoom{t: t, shard: s, room: a, now: time.Unix(1000, 0)}
	a.origin = r.now
	return r
}

// seated is a viewer of the large room.
type seated struct {
	*Conn
	sock  *narrow
	since []int // the comments before are in the welcome, and in the answer to each session_resume
}

func (r *largeRoom) seat() *seated {
	sock := &narrow{grant: 1 << 30}
	return &seated{Conn: seat(r.shard, r.room, sock), sock: sock, since: []int{r.known}}
}

// resume has a viewer ask for the whole room.
func (r *largeRoom) resume(v *seated) {
	if err := r.room.resume(v.Conn, "again", -1); err != nil {
		r.t.Fatalf("resume: %v", err)
	}
	v.since = append(v.since, r.known)
}

func (r *largeRoom) say() {
	r.said++
	r.hear(comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprint(r.said-1)))
}

func (r *largeRoom) hear(ev *proto.Event) {
	r.room.accept(ev, r.now)
	r.settle()
}

// settle does what is due, without writing.
func (r *largeRoom) settle() (due time.Time, waiting bool) {
	due, waiting = r.room.settle(r.now)
	if r.room.batch.empty() {
		r.known = r.said
	}
	return due, waiting
}

// write has the shard do all of its work, or only some steps of it.
func (r *largeRoom) write(steps int) {
	for r.shard.takeIn(); len(r.shard.walks) > 0 && steps > 0; steps-- {
		r.shard.walkOn()
	}
}

// finish lets the time go on until all is written.
func (r *largeRoom) finish() {
	for range 100 {
		r.write(1 << 20)
		due, waiting := r.settle()
		if !waiting && !r.room.waits() && len(r.shard.posts.waiting) == 0 {
			return
		}
		if waiting {
			r.now = latest(r.now, due)
		}
	}
	r.t.Fatalf("the room does not come to an end: %d segments", len(r.room.recent))
}

// stay is what a viewer saw since the welcome, or since the answer to a session_resume.
type stay struct {
	since    int // the comments before are known by that
	comments []int
	sampled  int // how many are said to be left out
}

// got returns what came.
func (s *seated) got(t interface{ Fatalf(string, ...any) }) (stays []stay, pins []int64) {
	stays = []stay{{since: s.since[0]}}
	for _, f := range readStream(t, s.sock.got).frames {
		if len(f.Replies) > 0 {
			stays = append(stays, stay{since: s.since[len(stays)]})
		}
		now := &stays[len(stays)-1]
		now.sampled += int(f.Sampled)
		for _, ev := range f.Events {
			switch {
			case ev.GetChatMessage() != nil:
				n, err := strconv.Atoi(ev.GetChatMessage().Text)
				if err != nil {
					t.Fatalf("a comment is garbled: %v", err)
				}
				now.comments = append(now.comments, n)
			case ev.Seq > 0:
				pins = append(pins, ev.Seq)
			}
		}
	}
	return stays, pins
}

// Whoever enters whenever, and however slowly the shard writes: each viewer gets what is not in the
// welcome once and in order, or is told how much was left out.
func TestSectionsMissNothingAndGetNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limited := rapid.Bool().Draw(t, "limited")
		cfg := GatewayConfig{RoomTick: 80 * time.Millisecond}
		if limited {
			cfg.ChatPerViewer = 20
		}
		r := newLargeRoom(t, cfg)
		var viewers []*seated
		numbered := int64(0)
		for range rapid.IntRange(10, 150).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"say", "say", "say", "enter", "enter", "leave", "resume", "wait", "wait", "write", "write", "pin"}).Draw(t, "what") {
			case "say":
				r.say()
			case "enter":
				viewers = append(viewers, r.seat())
			case "leave":
				if len(viewers) > 0 {
					n := rapid.IntRange(0, len(viewers)-1).Draw(t, "who")
					v := viewers[n]
					v.shutAtOnce()
					r.room.left(v.Conn)
					viewers = append(viewers[:n:n], viewers[n+1:]...)
				}
			case "resume":
				if len(viewers) > 0 {
					r.resume(rapid.SampledFrom(viewers).Draw(t, "who"))
				}
			case "wait":
				r.now = r.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "ms")) * time.Millisecond)
				r.settle()
			case "write":
				r.write(rapid.IntRange(1, 3).Draw(t, "walks"))
			case "pin":
				if numbered%4 < 3 { // seldom
					numbered++
					r.hear(pin(numbered))
				}
			}
			if n := len(r.room.recent); n > 2*sections {
				t.Fatalf("%d segments are kept", n)
			}
		}
		r.finish()
		for _, v := range viewers {
			stays, pins := v.got(t)
			for at, st := range stays {
				for i, n := range st.comments {
					if n < st.since || i > 0 && n <= st.comments[i-1] || !limited && n != st.since+i {
						t.Fatalf("who knows %d comments got %v", st.since, st.comments)
					}
				}
				if last := at == len(stays)-1; last && st.since+len(st.comments)+st.sampled != r.said {
					t.Fatalf("%d comments are known, %d came and %d were left out, of %d", st.since, len(st.comments), st.sampled, r.said)
				}
			}
			if len(stays) != len(v.since) {
				t.Fatalf("%d answers to %d questions", len(stays)-1, len(v.since)-1)
			}
			for i, n := range pins {
				if n != numbered-int64(len(pins)-1-i) {
					t.Fatalf("numbered events %v, the last is %d", pins, numbered)
				}
			}
		}
		if n := len(r.room.recent); n > 0 {
			t.Fatalf("%d segments are kept for nobody", n)
		}
	})
}

// A large busy room's sections are flushed in turn, each once a tick; a quiet one is told at once, as
// everybody is of what does not wait.
func TestSectionsTakeTurns(t *testing.T) {
	const tick = 80 * time.Millisecond
	r := newLargeRoom(t, GatewayConfig{RoomTick: tick})
	var viewers []*seated
	for range sections {
		viewers = append(viewers, r.seat())
	}
	counts := func() (n []int) {
		for _, v := range viewers {
			stays, _ := v.got(t)
			n = append(n, len(stays[0].comments))
		}
		return n
	}
	r.say()
	r.write(100)
	if got := fmt.Sprint(counts()); got != "[1 1 1 1 1 1 1 1]" {
		t.Fatalf("a quiet room got %v", got)
	}
	begun := r.now
	for ms := 1; ms <= 240; ms++ {
		r.now = begun.Add(time.Duration(ms) * time.Millisecond)
		if ms < 160 {
			r.say()
		} else {
			r.settle()
		}
		r.write(100)
		for i, n := range counts() {
			// The first turn comes half a tick after the flush for all, or later.
			first, last := i*10, 0
			if i < sections/2 {
				first += 80
			}
			if ms >= first {
				last = first + (ms-first)/80*80
			}
			if want := 1 + min(last, 159); n != want {
				t.Fatalf("after %d ms section %d has %d comments, want %d", ms, i, n, want)
			}
		}
	}
	for i, v := range viewers {
		if frames := len(readStream(t, v.sock.got).frames); frames != 3 && frames != 4 {
			t.Errorf("section %d was flushed %d times in three ticks", i, frames)
		}
	}
	r.now = r.now.Add(tick)
	r.say()
	r.say() // waits
	r.hear(pin(1))
	r.write(100)
	r.settle()
	r.write(100)
	for i, v := range viewers {
		if stays, pins := v.got(t); len(stays[0].comments) != r.said || len(pins) != 1 {
			t.Errorf("section %d has %d comments of %d and %d pins", i, len(stays[0].comments), r.said, len(pins))
		}
	}
}

// A room whose shards need more than a tick goes on in turns: a comment waits for one round, not for
// two walks through the whole room.
func TestSectionsOfAnOverloadedRoom(t *testing.T) {
	const tick, each = 80 * time.Millisecond, 20 * time.Millisecond // a round takes two ticks
	r := newLargeRoom(t, GatewayConfig{RoomTick: tick})
	var viewers []*seated
	for range sections {
		viewers = append(viewers, r.seat())
	}
	begun := r.now
	var saidAt []time.Duration
	came := make(map[*seated]int)
	say := func() {
		saidAt = append(saidAt, r.now.Sub(begun))
		r.say()
	}
	say()
	for r.now.Before(begun.Add(2 * time.Second)) {
		r.shard.takeIn()
		for range max(1, r.posted()) * int(each/time.Millisecond) {
			r.now = r.now.Add(time.Millisecond)
			say()
		}
		r.write(1 << 20)
		for i, v := range viewers {
			stays, _ := v.got(t)
			comments := stays[0].comments
			for _, n := range comments[came[v]:] {
				// The first flush is for all, and so slow.
				if age := r.now.Sub(begun) - saidAt[n]; saidAt[n] > 4*tick && age > (sections+1)*each {
					t.Fatalf("comment %d comes to section %d after %v", n, i, age)
				}
			}
			came[v] = len(comments)
		}
		r.settle()
	}
	for i, v := range viewers {
		if came[v] < len(saidAt)/2 {
			t.Errorf("%d of %d comments came to section %d", came[v], len(saidAt), i)
		}
	}
}

// posted returns for how many sections there is something to write.
func (r *largeRoom) posted() (n int) {
	for _, w := range r.shard.walks {
		for _, p := range w.flush.portions {
			if p != nil {
				n++
			}
		}
	}
	return n
}

// How long a flush took is counted from the first event that its section had not had.
func TestSectionsCountFromTheFirstEventThatWaited(t *testing.T) {
	r := newLargeRoom(t, GatewayConfig{RoomTick: 80 * time.Millisecond})
	for range sections {
		r.seat()
	}
	r.say()
	r.write(100)
	begun := r.now.Add(time.Millisecond)
	flushes := 0
	for range 115 {
		r.now = r.now.Add(time.Millisecond)
		r.say()
		for _, p := range r.shard.posts.waiting {
			flushes++
			if p.flush.since != begun && flushes <= sections {
				t.Errorf("a section's flush is said to have waited since %v instead of %v", p.flush.since, begun)
			}
		}
		r.write(100)
	}
	if flushes < sections {
		t.Errorf("%d flushes", flushes)
	}
}

// Figures that came after a comment make nobody wait for them who has had the comment.
func TestSectionsThatHadTheCommentWaitWithTheFigures(t *testing.T) {
	r := newLargeRoom(t, GatewayConfig{RoomTick: 80 * time.Millisecond})
	var viewers []*seated
	for range sections {
		viewers = append(viewers, r.seat())
	}
	r.say()
	r.write(100)
	begun := r.now
	at := func(ms int) { r.now = begun.Add(time.Duration(ms) * time.Millisecond) }
	frames := func() (n []int) {
		for _, v := range viewers {
			n = append(n, len(readStream(t, v.sock.got).frames))
		}
		return n
	}
	at(40) // the turn of the fifth section
	r.say()
	r.write(100)
	r.hear(&proto.Event{Event: &proto.Event_RoomStats{RoomStats: new(proto.RoomStats)}})
	pass := func(from, to int) {
		for ms := from; ms < to; ms++ {
			at(ms)
			r.settle()
			r.write(100)
		}
	}
	pass(41, 960)
	if got := fmt.Sprint(frames()); got != "[2 2 2 2 2 2 2 2]" {
		t.Errorf("frames before the figures are due: %v", got)
	}
	pass(960, 1200)
	if got := fmt.Sprint(frames()); got != "[2 2 2 2 3 2 2 2]" {
		t.Errorf("frames when they were: %v", got)
	}
}

// A comment that was left out counts once, however many sections miss it.
func TestSampledCommentsCountOnceForTheRoom(t *testing.T) {
	r := newLargeRoom(t, GatewayConfig{RoomTick: 80 * time.Millisecond, ChatPerViewer: 20})
	r.room.online = 0
	v := r.seat()
	for range 2 * sections {
		r.seat()
	}
	for range 100 {
		r.say()
	}
	r.finish()
	stays, _ := v.got(t)
	if n := stays[0].sampled; n < 50 {
		t.Fatalf("%d of 100 comments are left out", n)
	} else if counted := testutil.ToFloat64(r.shard.gw.metrics.sampled); math.Abs(counted-float64(n)) > 0.5 {
		t.Errorf("%v are counted, %d were left out", counted, n)
	}
}

// Every shard has something to write for each section, whichever way viewers come to the shards.
func TestSectionsAreSpreadOverTheShards(t *testing.T) {
	for _, pick := range []func(n int) int{
		func(n int) int { return n % 4 },
		func(n int) int { return n / 16 % 4 },
		func(n int) int { return n / 64 },
	} {
		var of [sections]section
		for i := range of {
			of[i].present = make([]int, 4)
		}
		for n := range 4 * 8 * sections {
			emptiest(of[:], pick(n)).admit(pick(n), 0)
		}
		for i := range of {
			if got := fmt.Sprint(of[i].present); got != "[8 8 8 8]" {
				t.Errorf("section %d has %s viewers on the shards", i, got)
			}
		}
	}
}
