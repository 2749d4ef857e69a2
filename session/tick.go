package session

import "time"

// roomTick returns the time between two flushes of a busy room.
func roomTick(fixed time.Duration, viewers int) time.Duration {
	switch {
	case fixed > 0:
		return fixed
	case viewers < 1000:
		return 50 * time.Millisecond
	case viewers <= 5000:
		return 100 * time.Millisecond
	}
	return 250 * time.Millisecond
}

// calmTick returns the least time between two flushes of nothing but figures, where a large room is
// otherwise quiet: each is a write to every viewer, and the next one replaces it.
func calmTick(viewers int) time.Duration {
	switch {
	case viewers < 1000:
		return 0
	case viewers <= 5000:
		return time.Second
	}
	return 2 * time.Second
}
