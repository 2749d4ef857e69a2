//go:build livecart_faults

package gift

import "os"

// doubleTips reports whether each tip is to be booked twice (LIVECART_FAULT=double_tip), so that
// the load test can show that it notices.
func doubleTips() bool { return os.Getenv("LIVECART_FAULT") == "double_tip" }
