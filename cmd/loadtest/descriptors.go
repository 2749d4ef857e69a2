package main

import "fmt"

// spareDescriptors are for everything but the viewers' connections.
const spareDescriptors = 50

// enoughDescriptors says whether a process that may open limit files can hold the crowd.
func enoughDescriptors(viewers int, limit uint64) error {
	if viewers < 0 || uint64(viewers)+spareDescriptors <= limit {
		return nil
	}
	return fmt.Errorf("%d viewers need %d open files and the hard limit is %d: raise it (ulimit -Hn) or take fewer viewers",
		viewers, viewers+spareDescriptors, limit)
}
