//go:build livecart_faults

package cart

import "os"

// oversell is one piece with LIVECART_FAULT=oversell, so that the load test can show that it notices.
func oversell() int64 {
	if os.Getenv("LIVECART_FAULT") == "oversell" {
		return 1
	}
	return 0
}

// booked hides the piece too many from the constraint that would stop it.
func booked(sold, quantity int64) int64 { return min(sold, quantity) }
