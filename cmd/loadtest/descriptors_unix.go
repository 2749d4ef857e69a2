//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// checkDescriptors raises the soft limit of open files to the hard one and says whether the crowd
// fits into it.
func checkDescriptors(viewers int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if err := enoughDescriptors(viewers, uint64(limit.Cur)); err == nil {
		return nil
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raise the limit of open files to %d: %w", limit.Max, err)
	}
	return enoughDescriptors(viewers, uint64(limit.Cur))
}
