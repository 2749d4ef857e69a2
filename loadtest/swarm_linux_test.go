package loadtest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"livecart/proto"
)

// spare says whether this process may open so many files.
func spare(n uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur < n {
		return fmt.Errorf("needs %d open files, the limit is %d", n, limit.Cur)
	}
	return nil
}

// Viewers share a source address up to a number; the one above has the next address.
func TestSwarmSourceAddresses(t *testing.T) {
	var mu sync.Mutex
	from := map[string]int{}
	g := serve(t, func(g *gateway) {
		g.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
			host, _, _ := net.SplitHostPort(r.RemoteAddr)
			mu.Lock()
			defer mu.Unlock()
			from[host]++
			return false
		}
	})
	s, err := newReadySwarm(SwarmConfig{Viewers: 7, Handshakes: 2, OnFrame: func(int, *proto.ServerFrame, int) {}, OnEnd: func(int, error) {}}, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	joined := make(chan error, 7)
	for i := range 7 {
		s.Join(i, g.config(), func(_ *proto.SessionWelcome, err error) { joined <- err })
	}
	for range 7 {
		if err := <-joined; err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if from["127.0.0.1"] != 3 || from["127.0.0.2"] != 3 || from["127.0.0.3"] != 1 {
		t.Errorf("%v", from)
	}
}

func TestSourcesTakeTurns(t *testing.T) {
	for number, want := range map[int]string{0: "invalid IP", 9: "invalid IP", 10: "127.0.0.2", 2499: "127.0.0.250", 2500: "invalid IP", 2510: "127.0.0.2"} {
		if got := sourceOf(number, 10).String(); got != want {
			t.Errorf("viewer %d: %s, not %s", number, got, want)
		}
	}
}

func TestReadySwarmRefusesTLS(t *testing.T) {
	s, err := NewSwarm(SwarmConfig{Viewers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refused := make(chan error, 1)
	s.Join(0, ViewerConfig{URL: "wss://127.0.0.1:1/"}, func(_ *proto.SessionWelcome, err error) { refused <- err })
	if err := <-refused; err == nil || !strings.Contains(err.Error(), "wss:// needs a swarm of goroutines") {
		t.Errorf("%v", err)
	}
}

// As many bytes as allowed wait for a socket that is full, and not one more.
func TestWaitingBytesAreBounded(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLoop(SwarmConfig{Viewers: 1}, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.release()
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	s := l.seat(0)
	s.fd = fds[0]
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for len(s.pending) == 0 {
		if !l.write(s, make([]byte, 1000)) {
			t.Fatal("refused with nothing waiting")
		}
		sent += 1000
	}
	room := maxWaiting - len(s.pending)
	if l.write(s, make([]byte, room+1)) {
		t.Error("one byte more than may wait was taken")
	}
	if !l.write(s, make([]byte, room)) || len(s.pending) != maxWaiting {
		t.Errorf("%d bytes wait, not %d", len(s.pending), maxWaiting)
	}
	sent += room
	buf, got := make([]byte, 1<<20), 0
	for got < sent {
		n, err := unix.Read(fds[1], buf)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		got += max(n, 0)
		l.flush(s)
	}
	if got != sent || s.pending != nil {
		t.Errorf("%d of %d bytes came, %d wait", got, sent, len(s.pending))
	}
}

// The loop waits as long as nothing is due, and no shorter than to the deadline.
func TestLoopPatience(t *testing.T) {
	l := new(loop)
	if got := l.patience(); got != -1 {
		t.Errorf("%d ms without a deadline", got)
	}
	d := l.deadlines.add(time.Now().Add(time.Second), func() {})
	if got := l.patience(); got < 900 || got > 1000 {
		t.Errorf("%d ms for a second", got)
	}
	l.deadlines.remove(d)
	l.deadlines.add(time.Now().Add(-time.Second), func() {})
	if got := l.patience(); got != 0 {
		t.Errorf("%d ms for what is due", got)
	}
}
