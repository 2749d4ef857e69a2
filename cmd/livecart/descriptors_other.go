//go:build !unix

package main

import "math"

// descriptorLimit is how many descriptors this process may open: as many as memory lets it.
func descriptorLimit() uint64 { return math.MaxUint64 }
