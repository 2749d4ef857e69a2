package fault

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that says back what it is told, at the far end of a link.
func echo(t *testing.T) *link {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() { // ends when the listener closes
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			go func() { // ends when the test's end closes
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return newLink(t, server.Addr().String())
}

func dialLink(t *testing.T, l *link) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.near())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v; want %q", got, err, text)
	}
}

func silent(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v; want silence", n, err)
	}
}

func broken(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %d bytes, %v; want a broken connection", n, err)
	}
}

func TestLinkFaults(t *testing.T) {
	t.Run("cut", func(t *testing.T) {
		l := echo(t)
		conn := dialLink(t, l)
		say(t, conn, "one")
		hear(t, conn, "one")
		l.cut()
		broken(t, conn)
		broken(t, dialLink(t, l))
		l.mend()
		conn = dialLink(t, l)
		say(t, conn, "two")
		hear(t, conn, "two")
	})
	for _, way := range []direction{up, down} {
		t.Run([]string{"hold up", "hold down"}[way], func(t *testing.T) {
			l := echo(t)
			conn := dialLink(t, l)
			l.hold(way)
			say(t, conn, "late")
			silent(t, conn)
			l.mend()
			hear(t, conn, "late")
		})
	}
	t.Run("a black hole is left by a cut", func(t *testing.T) {
		l := echo(t)
		conn := dialLink(t, l)
		say(t, conn, "here") // the link has taken the connection
		hear(t, conn, "here")
		l.hold(down)
		say(t, conn, "there")
		silent(t, conn)
		l.hold(up)
		say(t, conn, "gone")
		l.cut()
		broken(t, conn) // and the end of the test finds nobody who carries on
	})
	t.Run("what is held is lost with a drop", func(t *testing.T) {
		l := echo(t)
		conn := dialLink(t, l)
		say(t, conn, "here") // the link has taken the connection
		hear(t, conn, "here")
		l.hold(up)
		say(t, conn, "lost")
		l.drop()
		broken(t, conn)
		l.mend()
		conn = dialLink(t, l)
		say(t, conn, "new")
		hear(t, conn, "new")
	})
	t.Run("slow", func(t *testing.T) {
		l := echo(t)
		conn := dialLink(t, l)
		l.slow(down, 100*time.Millisecond)
		began := time.Now()
		say(t, conn, "x")
		hear(t, conn, "x")
		if took := time.Since(began); took < 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("aim", func(t *testing.T) {
		l, other := echo(t), echo(t)
		l.aim("127.0.0.1:1")
		broken(t, dialLink(t, l))
		l.aim(other.near())
		conn := dialLink(t, l)
		say(t, conn, "x")
		hear(t, conn, "x")
	})
}

// A trap springs once, before the bytes pass, also where they come in two pieces.
func TestLinkTrap(t *testing.T) {
	l := echo(t)
	conn := dialLink(t, l)
	sprung := l.onSight(up, "commit", func() { l.hold(down) })
	say(t, conn, "com")
	hear(t, conn, "com")
	say(t, conn, "mit")
	select {
	case <-sprung:
	case <-time.After(10 * time.Second):
		t.Fatal("the trap did not spring")
	}
	silent(t, conn) // the server got it, and its answer is held
	l.mend()
	hear(t, conn, "mit")
	say(t, conn, "commit")
	hear(t, conn, "commit")
}

// A trap for what follows on one connection lets the same text pass on others.
func TestLinkTrapAfter(t *testing.T) {
	l := echo(t)
	one, other := dialLink(t, l), dialLink(t, l)
	sprung := l.onSightAfter(up, "ann", "commit", func() { l.hold(down) })
	say(t, one, "commit, ann")
	hear(t, one, "commit, ann")
	say(t, other, "commit")
	hear(t, other, "commit")
	say(t, one, "commit")
	select {
	case <-sprung:
	case <-time.After(10 * time.Second):
		t.Fatal("the trap did not spring")
	}
	silent(t, one)
}
