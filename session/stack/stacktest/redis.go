package stacktest

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"livecart/session/stack"
)

// redisPool holds the process's shared servers and the logical databases that no test uses now. A server is added when
// all databases are taken.
var redisPool struct {
	sync.Mutex
	free []string // URLs
}

// Patience is added to a URL of this package so that a busy machine does not look like a lost Redis; a
// Redis that is really gone refuses at once all the same.
const Patience = "&read_timeout=10s&write_timeout=10s&pool_timeout=10s"

// Redis gives the test an empty logical database on a shared server and returns its URL, for redis.ParseURL. Commands
// that reach over all databases (FLUSHALL, SCRIPT FLUSH, CONFIG SET, SHUTDOWN) and published messages touch other tests:
// use PrivateRedis for these.
//
// With LIVECART_TEST_REDIS=miniredis each test has a miniredis instead, as dev uses where there is no Redis.
func Redis(t testing.TB) string {
	t.Helper()
	if os.Getenv("LIVECART_TEST_REDIS") == "miniredis" {
		mini, err := stack.StartMiniRedis()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(mini.Close)
		return mini.URL()
	}
	url, err := takeRedis()
	if err != nil {
		missingRedis(t, err)
	}
	flushRedis(t, url)
	t.Cleanup(func() {
		redisPool.Lock()
		defer redisPool.Unlock()
		redisPool.free = append(redisPool.free, url)
	})
	return url + Patience
}

func takeRedis() (string, error) {
	redisPool.Lock()
	defer redisPool.Unlock()
	if len(redisPool.free) == 0 {
		server, err := stack.NewThrowawayRedis(false)
		if err != nil {
			return "", err
		}
		if err := server.Start(context.Background()); err != nil {
			return "", errors.Join(err, server.Close())
		}
		for db := range 16 {
			redisPool.free = append(redisPool.free, server.URL(db))
		}
	}
	url := redisPool.free[0]
	redisPool.free = redisPool.free[1:]
	return url, nil
}

func missingRedis(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, stack.ErrNoRedis) {
		Require(t, "redis", err.Error())
	}
	t.Fatal(err)
}

func flushRedis(t testing.TB, url string) {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	if err := client.FlushDB(context.Background()).Err(); err != nil {
		t.Fatalf("empty the test's Redis database: %v", err)
	}
}

// RedisServer is a server for one test's faults. Its methods fail the test on an error and may be called from any
// goroutine; the test ends the server.
type RedisServer struct {
	URL    string // stays the same over restarts
	t      testing.TB
	server *stack.RedisServer
}

// PrivateRedis starts a redis-server for this test alone. It keeps every acknowledged write over Kill and Restart; call
// FLUSHALL to have it lose its data.
func PrivateRedis(t testing.TB) *RedisServer {
	t.Helper()
	server, err := stack.NewThrowawayRedis(true)
	if err != nil {
		missingRedis(t, err)
	}
	r := &RedisServer{URL: server.URL(0), t: t, server: server}
	t.Cleanup(func() { r.check(server.Close()) })
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

// Kill ends the server with SIGKILL and returns when it is gone.
func (r *RedisServer) Kill() { r.t.Helper(); r.check(r.server.Kill()) }

// Stop ends the server in order.
func (r *RedisServer) Stop() { r.t.Helper(); r.check(r.server.Stop()) }

// Start starts a server that was stopped or killed and returns when it takes commands.
func (r *RedisServer) Start() { r.t.Helper(); r.check(r.server.Start(context.Background())) }

// Restart stops and starts the server.
func (r *RedisServer) Restart() { r.t.Helper(); r.Stop(); r.Start() }

func (r *RedisServer) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Error(err)
	}
}
