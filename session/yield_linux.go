package session

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// yielder lets all goroutines have a turn that could have one, those among them whose sockets have
// become ready meanwhile. runtime.Gosched does not: while anything can run, Go's scheduler looks at its
// poller no oftener than every 10 ms. A goroutine that waits for a descriptor makes it look at once, and
// ours is ready by then.
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
	// It fails once the yielder is closed, and then has nothing to do.
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

// addOne is 1 as eight bytes, with zeros wherever a machine has its low byte.
var addOne = []byte{1, 0, 0, 0, 0, 0, 0, 0}
