package session

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// yielder lets all goroutines have a turn that could have one, those among them whose sockets have
// become ready meanwhile. runtime.Gosched does not: while anything can run, Go's scheduler looks at its
// poller no oftener than every 10 ms. When a goroutine waits for a descriptor and nothing else can run, it
// looks at once, and ours is ready by then. Where others do run all the time, yieldMost ends the wait.
type yielder struct {
	file *os.File
	raw  syscall.RawConn
}

func newYielder() (*yielder, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	y := &yielder{file: os.NewFile(uintptr(fd), "eventfd")}
	if y.raw, err = y.file.SyscallConn(); err != nil {
		y.file.Close()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return y, nil
}

func (y *yielder) close() { y.file.Close() }

// yield returns when others had their turn. One goroutine at a time may call it.
func (y *yielder) yield() {
	signalled := false
	// It fails once the yielder is closed, as does the wait below, and then there is nothing to do.
	_ = y.file.SetReadDeadline(time.Now().Add(yieldMost))
	_ = y.raw.Read(func(fd uintptr) bool {
		if signalled {
			return true
		}
		signalled = true
		// Each addition is news to the poller, whether or not the sum is read.
		_, err := unix.Write(int(fd), addOne)
		return err != nil
	})
}

var addOne = binary.NativeEndian.AppendUint64(nil, 1)
