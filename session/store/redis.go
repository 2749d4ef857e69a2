package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisTimeout bounds every Redis call, unless the URL sets read_timeout, write_timeout and
// pool_timeout. Locks in Postgres are held over some, so it is short.
const RedisTimeout = 200 * time.Millisecond

// OpenRedis opens a client for a redis://, rediss:// or unix:// URL and checks that the server
// answers. A command that failed is not sent again by the client: whoever asked knows whether a
// second run is harmless.
func OpenRedis(ctx context.Context, url string) (redis.UniversalClient, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis url: %w", err)
	}
	opts.MaxRetries = -1
	opts.DialTimeout = time.Second
	// One try a dial: a Redis that is away must cost a command no more than its own time.
	opts.DialerRetries = 1
	opts.ReadTimeout = cmp.Or(opts.ReadTimeout, RedisTimeout)
	opts.WriteTimeout = cmp.Or(opts.WriteTimeout, RedisTimeout)
	opts.PoolTimeout = cmp.Or(opts.PoolTimeout, RedisTimeout)
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := redis.NewClient(opts)
	if err := client.Ping(ctx).Err(); err != nil {
		client.Close()
		return nil, fmt.Errorf("redis: %w", err)
	}
	return client, nil
}
