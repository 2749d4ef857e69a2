package stack

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// miniTick is how often time passes in a miniredis, and so how late a key may expire.
const miniTick = 10 * time.Millisecond

// MiniRedis is a Redis written in Go, inside this process, on loopback TCP: good for trying livecart out where there is no
// Redis. It keeps nothing when it ends.
type MiniRedis struct {
	mini *miniredis.Miniredis
	stop chan struct{}
	done sync.WaitGroup
}

// StartMiniRedis starts one on a free port.
func StartMiniRedis() (*MiniRedis, error) {
	m := &MiniRedis{mini: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	if err := m.mini.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start miniredis: %w", err)
	}
	m.done.Go(m.passTime) // until Close closes stop, and Close waits
	return m, nil
}

// passTime lets keys expire, which miniredis leaves to its owner. Its TIME command reads the real clock by itself.
func (m *MiniRedis) passTime() {
	ticker := time.NewTicker(miniTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-m.stop:
			return
		case now := <-ticker.C:
			// What really passed, as ticks are dropped under load.
			m.mini.FastForward(now.Sub(last))
			last = now
		}
	}
}

// URL is its address, redis://127.0.0.1:port/0.
func (m *MiniRedis) URL() string { return "redis://" + m.mini.Addr() + "/0" }

// Close ends it and returns when its goroutines have ended. It may be called once.
func (m *MiniRedis) Close() {
	close(m.stop)
	m.done.Wait()
	m.mini.Close()
}
