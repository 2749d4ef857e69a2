package stack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrInUse says that another process works on the data folder.
var ErrInUse = errors.New("data folder in use")

// windDown bounds the wait for servers of an earlier run whose process is gone.
const windDown = 10 * time.Second

// folderLock is the claim of one process on a data folder. It is made of two locks, both of which the kernel lets go when
// their last holder is gone, so that neither can be stale: one is held by the process alone and tells whether somebody
// works on the folder; the other is held by the guards and servers too and tells whether servers are still ending.
type folderLock struct {
	process *os.File
	servers *os.File // handed to each server
}

// lockFolder claims the folder: ErrInUse if another process has it. It waits for the servers of a process that died.
func lockFolder(dir string) (*folderLock, error) {
	process, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the data folder %s belongs to another user (was it made as root?): %w", dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the data folder's lock: %w", err)
	}
	if err := syscall.Flock(int(process.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer process.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
		}
		holder, err := io.ReadAll(process)
		if err != nil {
			return nil, fmt.Errorf("read the data folder's lock: %w", err)
		}
		return nil, fmt.Errorf("%w: %s belongs to process %s; stop it, or choose another folder", ErrInUse, dir, strings.TrimSpace(string(holder)))
	}
	lock := &folderLock{process: process}
	if err := lock.claimServers(dir); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	if err := errors.Join(process.Truncate(0), writeAtStart(process, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write the data folder's lock: %w", err), lock.release())
	}
	return lock, nil
}

func writeAtStart(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

func (l *folderLock) claimServers(dir string) error {
	servers, err := os.OpenFile(filepath.Join(dir, "lock.servers"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("open the servers' lock: %w", err)
	}
	l.servers = servers
	deadline := time.Now().Add(windDown)
	for {
		err := syscall.Flock(int(servers.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("lock the servers of %s: %w", dir, err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: servers of an earlier run on %s are still there after %v", ErrInUse, dir, windDown)
		}
		time.Sleep(20 * time.Millisecond) // flock takes no deadline
	}
}

// release gives the folder up. The servers' lock stays held until the last server has ended.
func (l *folderLock) release() error {
	if l == nil {
		return nil
	}
	var err error
	if l.servers != nil {
		err = l.servers.Close()
	}
	return errors.Join(err, l.process.Close())
}
