//go:build !livecart_faults

package gift

// doubleTips is a fault that only builds for tests of the load test can have.
func doubleTips() bool { return false }
