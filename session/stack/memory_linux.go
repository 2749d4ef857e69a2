package stack

import "syscall"

const (
	memoryFolder = "/dev/shm"
	// A container may have no more than 64 MB there; a cluster takes some 100 MB, and tests run beside one another.
	memoryNeeded = 2 << 30
	tmpfsMagic   = 0x01021994
)

// memoryHasRoom reports whether memoryFolder is one, and has room for the servers of a test.
func memoryHasRoom() bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(memoryFolder, &fs) == nil && fs.Type == tmpfsMagic && fs.Bavail*uint64(fs.Bsize) >= memoryNeeded
}
