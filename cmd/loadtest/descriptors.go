package main

import "fmt"

// spareDescriptors are for everything but the viewers' connections, handshakes among it, which have two.
const spareDescriptors = 150

// enoughDescriptors says whether a process that may open limit files can hold the crowd.
func enoughDescriptors(viewers int, limit uint64) error {
	if viewers < 0 || uint64(viewers)+spareDescriptors <= limit {
		return nil
	}
	need := viewers + spareDescriptors
	return fmt.Errorf("%d viewers need %d open files and the hard limit is %d: raise it (on Linux with sudo prlimit --pid $$ --nofile=%d in this shell, elsewhere with ulimit -Hn) or take fewer viewers",
		viewers, need, limit, need)
}
