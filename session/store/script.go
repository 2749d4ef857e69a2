package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Script is a Lua script that is sent once a server and then named by its hash. Safe for
// concurrent use.
type Script struct {
	src    string
	script *redis.Script
}

// NewScript returns the script of a source text.
func NewScript(src string) *Script { return &Script{src: src, script: redis.NewScript(src)} }

// Run runs the script once.
func (s *Script) Run(ctx context.Context, rdb redis.UniversalClient, keys []string, args ...any) *redis.Cmd {
	return s.script.Run(ctx, rdb, keys, args...)
}

// Call is one run of a script.
type Call struct {
	Keys []string
	Args []any
}

// RunAll runs the script once a call, all in one round trip, and returns the replies in order. The
// error is for the round trip; each reply carries its own. A server that does not know the script
// yet is sent its source with those calls alone: the others are not run twice.
func (s *Script) RunAll(ctx context.Context, rdb redis.UniversalClient, calls []Call) ([]*redis.Cmd, error) {
	replies, err := pipeline(ctx, rdb, calls, func(p redis.Pipeliner, c Call) *redis.Cmd {
		return p.EvalSha(ctx, s.script.Hash(), c.Keys, c.Args...)
	})
	if err != nil {
		return nil, err
	}
	var missing []int
	for i, r := range replies {
		if redis.HasErrorPrefix(r.Err(), "NOSCRIPT") {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return replies, nil
	}
	again := make([]Call, len(missing))
	for i, at := range missing {
		again[i] = calls[at]
	}
	second, err := pipeline(ctx, rdb, again, func(p redis.Pipeliner, c Call) *redis.Cmd {
		return p.Eval(ctx, s.src, c.Keys, c.Args...)
	})
	if err != nil {
		return nil, err
	}
	for i, at := range missing {
		replies[at] = second[i]
	}
	return replies, nil
}

func pipeline(ctx context.Context, rdb redis.UniversalClient, calls []Call, queue func(redis.Pipeliner, Call) *redis.Cmd) ([]*redis.Cmd, error) {
	p := rdb.Pipeline()
	replies := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		replies[i] = queue(p, c)
	}
	_, err := p.Exec(ctx)
	// Exec repeats the first reply's error; only one that is no server's word concerns all of them.
	var word redis.Error
	if err != nil && !errors.As(err, &word) {
		return nil, fmt.Errorf("redis pipeline: %w", err)
	}
	return replies, nil
}
