//go:build !linux

package loadtest

// newSwarm has no readiness loop here.
func newSwarm(cfg SwarmConfig) (Swarm, error) { return newGoroutineSwarm(cfg), nil }
