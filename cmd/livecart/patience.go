package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"livecart/session/bus"
	"livecart/session/store"
)

// openTimeout bounds the wait for the three servers when a process starts. Machines that start
// together come up in any order, and a server that fails over is away for some seconds.
const openTimeout = 30 * time.Second

// patiently opens a connection, again and again while its server cannot be reached, until ctx ends. What
// asking again cannot mend, such as a wrong password, is returned at once.
func patiently[T any](ctx context.Context, log *slog.Logger, server string, open func(context.Context) (T, error)) (T, error) {
	var last error
	for tries := 1; ; tries++ {
		opened, err := open(ctx)
		if err == nil {
			return opened, nil
		}
		if last != nil && ctx.Err() != nil {
			return opened, last // says more than that the time is over
		}
		if !unreachable(err) {
			return opened, err
		}
		if last == nil {
			log.Warn("waiting for a server", "server", server, "for", openTimeout, "err", err)
		}
		last = err
		pause := time.NewTimer(bus.Backoff(tries))
		select {
		case <-ctx.Done():
			pause.Stop()
			return opened, last
		case <-pause.C:
		}
	}
}

func unreachable(err error) bool {
	return store.Unreachable(err) || bus.Unreachable(err) || redis.HasErrorPrefix(err, "LOADING")
}
