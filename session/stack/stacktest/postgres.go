package stacktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/session/stack"
)

// Migrate brings an empty database to the current schema. It must close its connections.
type Migrate = func(ctx context.Context, databaseURL string) error

// cluster is the process's shared Postgres, with a template database for each migration that tests asked for.
var cluster struct {
	sync.Mutex
	server    *stack.PostgresServer
	failed    error              // why there is none; found out once
	templates map[uintptr]string // by the migration's code
}

var databases atomic.Int64

// Postgres makes a database for this test on a shared server and returns its URL; the database is dropped when the test
// ends, whoever is still connected. It is a copy of a template on which migrate was run once for the process; a nil
// migrate gives an empty database. Two closures made by the same func literal count as the same migration.
func Postgres(t testing.TB, migrate Migrate) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, template, err := sharedTemplate(ctx, migrate)
	if err != nil {
		missingPostgres(t, err)
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := execute(ctx, server.URL("postgres"), "CREATE DATABASE "+name+" TEMPLATE "+template+copying(server)); err != nil {
		t.Fatalf("make the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := execute(ctx, server.URL("postgres"), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return server.URL(name)
}

// copying has a template's files copied. From version 15 on Postgres would copy them page by page and write all of
// them to its log as well, which costs twice the time; before that it knows no other way.
func copying(server *stack.PostgresServer) string {
	if strings.HasPrefix(server.Version(), "14.") {
		return ""
	}
	return " STRATEGY file_copy"
}

func missingPostgres(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, stack.ErrNoPostgres) {
		Require(t, "postgres", err.Error())
	}
	t.Fatal(err)
}

func newPostgres() (*stack.PostgresServer, error) {
	return stack.NewThrowawayPostgres(os.Getenv("LIVECART_PG_BIN"))
}

func sharedTemplate(ctx context.Context, migrate Migrate) (*stack.PostgresServer, string, error) {
	cluster.Lock()
	defer cluster.Unlock()
	if cluster.failed != nil {
		return nil, "", cluster.failed
	}
	if cluster.server == nil {
		server, err := newPostgres()
		if err == nil {
			if startErr := server.Start(ctx); startErr != nil {
				err = errors.Join(startErr, server.Close())
			}
		}
		if err != nil {
			cluster.failed = err
			return nil, "", err
		}
		cluster.server, cluster.templates = server, map[uintptr]string{}
	}
	if migrate == nil {
		return cluster.server, "template0", nil
	}
	code := reflect.ValueOf(migrate).Pointer()
	if name, ok := cluster.templates[code]; ok {
		return cluster.server, name, nil
	}
	name := fmt.Sprintf("template_%d", databases.Add(1))
	if err := makeTemplate(ctx, cluster.server, name, migrate); err != nil {
		return nil, "", err
	}
	cluster.templates[code] = name
	return cluster.server, name, nil
}

func makeTemplate(ctx context.Context, server *stack.PostgresServer, name string, migrate Migrate) error {
	admin := server.URL("postgres")
	if err := execute(ctx, admin, "CREATE DATABASE "+name); err != nil {
		return fmt.Errorf("make template database: %w", err)
	}
	if err := migrate(ctx, server.URL(name)); err != nil {
		return fmt.Errorf("migrate template database: %w", err)
	}
	// Nobody may be connected to a template while it is copied.
	if err := execute(ctx, admin, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false"); err != nil {
		return fmt.Errorf("close template database: %w", err)
	}
	if err := execute(ctx, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'"); err != nil {
		return fmt.Errorf("leave template database: %w", err)
	}
	return nil
}

func execute(ctx context.Context, url, statement string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// PostgresServer is a cluster for one test's faults. Its methods fail the test on an error and may be called from any
// goroutine; the test ends the server.
type PostgresServer struct {
	URL    string // of the database "livecart"; stays the same over restarts
	t      testing.TB
	server *stack.PostgresServer
}

// PrivatePostgres starts a cluster for this test alone, with one database that the given migrations were run on, in
// order. It keeps every commit over Kill and Start.
func PrivatePostgres(t testing.TB, migrations ...Migrate) *PostgresServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server, err := newPostgres()
	if err != nil {
		missingPostgres(t, err)
	}
	p := &PostgresServer{URL: server.URL("livecart"), t: t, server: server}
	t.Cleanup(func() { p.check(server.Close()) })
	if err := server.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := execute(ctx, server.URL("postgres"), "CREATE DATABASE livecart"); err != nil {
		t.Fatal(err)
	}
	for _, migrate := range migrations {
		if err := migrate(ctx, p.URL); err != nil {
			t.Fatalf("migrate: %v", err)
		}
	}
	return p
}

// Kill ends the server with SIGKILL and returns when all its processes are gone.
func (p *PostgresServer) Kill() { p.t.Helper(); p.check(p.server.Kill()) }

// Stop ends the server in order, cutting its sessions.
func (p *PostgresServer) Stop() { p.t.Helper(); p.check(p.server.Stop()) }

// Start starts a server that was stopped or killed and returns when it takes connections.
func (p *PostgresServer) Start() { p.t.Helper(); p.check(p.server.Start(context.Background())) }

// Restart stops and starts the server.
func (p *PostgresServer) Restart() { p.t.Helper(); p.Stop(); p.Start() }

func (p *PostgresServer) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Error(err)
	}
}
