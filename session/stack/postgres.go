package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// postgresPatience bounds how long a Postgres may take to end in order before it is killed. It then recovers from
	// its log at the next start and loses nothing that was committed.
	postgresPatience = 3 * time.Second
	// postgresReady bounds a start, recovery after a crash included.
	postgresReady = 60 * time.Second
)

// PostgresServer is a private Postgres cluster on a unix socket, with the superuser "livecart". Safe for concurrent use.
type PostgresServer struct {
	bin       pgBinaries
	as        *account
	data      string // the cluster
	run       string // folder of the socket
	temporary string // folder for the guard to remove; ""
	log       string
	throwaway bool
	hold      *os.File

	mu    sync.Mutex
	guard *guard // nil while stopped
}

// NewThrowawayPostgres prepares a cluster in a temporary folder for tests: it does not survive a crash of the machine
// (fsync is off), though it does survive Kill, and it allows 200 connections. It is copied from an initdb result that
// is kept below /tmp. Nothing runs until Start; Close removes the folder, as the guard does if the process dies.
// An empty pgBin searches as for dev, without fetching anything; ErrNoPostgres if there are no binaries.
func NewThrowawayPostgres(pgBin string) (*PostgresServer, error) {
	as, err := serverAccount()
	if err != nil {
		return nil, err
	}
	bins, err := findPostgres(pgBin, as)
	if err != nil {
		fetched, cacheErr := fetchedPostgres("", as)
		if pgBin != "" || cacheErr != nil {
			return nil, fmt.Errorf("%w: %s", err, postgresFix)
		}
		bins = []pgBinaries{fetched}
	}
	dir, err := ThrowawayDir()
	if err != nil {
		return nil, err
	}
	p := &PostgresServer{
		bin: bins[0], as: as, throwaway: true, temporary: dir, run: dir,
		data: filepath.Join(dir, "data"), log: filepath.Join(dir, "postgres.log"),
	}
	if err := errors.Join(as.own(dir), copyTemplateCluster(p.bin, as, p.data)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// URL is the connection URL of a database, for pgx and libpq alike. It stays the same over Stop and Start.
func (p *PostgresServer) URL(database string) string {
	return "postgres://livecart@/" + database + "?host=" + p.run
}

// Version is the version of the binaries, such as "15.18".
func (p *PostgresServer) Version() string { return p.bin.version }

// Start starts the server and returns when it takes connections. It does nothing if the server was started already.
func (p *PostgresServer) Start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.guard != nil {
		return nil
	}
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_directories": p.run,
		"unix_socket_permissions": "0700",
		"port":                    "5432", // names the socket only
		"max_connections":         "200",
		"shared_buffers":          "64MB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"synchronous_commit":      "on", // in tests too: a killed server keeps what it acknowledged
	}
	if p.throwaway {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
		settings["shared_buffers"] = "32MB"
		settings["max_wal_size"] = "256MB"
	}
	args := []string{"-D", p.data}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	guard, err := command{
		path: filepath.Join(p.bin.dir, "postgres"), args: args, as: p.as,
		signal: "INT", // fast shutdown: sessions are cut, the state is written
		log:    p.log, remove: p.temporary, hold: p.hold,
	}.start()
	if err != nil {
		return err
	}
	if err := p.awaitReady(ctx, guard); err != nil {
		return errors.Join(err, guard.stop(postgresPatience, true))
	}
	p.guard = guard
	return nil
}

func (p *PostgresServer) awaitReady(ctx context.Context, guard *guard) error {
	ctx, cancel := context.WithTimeout(ctx, postgresReady)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("Postgres did not get ready: %w; %s", err, guard.lastWords())
		}
		if guard.ended(10 * time.Millisecond) {
			return fmt.Errorf("Postgres %s ended at its start; %s", p.bin.version, guard.lastWords())
		}
	}
}

// Stop ends the server in order: a few tens of milliseconds, and no more than about 4 s. Start may follow.
func (p *PostgresServer) Stop() error { return p.end(true) }

// Kill ends the server with SIGKILL, as a crash would, and returns when all its processes are gone. Start may follow.
func (p *PostgresServer) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.guard == nil {
		return nil
	}
	guard := p.guard
	p.guard = nil
	return guard.kill()
}

// Close stops the server for good and removes what was temporary.
func (p *PostgresServer) Close() error {
	err := p.end(false)
	if p.temporary != "" {
		err = errors.Join(err, os.RemoveAll(p.temporary))
	}
	return err
}

func (p *PostgresServer) end(keep bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.guard == nil {
		return nil
	}
	guard := p.guard
	p.guard = nil
	return guard.stop(postgresPatience, keep)
}

// createDatabase makes the database if it is not there yet.
func (p *PostgresServer) createDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		return fmt.Errorf("look for database %s: %w", name, err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// postgresVersionAt connects to a server that we were given and asks for its version.
func postgresVersionAt(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err // pgx leaves the password out
	}
	defer conn.Close(ctx)
	var version string
	if err := conn.QueryRow(ctx, "SHOW server_version_num").Scan(&version); err != nil {
		return "", fmt.Errorf("ask for the version: %w", err)
	}
	n, err := strconv.Atoi(version)
	if err != nil {
		return "", fmt.Errorf("version %q: %w", version, err)
	}
	if n/10000 < OldestPostgres {
		return "", fmt.Errorf("it is PostgreSQL %d, older than %d", n/10000, OldestPostgres)
	}
	return fmt.Sprintf("%d.%d", n/10000, n%10000), nil
}
