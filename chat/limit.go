package chat

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed limit.lua
var limitSource string

var limitScript = store.NewScript(limitSource)

// ask is a comment that waits for the verdict of the limits.
type ask struct {
	roomID  string
	message *proto.ChatMessage
	payload []byte // message, encoded

	contentHash string // of room and text: what a request id stands for
	textHash    string
	requestHash string

	keep   time.Duration // of the request id, 0 without one
	exempt bool          // from rate, duplicates and slow mode
	slow   time.Duration
	lookUp bool // only whether the request id was answered before

	verdict chan verdict // buffered, answered once
}

type outcome string

const (
	outcomeOK        outcome = "ok"
	outcomeSame      outcome = "same"
	outcomeConflict  outcome = "conflict"
	outcomeUnknown   outcome = "unknown"
	outcomeRate      outcome = "rate"
	outcomeSlow      outcome = "slow"
	outcomeDuplicate outcome = "duplicate"
)

type verdict struct {
	outcome outcome
	payload []byte        // of the earlier comment, for outcomeSame
	wait    time.Duration // for the three that end by themselves
	err     error         // the comment was allowed but not said
}

// refusal returns the error for a verdict, nil for one that is none.
func (v verdict) refusal() error {
	switch v.outcome {
	case outcomeConflict:
		return ErrConflict
	case outcomeRate:
		return ErrRateLimited.After(v.wait)
	case outcomeSlow:
		return ErrSlowMode.After(v.wait)
	case outcomeDuplicate:
		return ErrDuplicate.After(v.wait)
	}
	return v.err
}

const (
	// redisTimeout bounds one pipeline; the client's own bound is for a single read.
	redisTimeout = 2 * store.RedisTimeout
	// redisPause is how long Redis is not asked after it failed.
	redisPause = time.Second
)

// limiter decides over batches of comments by one pipeline to Redis, and by the local tally where
// Redis does not answer. Only the feed's goroutine uses it.
type limiter struct {
	rdb     redis.UniversalClient
	log     *slog.Logger
	metrics *metrics

	rate      int
	window    time.Duration
	duplicate time.Duration

	local     *tally
	downUntil time.Time // Redis is not asked before
	down      bool      // as last reported
}

// decide returns one verdict an ask, in order.
func (l *limiter) decide(ctx context.Context, asks []*ask) []verdict {
	verdicts := make([]verdict, len(asks))
	replies, err := l.run(ctx, asks)
	for i, a := range asks {
		if replies != nil {
			var replyErr error
			if verdicts[i], replyErr = parseVerdict(replies[i]); replyErr == nil {
				continue
			}
			err = replyErr
		}
		verdicts[i] = l.local.decide(a, l, time.Now())
	}
	l.report(err)
	return verdicts
}

// errPaused says that Redis failed a moment ago and was not asked.
var errPaused = fmt.Errorf("redis failed less than %v ago", redisPause)

func (l *limiter) run(ctx context.Context, asks []*ask) ([]*redis.Cmd, error) {
	if time.Now().Before(l.downUntil) {
		return nil, errPaused
	}
	calls := make([]store.Call, len(asks))
	for i, a := range asks {
		calls[i] = l.call(a)
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	replies, err := limitScript.RunAll(ctx, l.rdb, calls)
	if err != nil {
		l.downUntil = time.Now().Add(redisPause)
		return nil, err
	}
	return replies, nil
}

func (l *limiter) call(a *ask) store.Call {
	rate, duplicate, slow, lookUp := l.rate, l.duplicate, a.slow, 0
	if a.exempt {
		rate, duplicate, slow = 0, 0, 0
	}
	if a.lookUp {
		lookUp = 1
	}
	return store.Call{Keys: userKeys(a), Args: []any{
		a.contentHash, a.payload, a.keep.Milliseconds(),
		rate, l.window.Milliseconds(), duplicate.Milliseconds(), slow.Milliseconds(), lookUp,
	}}
}

func parseVerdict(reply *redis.Cmd) (verdict, error) {
	parts, err := reply.Slice()
	if err != nil {
		return verdict{}, err
	}
	if len(parts) == 0 {
		return verdict{}, fmt.Errorf("empty reply of limit.lua")
	}
	word, _ := parts[0].(string)
	v := verdict{outcome: outcome(word)}
	switch v.outcome {
	case outcomeOK, outcomeConflict, outcomeUnknown:
		return v, nil
	case outcomeSame:
		if len(parts) == 2 {
			if payload, ok := parts[1].(string); ok {
				v.payload = []byte(payload)
				return v, nil
			}
		}
	case outcomeRate, outcomeSlow, outcomeDuplicate:
		if len(parts) == 2 {
			if ms, ok := parts[1].(int64); ok {
				v.wait = time.Duration(ms) * time.Millisecond
				return v, nil
			}
		}
	}
	return verdict{}, fmt.Errorf("reply of limit.lua: %v", parts)
}

// report tells gauge and log when the limit becomes local and when it is shared again.
func (l *limiter) report(err error) {
	switch down := err != nil; {
	case down && !l.down:
		l.log.Warn("comments are limited by each gateway on its own", "err", err)
		l.metrics.degraded.Set(1)
	case !down && l.down:
		l.log.Info("comments are limited over all gateways again")
		l.metrics.degraded.Set(0)
	}
	l.down = err != nil
}
