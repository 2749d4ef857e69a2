package session

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Who has become ready is served while a shard has the only processor and is not through with its
// walks.
func TestBusyShardLetsSocketsBeServed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	y, err := newYielder()
	if err != nil {
		t.Fatal(err)
	}
	defer y.close()
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
		for range 2 { // who reads may be behind us in the row
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
