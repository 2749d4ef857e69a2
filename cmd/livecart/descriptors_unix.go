//go:build unix

package main

import (
	"math"
	"syscall"
)

// descriptorLimit is how many descriptors this process may open. Go has raised the soft limit to the
// hard one.
func descriptorLimit() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // then accept tells
	}
	return uint64(limit.Cur)
}
