package session

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// yielderOfOneProcessor leaves the test one processor, so that who yields matters.
func yielderOfOneProcessor(t *testing.T) *yielder {
	t.Helper()
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	y, err := newYielder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(y.close)
	return y
}

// Who has become ready is served while a shard has the only processor and is not through with its
// walks.
func TestBusyShardLetsSocketsBeServed(t *testing.T) {
	y := yielderOfOneProcessor(t)
	s := &shard{yielder: y, walks: []*walk{{}}}
	never := time.NewTicker(time.Hour)
	defer never.Stop()
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[1])
	r := os.NewFile(uintptr(pipe[0]), "pipe")
	defer r.Close()
	var read atomic.Int32
	done := make(chan error)
	go func() {
		for buf := make([]byte, 1); ; read.Add(1) {
			if _, err := r.Read(buf); err != nil {
				done <- err
				return
			}
		}
	}()
	for n := range int32(100) {
		if _, err := unix.Write(pipe[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
		// Who reads may be behind us in the row, and a yield end for its time when the collector runs. As
		// many turns of runtime.Gosched take some microseconds, and serve nobody.
		for tries := 0; tries < 20 && read.Load() == n; tries++ {
			s.yielded = time.Time{}
			s.rest(t.Context(), never)
		}
		if got := read.Load(); got != n+1 {
			t.Fatalf("%d of %d bytes are read", got, n+1)
		}
	}
	r.Close()
	<-done
}

// Who has work all the time does not keep the shard from its own.
func TestBusyShardHasItsTurnBesideOthers(t *testing.T) {
	y := yielderOfOneProcessor(t)
	const turn, yields = 100 * time.Microsecond, 50
	var turns, stop atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; stop.Load() == 0; turns.Add(1) {
			for begun := time.Now(); time.Since(begun) < turn; {
			}
			runtime.Gosched()
		}
	}()
	for range yields {
		y.yield()
	}
	stop.Store(1)
	<-done
	if most, turns := 3*yields*int(yieldMost/turn), int(turns.Load()); turns > most {
		t.Errorf("%d turns of another goroutine in %d yields, want at most %d", turns, yields, most)
	}
}
