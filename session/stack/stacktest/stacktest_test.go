package stacktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// The servers must not leave goroutines in packages that look for leaks.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var migrated int

func migrate(ctx context.Context, url string) error {
	migrated++
	return execute(ctx, url, "CREATE TABLE comment (body text)")
}

func rows(t *testing.T, url, query string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPostgresGivesEachTestItsOwnCopy(t *testing.T) {
	before := migrated
	first, second := Postgres(t, migrate), Postgres(t, migrate)
	if err := execute(t.Context(), first, "INSERT INTO comment VALUES ('hello')"); err != nil {
		t.Fatal(err)
	}
	if n := rows(t, first, "SELECT count(*) FROM comment"); n != 1 {
		t.Errorf("first database has %d rows, want 1", n)
	}
	if n := rows(t, second, "SELECT count(*) FROM comment"); n != 0 {
		t.Errorf("second database has %d rows, want 0", n)
	}
	if migrated-before > 1 {
		t.Errorf("migrated %d times for two databases", migrated-before)
	}
}

func TestPostgresIsDroppedAfterTheTest(t *testing.T) {
	var name string
	t.Run("user", func(t *testing.T) {
		config, err := pgx.ParseConfig(Postgres(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		name = config.Database
	})
	count := "SELECT count(*) FROM pg_database WHERE datname = '" + name + "'"
	if n := rows(t, Postgres(t, nil), count); n != 0 {
		t.Errorf("database %s is still there", name)
	}
}

func TestPrivatePostgresKeepsCommitsOverKill(t *testing.T) {
	server := PrivatePostgres(t, migrate)
	if err := execute(t.Context(), server.URL, "INSERT INTO comment VALUES ('hello')"); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := execute(t.Context(), server.URL, "SELECT 1"); err == nil {
		t.Fatal("a killed server answered")
	}
	server.Start()
	if n := rows(t, server.URL, "SELECT count(*) FROM comment"); n != 1 {
		t.Errorf("%d rows after a crash, want 1", n)
	}
	server.Restart()
	if n := rows(t, server.URL, "SELECT count(*) FROM comment"); n != 1 {
		t.Errorf("%d rows after a restart, want 1", n)
	}
}

func connectRedis(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func TestRedisGivesEachTestAnEmptyDatabase(t *testing.T) {
	seen := map[string]bool{}
	for i := range 20 { // more than one server has
		url := Redis(t)
		if seen[url] {
			t.Fatalf("%s was handed out twice", url)
		}
		seen[url] = true
		client := connectRedis(t, url)
		if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
			t.Fatalf("database %d has %d keys, %v", i, n, err)
		}
		if err := client.Set(t.Context(), "key", i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRedisIsEmptyWhenReused(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			client := connectRedis(t, Redis(t))
			if n, err := client.DBSize(t.Context()).Result(); err != nil || n != 0 {
				t.Fatalf("%d keys left, %v", n, err)
			}
			if err := client.Set(t.Context(), "key", i, 0).Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestPrivateRedisKeepsWritesOverKill(t *testing.T) {
	server := PrivateRedis(t)
	if err := connectRedis(t, server.URL).Set(t.Context(), "key", "value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("unix", options.Addr); err == nil {
		conn.Close()
		t.Fatal("a killed server answered")
	}
	server.Start()
	server.Restart()
	if got, err := connectRedis(t, server.URL).Get(t.Context(), "key").Result(); err != nil || got != "value" {
		t.Errorf("after a crash and a restart the key is %q, %v", got, err)
	}
}

func TestNATSIsSeparateForEachTest(t *testing.T) {
	one, err := nats.Connect(NATS(t))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	other, err := nats.Connect(NATS(t))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	heard, err := other.SubscribeSync("room")
	if err != nil {
		t.Fatal(err)
	}
	echo, err := one.SubscribeSync("room")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Flush(), one.Publish("room", []byte("hello")), one.Flush()); err != nil {
		t.Fatal(err)
	}
	if _, err := echo.NextMsgWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, _, err := heard.Pending(); err != nil || n != 0 {
		t.Errorf("the other server heard %d messages, %v", n, err)
	}
}

func TestChromeIsTheOneNamed(t *testing.T) {
	named := filepath.Join(t.TempDir(), "browser")
	if err := os.WriteFile(named, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LIVECART_CHROME", named)
	if got := Chrome(t); got != named {
		t.Errorf("Chrome is %s, want %s", got, named)
	}
}

func TestRequireSkipsOrFails(t *testing.T) {
	for _, test := range []struct {
		name, required string
		fails          bool
	}{
		{"nothing required", "", false},
		{"another part required", "postgres,redis", false},
		{"this part required", "postgres,chrome", true},
		{"with spaces", "postgres, chrome", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("LIVECART_TEST_REQUIRE", test.required)
			var end ending
			Require(&end, "chrome", "none here")
			if end.failed != test.fails || end.skipped == test.fails {
				t.Errorf("failed %v, skipped %v", end.failed, end.skipped)
			}
		})
	}
}

// ending notes how a test would have ended.
type ending struct {
	testing.TB
	failed, skipped bool
}

func (e *ending) Helper()               {}
func (e *ending) Fatalf(string, ...any) { e.failed = true }
func (e *ending) Skipf(string, ...any)  { e.skipped = !e.failed }

// A server that has much to load answers some commands while it does, and refuses the others.
func TestPrivateRedisStartsLoaded(t *testing.T) {
	server := PrivateRedis(t)
	options, err := redis.ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.ReadTimeout = time.Minute // a command that seems lost would be sent again, to a server that is busy with it
	client := redis.NewClient(options)
	defer client.Close()
	const keys = 300_000
	err = client.Eval(t.Context(), `for i = 1, ARGV[1] do redis.call('SET', 'key:' .. i, i) end return 1`, nil, keys).Err()
	if err != nil {
		t.Fatal(err)
	}
	server.Restart()
	if n, err := client.DBSize(t.Context()).Result(); n != keys || err != nil {
		t.Errorf("%d keys, %v; want %d", n, err, keys)
	}
}
