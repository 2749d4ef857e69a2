package session

import (
	"cmp"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"livecart/proto"
)

// Defaults of GatewayConfig.
const (
	DefaultChatPerViewer  = 20 // for LIVECART_CHAT_PER_VIEWER; the config's own zero lets all through
	DefaultMaxConns       = 100_000
	DefaultMaxHandshakes  = 1024
	DefaultJoinRate       = 5000 // handshakes a second
	DefaultConnsPerUser   = 8
	DefaultCommandRate    = 20 // a second and connection
	DefaultCommandBurst   = 40
	DefaultExcessTimeout  = 10 * time.Second
	DefaultBuyRate        = 5                 // flash_buy a second, user and gateway
	DefaultMaxInFlight    = proto.MaxCommands // a whole frame
	DefaultQueueBytes     = 256 << 10
	DefaultBacklogBytes   = 256 << 20
	DefaultPingInterval   = 25 * time.Second
	DefaultIdleTimeout    = 60 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultCommandTimeout = 15 * time.Second
	DefaultLinger         = 5 * time.Second
	DefaultDrainTimeout   = 30 * time.Second
)

const (
	// MaxLikes is the most that one like_send adds.
	MaxLikes = 100
	// leastRetry and retrySpread say when a client that was turned away is to come again.
	leastRetry  = time.Second
	retrySpread = 4 * time.Second
	// MessageTimeout is how long the rest of a message may take that began to come.
	MessageTimeout = 10 * time.Second
	// closeWait is how long a client has to answer a close frame, and a refused one to read it.
	closeWait = 2 * time.Second
	// lingerBytes is how much of a refused client's messages is read away so that the close frame arrives.
	lingerBytes = 1 << 20
	// maxHeldTotal bounds what a shard holds of messages that have not come whole: 8,000 of a client's
	// longest frames.
	maxHeldTotal = 128 << 20
	// ExpiryNotice is how long before a token's end session_expiring comes.
	ExpiryNotice = 60 * time.Second
)

// check refuses limits that mean nothing.
func (c *GatewayConfig) check() error {
	for name, value := range map[string]int64{
		"RoomTick": int64(c.RoomTick), "ChatPerViewer": int64(c.ChatPerViewer),
		"MaxConns": int64(c.MaxConns), "MaxHandshakes": int64(c.MaxHandshakes), "JoinRate": int64(c.JoinRate), "ConnsPerUser": int64(c.ConnsPerUser),
		"CommandRate": int64(c.CommandRate), "CommandBurst": int64(c.CommandBurst), "ExcessTimeout": int64(c.ExcessTimeout),
		"BuyRate": int64(c.BuyRate), "MaxInFlight": int64(c.MaxInFlight), "QueueBytes": int64(c.QueueBytes), "BacklogBytes": int64(c.BacklogBytes),
		"PingInterval": int64(c.PingInterval), "IdleTimeout": int64(c.IdleTimeout), "WriteTimeout": int64(c.WriteTimeout),
		"CommandTimeout": int64(c.CommandTimeout), "Linger": int64(c.Linger), "DrainTimeout": int64(c.DrainTimeout),
	} {
		if value < 0 {
			return fmt.Errorf("a gateway's %s cannot be negative", name)
		}
	}
	return nil
}

func (c *GatewayConfig) setDefaults() {
	c.MaxConns = cmp.Or(c.MaxConns, DefaultMaxConns)
	c.MaxHandshakes = cmp.Or(c.MaxHandshakes, DefaultMaxHandshakes)
	c.JoinRate = cmp.Or(c.JoinRate, DefaultJoinRate)
	c.ConnsPerUser = cmp.Or(c.ConnsPerUser, DefaultConnsPerUser)
	c.CommandRate = cmp.Or(c.CommandRate, DefaultCommandRate)
	c.CommandBurst = cmp.Or(c.CommandBurst, DefaultCommandBurst)
	c.ExcessTimeout = cmp.Or(c.ExcessTimeout, DefaultExcessTimeout)
	c.BuyRate = cmp.Or(c.BuyRate, DefaultBuyRate)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, DefaultMaxInFlight)
	c.QueueBytes = cmp.Or(c.QueueBytes, DefaultQueueBytes)
	c.BacklogBytes = cmp.Or(c.BacklogBytes, DefaultBacklogBytes)
	c.PingInterval = cmp.Or(c.PingInterval, DefaultPingInterval)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, DefaultIdleTimeout)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, DefaultWriteTimeout)
	c.CommandTimeout = cmp.Or(c.CommandTimeout, DefaultCommandTimeout)
	c.Linger = cmp.Or(c.Linger, DefaultLinger)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, DefaultDrainTimeout)
}

// allow takes one from the limiter, or returns how long until there is one.
func allow(l *rate.Limiter, now time.Time) (wait time.Duration, ok bool) {
	if l.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - l.TokensAt(now)
	wait = time.Duration(math.Ceil(missing / float64(l.Limit()) * float64(time.Second)))
	return max(wait, time.Millisecond), false
}

// resumeEvery is the least time between two session_resume of a connection that are answered, and
// resumeShare what part of JoinRate a gateway answers in a second: the answer is made for one viewer, and
// costs more than a join.
const (
	resumeEvery = time.Second
	resumeShare = 10
)

// mayResume lets a session_resume through, or returns how long to wait.
func (c *Conn) mayResume(now time.Time) (wait time.Duration, ok bool) {
	if wait = c.resumedAt.Add(resumeEvery).Sub(now); wait > 0 {
		return wait, false
	}
	if wait, ok = allow(c.gw.resumes, now); ok {
		c.resumedAt = now
	}
	return wait, ok
}

// calm is how long a connection must go without a refused command for its excess to be over.
const calm = time.Second

// pace limits one connection's commands, ping and pong frames. Owned by its reader.
type pace struct {
	limiter *rate.Limiter
	// Since when commands have been refused without a calm second, and the last refusal.
	since, last time.Time
	refused     bool // the last one
}

func newPace(perSecond, burst int) pace {
	return pace{limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
}

// take lets a command through, or returns how long to wait and for how long there has been excess.
func (p *pace) take(now time.Time) (wait, excess time.Duration, ok bool) {
	wait, ok = allow(p.limiter, now)
	if p.refused = !ok; ok {
		return 0, 0, true
	}
	if p.last.IsZero() || now.Sub(p.last) > calm {
		p.since = now
	}
	p.last = now
	return wait, now.Sub(p.since), false
}

// tasks counts the commands that run, so that a gateway can wait for them. The zero value is ready.
type tasks struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // made by close, closed when the last one ended
}

// begin counts one in, unless no more may start.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.closed && t.n == 0 {
		close(t.idle)
	}
}

// close lets none start any more; the channel closes when the last one has ended. Called once.
func (t *tasks) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.idle = make(chan struct{})
	if t.n == 0 {
		close(t.idle)
	}
	return t.idle
}
