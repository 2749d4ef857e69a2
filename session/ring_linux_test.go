package session

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"livecart/proto"
	"livecart/session/stack/stacktest"
)

// testRing is a ring, where the system lets us have one.
func testRing(t *testing.T) *ring {
	t.Helper()
	r, err := newRing(walkStep)
	if err != nil {
		stacktest.Require(t, "io_uring", err.Error())
	}
	return r
}

// narrowPair is a pair of sockets of which the first takes few bytes.
func narrowPair(t interface{ Fatal(...any) }) (ours, theirs int) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1); err != nil { // as few as there may be
		t.Fatal(err)
	}
	return pair[0], pair[1]
}

// What comes of a send in a batch is what comes of a sendto(2).
func TestRingSendsAsTheSystemCallDoes(t *testing.T) {
	r := testRing(t)
	defer r.close()
	pair := func() (ours, theirs int) {
		ours, theirs = narrowPair(t)
		t.Cleanup(func() { unix.Close(ours); unix.Close(theirs) })
		return ours, theirs
	}
	kinds := []struct {
		name string
		size int
		make func() (fd int)
	}{
		{"taken whole", 100, func() int { fd, _ := pair(); return fd }},
		{"taken in part", 1 << 20, func() int { fd, _ := pair(); return fd }},
		{"full", 100, func() int {
			fd, _ := pair()
			for err := error(nil); err == nil; {
				_, err = rawWrite(fd, make([]byte, 1<<10))
			}
			return fd
		}},
		{"the other end is shut", 100, func() int {
			fd, theirs := pair()
			_ = unix.Shutdown(theirs, unix.SHUT_RD)
			return fd
		}},
		{"no descriptor", 100, func() int { return 1 << 20 }},
		{"no socket", 100, func() int {
			fd, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			return fd
		}},
	}
	for range 3 { // the entries are used anew
		var want []int32
		for !r.full() {
			kind := kinds[len(want)%len(kinds)]
			p := bytes.Repeat([]byte{'x'}, kind.size)
			r.add(kind.make(), p)
			n, err := rawWrite(kind.make(), p)
			var errno unix.Errno
			if errors.As(err, &errno) {
				n = -int(errno)
			}
			want = append(want, int32(n))
		}
		sends, err := r.flush()
		if err != nil {
			t.Fatal(err)
		}
		for i, send := range sends {
			if send.res != want[i] {
				t.Errorf("%s: %d, want %d", kinds[i%len(kinds)].name, send.res, want[i])
			}
		}
		if r.full() {
			t.Fatal("it is full after a flush")
		}
	}
}

// What is sent is kept until it is, whoever else has forgotten it, and no longer.
func TestRingKeepsWhatItSends(t *testing.T) {
	r := testRing(t)
	defer r.close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	const size = 1 << 10
	for count := range r.entries {
		var freed atomic.Int32
		for i := range count + 1 {
			p := bytes.Repeat([]byte{byte('a' + i)}, size)
			runtime.AddCleanup(&p[0], func(int) { freed.Add(1) }, 0)
			r.add(pair[0], p)
		}
		runtime.GC()
		if n := freed.Load(); n > 0 {
			t.Fatalf("%d of %d are freed before they are sent", n, count+1)
		}
		sends, err := r.flush()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, size)
		for i, send := range sends {
			if send.res == notSent && len(sends) < leastRing {
				continue
			}
			if n, err := unix.Read(pair[1], got); err != nil || !bytes.Equal(got[:n], bytes.Repeat([]byte{byte('a' + i)}, size)) {
				t.Fatalf("of send %d of %d, %d: %q: %v", i, len(sends), send.res, got[:max(n, 0)], err)
			}
		}
		eventually(t, "nothing is kept", func() bool {
			runtime.GC()
			return int(freed.Load()) == count+1
		})
	}
}

// Loops that come and go leave no descriptor and no memory.
func TestLoopsLeaveNothing(t *testing.T) {
	s, _ := loneShard(t, GatewayConfig{})
	left := func() (n int) {
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(maps, []byte("io_uring")) + len(files)
	}
	const loops = 100
	before := left()
	for range loops {
		l, err := newLoop(s)
		if err != nil {
			t.Fatal(err)
		}
		l.stop()
	}
	if n := left(); n >= before+loops {
		t.Errorf("%d loops left %d descriptors and maps", loops, n-before)
	}
}

// A loop needs two descriptors. Where there are no more it has no ring, also when those of a ring came but not
// what it is tried with.
func TestLoopWithoutDescriptorsHasNoRing(t *testing.T) {
	testRing(t).close()
	s, _ := loneShard(t, GatewayConfig{})
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	few := limit
	few.Cur = uint64(len(files) + 200)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	var taken []int
	for {
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	defer func() {
		for _, fd := range taken {
			unix.Close(fd)
		}
	}()
	for free := 1; free <= 6; free++ {
		unix.Close(taken[0])
		taken = taken[1:]
		l, err := newLoop(s)
		ring := err == nil && l.ring != nil
		if (err == nil) != (free >= 2) || ring != (free >= 5) {
			t.Errorf("with %d descriptors: %v, a ring: %v", free, err, ring)
		}
		if err == nil {
			l.stop()
		}
	}
}

// A ring that the kernel does not serve any more is given up, and nobody misses anything by that.
func TestBrokenRingIsGivenUp(t *testing.T) {
	testRing(t).close()
	l, first, theirs := handLoop(t)
	ends := []int{theirs}
	for range 2 {
		sock, end := socketPair(t, l)
		c := seat(l.shard, first.room, sock)
		l.byFD[sock.fd] = c
		t.Cleanup(c.shutAtOnce)
		ends = append(ends, end)
	}
	for broken, seq := range []int64{1, 2, 3} {
		if broken == 1 {
			unix.Close(l.ring.fd)
			l.ring.fd = -1
		}
		l.shard.post(flushTo(first.room, flushOf(t, 1, 0, pin(seq))))
		l.shard.walkAll()
		if (l.ring == nil) != (broken > 0) {
			t.Errorf("after flush %d the ring is %v", seq, l.ring)
		}
		buf := make([]byte, 1<<10)
		for _, end := range ends {
			n, err := unix.Read(end, buf)
			if err != nil {
				t.Fatalf("flush %d: %v", seq, err)
			}
			if got, _, chats, _, _ := readStream(t, buf[:n]).count(t, seq-1); got != seq || chats != 1 {
				t.Errorf("of flush %d event %d and %d comments came", seq, got, chats)
			}
		}
	}
}

// sums are the events of a room up to some moment.
type sums struct{ chats, sampled, states int }

// socketViewer is a viewer with a real socket.
type socketViewer struct {
	c       *Conn
	theirs  int    // its end
	got     []byte // what came there
	from    sums   // as of its welcome
	upto    sums   // as of its end
	replies int
	ended   int // with which code, where that was decided
	gone    bool
	reading bool // what is for it waits
}

func (v *socketViewer) endReading() {
	if v.reading {
		v.reading = false
		v.c.endReading(0, true)
	}
}

// read takes what came, up to n bytes.
func (v *socketViewer) read(t *rapid.T, n int) (read int) {
	buf := make([]byte, n)
	read, err := unix.Read(v.theirs, buf)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ECONNRESET) {
		t.Fatal(err)
	}
	v.got = append(v.got, buf[:max(read, 0)]...)
	return max(read, 0)
}

// Over sockets, too, a connection is a stream of whole frames, for all whom a walk serves together: whether
// a ring writes to them, system calls of their own, or a ring that breaks on the way.
func TestWalkOverSocketsIsAStreamOfWholeFrames(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { walkOverSockets(t, "plain") })
	})
	t.Run("ring", func(t *testing.T) {
		testRing(t).close()
		ways := rapid.SampledFrom([]string{"ring", "broken ring"})
		rapid.Check(t, func(t *rapid.T) { walkOverSockets(t, ways.Draw(t, "way")) })
	})
}

func walkOverSockets(t *rapid.T, way string) {
	s, a := loneShard(t, GatewayConfig{NoIOUring: way == "plain", QueueBytes: rapid.IntRange(300, 6000).Draw(t, "queue")})
	var err error
	if s.loop, err = newLoop(s); err != nil {
		t.Fatal(err)
	}
	defer s.loop.stop()
	if (s.loop.ring == nil) != (way == "plain") {
		t.Fatalf("%s has ring %v", way, s.loop.ring)
	}
	var viewers []*socketViewer
	var said sums
	join := func() {
		ours, theirs := narrowPair(t)
		c := newConn(s.gw, a, s, Viewer{ID: fmt.Sprint("viewer ", len(viewers))}, proto.Binary, time.Now())
		a.admit(c, func() {})
		if !s.loop.take(c, ours, nil) {
			t.Fatal("not taken")
		}
		viewers = append(viewers, &socketViewer{c: c, theirs: theirs, from: said})
	}
	defer func() {
		for _, v := range viewers {
			v.c.shutAtOnce()
			if !v.gone {
				unix.Close(v.theirs)
			}
		}
	}()
	for range rapid.IntRange(1, walkStep+10).Draw(t, "viewers") {
		join()
	}
	end := func(v *socketViewer, code int) {
		if !v.c.over() {
			v.ended, v.upto = code, said
		}
	}
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		v := rapid.SampledFrom(viewers).Draw(t, "viewer")
		switch rapid.IntRange(0, 13).Draw(t, "what") {
		case 0, 1, 2, 3, 4:
			// Of the larger ones a socket takes a part.
			chats := rapid.IntRange(0, 12).Draw(t, "chats") * rapid.SampledFrom([]int{1, 10}).Draw(t, "times")
			sampled := rapid.IntRange(0, 5).Draw(t, "sampled")
			var others []*proto.Event
			if rapid.Bool().Draw(t, "state") || chats+sampled == 0 {
				said.states++
				others = append(others, pin(int64(said.states)))
			}
			said.chats, said.sampled = said.chats+chats, said.sampled+sampled
			p := flushTo(a, flushOf(t, chats, sampled, others...))
			if rapid.IntRange(0, 4).Draw(t, "expel") == 0 {
				p.flush.expel = []string{v.c.userID}
				end(v, CloseForbidden)
			}
			var lost []*Conn
			for _, v := range viewers {
				if v.gone && !v.reading && !v.c.queue.stuck && v.c.state == open {
					lost = append(lost, v.c)
				}
			}
			s.post(p)
			s.walkAll()
			for _, v := range viewers {
				if v.reading && !v.c.corked && !v.c.over() {
					t.Fatal("a walk has ended a reading")
				}
			}
			for _, c := range lost {
				if c.state != gone {
					t.Fatal("a socket without another end is not dropped")
				}
			}
		case 5:
			if !v.c.over() {
				v.replies++
				v.c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: fmt.Sprint(v.replies)}}})
			}
		case 6:
			v.c.sendControl(pingFrame)
		case 7, 8:
			if !v.gone {
				v.read(t, rapid.IntRange(1, 5000).Draw(t, "bytes"))
				s.loop.turn(t)
			}
		case 9:
			if rapid.Bool().Draw(t, "end") {
				end(v, CloseReplaced)
				v.c.shut(CloseReplaced, "replaced")
			}
		case 10:
			if !v.gone {
				v.gone = true
				unix.Close(v.theirs)
			}
		case 11:
			join()
			if r := s.loop.ring; way == "broken ring" && r != nil && rapid.Bool().Draw(t, "breaks") {
				unix.Close(r.fd)
				r.fd = -1
			}
		case 12: // is read from
			if !v.c.over() {
				v.c.beginReading()
				v.reading = true
			}
		case 13:
			for _, v := range viewers {
				v.endReading()
			}
		}
		if len(s.loop.gathered) > 0 {
			t.Fatal("something is gathered, and nobody walks")
		}
	}
	for _, v := range viewers {
		v.endReading()
	}
	for more := true; more; {
		more = s.loop.turn(t) > 0
		for _, v := range viewers {
			more = !v.gone && v.read(t, 64<<10) > 0 || more
		}
	}
	for i, v := range viewers {
		if v.gone {
			continue
		}
		got := readStream(t, v.got)
		slow := v.c.over() && v.ended == 0 || got.close == CloseSlowConsumer
		if slow {
			if got.close != CloseSlowConsumer {
				t.Fatalf("viewer %d is closed with %d", i, got.close)
			}
			continue // what had waited is lost
		}
		if v.ended == 0 {
			v.upto = said
		}
		seq, reply, chats, skipped, sampled := got.count(t, int64(v.from.states))
		want := sums{v.upto.chats - v.from.chats, v.upto.sampled - v.from.sampled, v.upto.states}
		if is := (sums{chats + skipped, sampled, int(seq)}); is != want || reply != v.replies || got.close != v.ended {
			t.Fatalf("viewer %d got %+v of %+v, %d of %d replies, and was closed with %d, not %d", i, is, want, reply, v.replies, got.close, v.ended)
		}
	}
	if s.backlog != 0 {
		t.Fatalf("%d bytes are said to wait, and none do", s.backlog)
	}
}
