package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// childVar makes the test binary run a stack on the folder it names, say "ready", and wait to be killed.
const childVar = "LIVECART_STACK_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		if _, err := Start(context.Background(), Config{DataDir: dir, Offline: true}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		select {}
	}
	goleak.VerifyTestMain(m)
}

// dataFolder is a folder that the servers' account can reach, which the private t.TempDir is not for root.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "livecart-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func needPostgres(t *testing.T) {
	t.Helper()
	as, err := serverAccount()
	if err == nil {
		_, err = findPostgres(os.Getenv("LIVECART_PG_BIN"), as)
	}
	if err != nil {
		demand(t, "postgres", err)
	}
}

func needRedis(t *testing.T) {
	t.Helper()
	if _, err := findRedis(nil); err != nil {
		demand(t, "redis", err)
	}
}

// demand is stacktest.Require, which this package cannot import.
func demand(t *testing.T, part string, err error) {
	t.Helper()
	if strings.Contains(os.Getenv("LIVECART_TEST_REQUIRE"), part) {
		t.Fatal(err)
	}
	t.Skip(err)
}

func start(t *testing.T, cfg Config) *Stack {
	t.Helper()
	cfg.PGBin = os.Getenv("LIVECART_PG_BIN")
	cfg.Offline = true
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func sql(t *testing.T, url, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var text string
	if err := conn.QueryRow(t.Context(), statement).Scan(&text); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return text
}

func redisDo(t *testing.T, url string, args ...any) string {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	text, err := client.Do(t.Context(), args...).Text()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return text
}

// write leaves a mark in Postgres and Redis; marked says where it is still found.
func write(t *testing.T, s *Stack) {
	t.Helper()
	sql(t, s.DatabaseURL, "CREATE TABLE mark AS SELECT 'kept' AS body")
	redisDo(t, s.RedisURL, "SET", "mark", "kept")
}

func wantMarks(t *testing.T, s *Stack, inRedis string) {
	t.Helper()
	if got := sql(t, s.DatabaseURL, "SELECT body FROM mark"); got != "kept" {
		t.Errorf("Postgres holds %q, want the mark", got)
	}
	if got := redisDo(t, s.RedisURL, "GET", "mark"); got != inRedis {
		t.Errorf("Redis holds %q, want %q", got, inRedis)
	}
}

func TestStartServesAndARestartKeepsData(t *testing.T) {
	needPostgres(t)
	needRedis(t)
	dir := dataFolder(t)
	var said []string
	s := start(t, Config{DataDir: dir, Log: func(line string) { said = append(said, line) }})
	if len(said) != 3 || !strings.HasPrefix(said[0], "NATS: in-process") || !strings.HasPrefix(said[1], "Redis: private") || !strings.HasPrefix(said[2], "Postgres: private cluster") {
		t.Errorf("said %q, want a line for each part", said)
	}
	if len(s.Parts) != 3 {
		t.Errorf("%d parts, want 3", len(s.Parts))
	}
	bus, err := nats.Connect(s.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	bus.Close()
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "listen_addresses": ""} {
		if got := sql(t, s.DatabaseURL, "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	write(t, s)

	if _, err := Start(t.Context(), Config{DataDir: dir, Offline: true}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second start on the folder: %v, want ErrInUse with our pid", err)
	}

	began := time.Now()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := redisVersionAt(t.Context(), s.RedisURL); err == nil {
		t.Error("Redis answers after Close")
	}
	if _, err := postgresVersionAt(t.Context(), s.DatabaseURL); err == nil {
		t.Error("Postgres answers after Close")
	}
	wantMarks(t, start(t, Config{DataDir: dir}), "kept")
}

func TestKilledProcessLeavesNoServer(t *testing.T) {
	needPostgres(t)
	needRedis(t)
	dir := dataFolder(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVar+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	running := &Stack{DatabaseURL: "postgres://livecart@/livecart?host=" + dir + "/run", RedisURL: "unix://" + dir + "/run/redis.sock?db=0"}
	write(t, running)
	var postgresPID, redisPID int
	postmaster, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(postmaster), &postgresPID); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(redisDo(t, running.RedisURL, "INFO", "server")) {
		if pid, ok := strings.CutPrefix(line, "process_id:"); ok {
			fmt.Sscan(pid, &redisPID)
		}
	}
	if postgresPID == 0 || redisPID == 0 {
		t.Fatalf("pids %d and %d", postgresPID, redisPID)
	}

	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed

	// At once, so that it has to wait for the old servers.
	wantMarks(t, start(t, Config{DataDir: dir}), "kept")
	for name, pid := range map[string]int{"postgres": postgresPID, "redis": redisPID} {
		if !gone(pid, 0) {
			t.Errorf("%s (pid %d) outlived its parent", name, pid)
		}
	}
}

// gone waits up to d for a process to end.
func gone(pid int, d time.Duration) bool {
	for deadline := time.Now().Add(d); ; time.Sleep(5 * time.Millisecond) {
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// pathWithoutRedis makes PATH a folder with nothing but Postgres, if that is found on PATH at all.
func pathWithoutRedis(t *testing.T) {
	t.Helper()
	dir := dataFolder(t)
	if path, err := exec.LookPath("postgres"); err == nil {
		if err := os.Symlink(path, filepath.Join(dir, "postgres")); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func TestWithoutRedisThereIsMiniredis(t *testing.T) {
	needPostgres(t)
	pathWithoutRedis(t)
	dir := dataFolder(t)
	s := start(t, Config{DataDir: dir})
	if part := s.Parts[1]; part.Choice != "in-process miniredis" || part.Warning == "" || !strings.HasPrefix(s.RedisURL, "redis://127.0.0.1:") {
		t.Errorf("Redis is %+v at %s, want miniredis with a warning", part, s.RedisURL)
	}
	write(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantMarks(t, start(t, Config{DataDir: dir}), "")
}

func TestGivenServersAreUsed(t *testing.T) {
	needPostgres(t)
	needRedis(t)
	own := start(t, Config{DataDir: dataFolder(t)})
	given := Config{DataDir: dataFolder(t), NATSURL: own.NATSURL, RedisURL: own.RedisURL, DatabaseURL: own.DatabaseURL}
	s := start(t, given)
	if s.NATSURL != own.NATSURL || s.RedisURL != own.RedisURL || s.DatabaseURL != own.DatabaseURL {
		t.Errorf("uses %s %s %s, not what was given", s.NATSURL, s.RedisURL, s.DatabaseURL)
	}
	for _, part := range append(s.Parts, Probe(given)...) {
		if !strings.HasPrefix(part.Choice, "given by ") || !part.Found {
			t.Errorf("part %+v, want a given one that is found", part)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := redisVersionAt(t.Context(), own.RedisURL); err != nil {
		t.Errorf("the given Redis was ended: %v", err)
	}
}

func TestGivenServersThatAreGone(t *testing.T) {
	for name, cfg := range map[string]Config{
		"REDIS_URL":    {RedisURL: "redis://127.0.0.1:1/0", DatabaseURL: "postgres://127.0.0.1:1/x"},
		"DATABASE_URL": {DatabaseURL: "postgres://127.0.0.1:1/x?connect_timeout=2"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.DataDir = dataFolder(t)
			if _, err := Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "given by "+name) {
				t.Errorf("error %v, want one that names %s", err, name)
			}
		})
	}
}

func TestClusterOfAnotherMajorVersionIsRefused(t *testing.T) {
	needPostgres(t)
	dir := dataFolder(t)
	if err := os.Mkdir(filepath.Join(dir, "postgres"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres", "PG_VERSION"), []byte("12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the failed start must have given the folder up
		_, err := Start(t.Context(), Config{DataDir: dir})
		if err == nil || !strings.Contains(err.Error(), "was made by PostgreSQL 12") || !strings.Contains(err.Error(), "LIVECART_PG_BIN") {
			t.Errorf("error %v, want one that names both versions and what to do", err)
		}
	}
	if part := Probe(Config{DataDir: dir})[2]; part.Found || part.Fix == "" {
		t.Errorf("the probe says %+v, want a part that is missing", part)
	}
}

func TestLongDataFolderPathsWork(t *testing.T) {
	needPostgres(t)
	dir := filepath.Join(dataFolder(t), strings.Repeat("long", 30), "with space, comma")
	s := start(t, Config{DataDir: dir})
	write(t, s)
	temporary := s.postgres.temporary
	if temporary == "" {
		t.Error("sockets are in the data folder, whose path is too long for them")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(temporary); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket folder %s is left behind: %v", temporary, err)
	}
}

func TestRootKeepsServerDataWhereTheAccountReachesIt(t *testing.T) {
	needPostgres(t)
	needRedis(t)
	if os.Geteuid() != 0 {
		t.Skip("only root runs servers as another user")
	}
	closed := t.TempDir() // of mode 0700 somewhere above
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := Config{DataDir: filepath.Join(closed, "shop", ".livecart"), SystemDir: filepath.Join(dataFolder(t), "lib")}
	var said []string
	cfg.Log = func(line string) { said = append(said, line) }
	s := start(t, cfg)
	if len(said) != 4 || !strings.Contains(said[0], cfg.SystemDir+"/shop-") {
		t.Errorf("said %q, want the place of server data first", said)
	}
	write(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = start(t, cfg)
	wantMarks(t, s, "kept")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(cfg.DataDir); err != nil {
		t.Fatal(err)
	}
	if got := redisDo(t, start(t, cfg).RedisURL, "GET", "mark"); got != "" {
		t.Errorf("a new data folder begins with %q of the old one", got)
	}
}

func TestProbeChangesNothing(t *testing.T) {
	needPostgres(t)
	needRedis(t)
	dir := filepath.Join(dataFolder(t), "data")
	parts := Probe(Config{DataDir: dir, PGBin: os.Getenv("LIVECART_PG_BIN")})
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	for i, name := range []string{"NATS", "Redis", "Postgres"} {
		if part := parts[i]; part.Name != name || !part.Found || part.Version == "" {
			t.Errorf("part %d is %+v, want %s found with a version", i, part, name)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the probe made the data folder: %v", err)
	}
	pathWithoutRedis(t)
	if part := Probe(Config{})[1]; part.Choice != "in-process miniredis" || part.Fix == "" {
		t.Errorf("without Redis the probe says %+v, want miniredis and how to get better", part)
	}
}
