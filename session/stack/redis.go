package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	redisPatience = 3 * time.Second
	redisReady    = 30 * time.Second // loading a large append-only file included
)

// ErrNoRedis says that neither redis-server nor valkey-server is on PATH.
var ErrNoRedis = errors.New("no redis-server or valkey-server on PATH")

const redisFix = "install redis-server or valkey-server (Debian, Ubuntu: apt-get install redis-server; macOS: brew install valkey), or set REDIS_URL"

// redisBinary is a server found on PATH.
type redisBinary struct {
	path    string
	name    string // "redis-server" or "valkey-server"
	version string
}

var redisVersion = regexp.MustCompile(`\bv=(\d+\.\d+\.\d+)`)

func findRedis(as *account) (redisBinary, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			return redisBinary{}, err
		}
		said, err := as.output(path, "--version")
		if err != nil {
			return redisBinary{}, fmt.Errorf("%s cannot be run: %w", name, err)
		}
		match := redisVersion.FindStringSubmatch(said)
		if match == nil {
			return redisBinary{}, fmt.Errorf("%s tells no version: %q", path, strings.TrimSpace(said))
		}
		return redisBinary{path: path, name: name, version: match[1]}, nil
	}
	return redisBinary{}, ErrNoRedis
}

// RedisServer is a private redis-server or valkey-server on a unix socket. Safe for concurrent use.
type RedisServer struct {
	bin       redisBinary
	as        *account
	data      string // folder of its append-only file
	run       string // folder of the socket
	temporary string // folder for the guard to remove; ""
	log       string
	append    string // "everysec", "always", or "no" for a server that forgets
	hold      *os.File

	mu    sync.Mutex
	guard *guard // nil while stopped
}

// NewThrowawayRedis prepares a server in a temporary folder for tests. With durable it writes each command to disk before
// it replies, so that Kill and Start lose nothing; else it forgets all when it stops. Nothing runs until Start; Close
// removes the folder, as the guard does if the process dies. The error is ErrNoRedis if there is no server to be had.
func NewThrowawayRedis(durable bool) (*RedisServer, error) {
	as, err := serverAccount()
	if err != nil {
		return nil, err
	}
	bin, err := findRedis(as)
	if err != nil {
		return nil, err
	}
	dir, err := ThrowawayDir()
	if err != nil {
		return nil, err
	}
	r := &RedisServer{bin: bin, as: as, data: filepath.Join(dir, "data"), run: dir, temporary: dir, log: filepath.Join(dir, "redis.log"), append: "no"}
	if durable {
		r.append = "always"
	}
	if err := errors.Join(as.own(dir), as.own(r.data)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

func (r *RedisServer) socket() string { return filepath.Join(r.run, "redis.sock") }

// URL is the address of one of the 16 logical databases, for redis.ParseURL. It stays the same over Stop and Start.
func (r *RedisServer) URL(db int) string {
	return fmt.Sprintf("unix://%s?db=%d", r.socket(), db)
}

// Version is the version of the binary, such as "7.0.15".
func (r *RedisServer) Version() string { return r.bin.version }

// Start starts the server and returns when it takes commands. It does nothing if the server was started already.
func (r *RedisServer) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.guard != nil {
		return nil
	}
	args := []string{
		"--port", "0", "--unixsocket", r.socket(), "--unixsocketperm", "700",
		"--dir", r.data, "--save", "", "--daemonize", "no", "--databases", "16",
		// What a large sale leaves behind is freed beside the commands, not before the next one.
		"--lazyfree-lazy-expire", "yes",
	}
	if r.append == "no" {
		args = append(args, "--appendonly", "no")
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", r.append)
	}
	guard, err := command{path: r.bin.path, args: args, as: r.as, signal: "TERM", log: r.log, remove: r.temporary, hold: r.hold}.start()
	if err != nil {
		return err
	}
	if err := r.awaitReady(ctx, guard); err != nil {
		return errors.Join(err, guard.stop(redisPatience, true))
	}
	r.guard = guard
	return nil
}

func (r *RedisServer) awaitReady(ctx context.Context, guard *guard) error {
	ctx, cancel := context.WithTimeout(ctx, redisReady)
	defer cancel()
	for {
		_, err := redisVersionAt(ctx, r.URL(0))
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s did not get ready: %w; %s", r.bin.name, err, guard.lastWords())
		}
		if guard.ended(5 * time.Millisecond) {
			return fmt.Errorf("%s ended at its start; %s", r.bin.name, guard.lastWords())
		}
	}
}

// Stop ends the server in order. Start may follow.
func (r *RedisServer) Stop() error { return r.end(true) }

// Kill ends the server with SIGKILL, as a crash would. Start may follow.
func (r *RedisServer) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.guard == nil {
		return nil
	}
	guard := r.guard
	r.guard = nil
	return guard.kill()
}

// Close stops the server for good and removes what was temporary.
func (r *RedisServer) Close() error {
	err := r.end(false)
	if r.temporary != "" {
		err = errors.Join(err, os.RemoveAll(r.temporary))
	}
	return err
}

func (r *RedisServer) end(keep bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.guard == nil {
		return nil
	}
	guard := r.guard
	r.guard = nil
	return guard.stop(redisPatience, keep)
}

// redisVersionAt connects to a server and asks for its version, which also shows that it takes commands.
func redisVersionAt(ctx context.Context, url string) (string, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return "", err
	}
	// A bare dial first: the client would complain in the log of what the caller handles.
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, options.Network, options.Addr)
	if err != nil {
		return "", err
	}
	conn.Close()
	options.MaxRetries = -1 // the caller decides about trying again
	options.DisableIdentity = true
	client := redis.NewClient(options)
	defer client.Close()
	// A server that still loads its data answers INFO, but not this.
	if err := client.Ping(ctx).Err(); err != nil {
		return "", err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(info) {
		for _, field := range []string{"valkey_version:", "redis_version:"} {
			if version, ok := strings.CutPrefix(line, field); ok {
				return strings.TrimSpace(version), nil
			}
		}
	}
	return "", nil // a server that keeps its version to itself is fine
}
