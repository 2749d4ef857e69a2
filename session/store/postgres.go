package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier is what reading needs: a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// defaultConns is a pool's size where the URL names none with pool_max_conns. The library's own default,
// one a processor and at least 4, lets a few waits for one lock hold up all other work.
const defaultConns = 16

// OpenPostgres opens a pool and checks that the server answers. Commits are durable before they
// return. Plans are made for the arguments at hand: a generic plan cached while a table was empty
// would stay a sequential scan. A transaction that its process leaves idle for 10 s is ended by the
// server, so that a frozen or vanished process does not keep its locks.
func OpenPostgres(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("postgres url: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = defaultConns
	}
	params := cfg.ConnConfig.RuntimeParams
	params["synchronous_commit"] = "on"
	params["plan_cache_mode"] = "force_custom_plan"
	params["timezone"] = "UTC"
	params["idle_in_transaction_session_timeout"] = "10s"
	if params["application_name"] == "" {
		params["application_name"] = "livecart"
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("postgres: %w", err)
	}
	return pool, nil
}

// maxTries bounds how often InTx runs its function.
const maxTries = 10

// InTx runs fn in a read committed transaction and commits. When Postgres breaks a deadlock or
// reports a serialization failure, the whole of fn runs again, up to ten times with growing jitter:
// fn must not have effects outside the transaction.
func InTx(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, pool, fn)
		if err == nil || try == maxTries || !Retryable(err) {
			return err
		}
		pause := time.Duration(rand.Int64N(int64(time.Millisecond) << try))
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// InSnapshot runs fn in a read-only transaction that sees one moment of the database throughout.
func InSnapshot(ctx context.Context, pool *pgxpool.Pool, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

// Retryable reports whether the transaction may simply run again: a deadlock was broken or a
// serialization failed, so nothing was written.
func Retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// Unreachable reports whether a server could not be reached or went away midway. What was asked of it
// may have been done or not: asking again under the same key settles that.
func Unreachable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Connection exceptions, too many connections, and a server that shuts down or starts.
		return strings.HasPrefix(pg.Code, "08") || pg.Code == "53300" || strings.HasPrefix(pg.Code, "57P0")
	}
	var network net.Error
	return pgconn.SafeToRetry(err) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Violates reports whether err is a violation of the named constraint or unique index.
func Violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}

// DataError reports whether Postgres refused the data itself (a bad value, a broken constraint), so
// that asking again with the same data cannot succeed.
func DataError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && len(pg.Code) == 5 && (pg.Code[:2] == "22" || pg.Code[:2] == "23")
}
