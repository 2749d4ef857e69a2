package stack

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// childPatience is how long a child may take to end in order.
const childPatience = 20 * time.Second

// Child is a program that runs beside us and ends when our process does, for whatever reason: tests that
// stop, freeze and kill processes leave none behind. Not safe for concurrent use.
type Child struct{ guard *guard }

// StartChild runs a program as ourselves, without our environment. Both its outputs go to the file log,
// which is emptied first. It returns when the process exists.
func StartChild(log, path string, args ...string) (*Child, error) {
	g, err := command{path: path, args: args, signal: "KILL", log: log}.start()
	if err != nil {
		return nil, err
	}
	return &Child{guard: g}, nil
}

// PID is the number of the program's process.
func (c *Child) PID() int { return c.guard.pid }

// Signal sends a signal: SIGSTOP freezes the program, SIGCONT lets it go on. It does nothing once the
// program has ended.
func (c *Child) Signal(signal syscall.Signal) error {
	if c.guard.pipe == nil || c.guard.ended(0) {
		return nil
	}
	if err := syscall.Kill(c.guard.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", c.guard.name, err)
	}
	return nil
}

// Ended waits up to d for the program to end and says whether it has.
func (c *Child) Ended(d time.Duration) bool { return c.guard.pipe == nil || c.guard.ended(d) }

// Stop asks the program to end with SIGTERM and waits for it, 20 s at the most; then it kills it and
// returns an error. A second call does nothing.
func (c *Child) Stop() error {
	if c.guard.pipe == nil {
		return nil
	}
	err := c.Signal(syscall.SIGTERM)
	if !c.guard.ended(childPatience) {
		err = errors.Join(err, fmt.Errorf("%s did not end within %v and was killed", c.guard.name, childPatience))
	}
	return errors.Join(err, c.guard.kill())
}

// Kill ends the program with SIGKILL, as a crash would, and returns when it is gone.
func (c *Child) Kill() error { return c.guard.kill() }
