package bus

import (
	"math/rand/v2"
	"time"
)

const (
	backoffFirst = 50 * time.Millisecond
	backoffMost  = time.Second
)

// Backoff returns how long to wait after the tries-th fruitless request (1 or more) before the next:
// anything below a bound that doubles from 50 ms to 1 s. All of it is chance, so that a ledger that
// comes back is not met by all gateways at once, whenever each of them lost it.
func Backoff(tries int) time.Duration { return rand.N(backoffBound(tries)) }

func backoffBound(tries int) time.Duration {
	bound := backoffFirst
	for ; tries > 1 && bound < backoffMost; tries-- {
		bound *= 2
	}
	return min(bound, backoffMost)
}
