package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/store"
)

// GatewayConfig is what a gateway needs and may be told. Where a default stands in brackets the zero
// value means it; none may be negative.
type GatewayConfig struct {
	Pool     *pgxpool.Pool
	Bus      *bus.Bus
	Tickets  *Tickets
	Rooms    *Rooms
	Presence *Presence
	// Log is told of inner errors; nil discards.
	Log *slog.Logger
	// Registerer takes the gateway's metrics; nil keeps them to itself.
	Registerer prometheus.Registerer

	// Routes carry out commands, by proto.Command.Kind. Not among them are those of the gateway
	// itself: ping, session_resume, session_refresh and like_send.
	Routes map[string]Route
	// Snapshots fill a room's welcome, beside Rooms, in one snapshot of Postgres.
	Snapshots []func(ctx context.Context, tx pgx.Tx, roomID string, w *proto.SessionWelcome) error
	// Selves fill what belongs to joiners, keyed by user id, in one snapshot of Postgres.
	Selves []func(ctx context.Context, tx pgx.Tx, roomID string, selves map[string]*proto.SessionSelf) error
	// AllowedOrigins are the pages that may connect beside the server's own, as ParseOrigins takes them.
	AllowedOrigins []string

	// RoomTick is the time between two flushes of a busy room; 0 for 50 ms below 1,000 viewers of it
	// here, 100 ms up to 5,000, 250 ms above.
	RoomTick time.Duration
	// ChatPerViewer is how many comments a second a viewer is sent, with bursts of one second's
	// worth; 0 for all.
	ChatPerViewer int

	// MaxConns are the connections of this gateway (100,000), MaxHandshakes those of them that are
	// just opening (1,024), JoinRate the handshakes a second (5,000, as many at once). Beyond them a
	// handshake is answered 503 with a Retry-After of its own, so that those who are turned away
	// together do not come again together. A tenth of JoinRate are the answers to session_resume.
	MaxConns, MaxHandshakes, JoinRate int
	// ConnsPerUser are the connections of one user on this gateway (8); the oldest is closed with 4009.
	ConnsPerUser int
	// CommandRate a second (20) and CommandBurst (40) limit a connection's commands, each ping or pong
	// frame counting as one. One that exceeds them for ExcessTimeout (10 s) is closed with 4029.
	CommandRate, CommandBurst int
	ExcessTimeout             time.Duration
	// BuyRate limits a user's flash_buy a second, over all connections here (5).
	BuyRate int
	// MaxInFlight are the commands of a connection that run at a time, those in line included (32, a
	// whole frame); beyond it "busy".
	MaxInFlight int
	// QueueBytes bound what a connection has still to be sent (256 KiB); full of what may not be
	// dropped, it is closed with 4008.
	QueueBytes int
	// BacklogBytes bound what all connections have still to be sent (256 MiB). Beyond them the viewers
	// who are behind are closed with 4008.
	BacklogBytes int
	// PingInterval is the time between pings (25 s); a connection that is silent for IdleTimeout
	// (60 s) is closed with 1001.
	PingInterval, IdleTimeout time.Duration
	// WriteTimeout is how long one message may take to be written (10 s), and the answer to a
	// handshake. Who takes longer is closed as with a full queue.
	WriteTimeout time.Duration
	// CommandTimeout is how long a command may run (15 s).
	CommandTimeout time.Duration
	// Linger is how long a room stays open here after its last viewer has left (5 s).
	Linger time.Duration
	// NoIOUring has each viewer written to by a system call of its own, where the system would let a
	// flush be handed over by io_uring(7), 64 viewers a call.
	NoIOUring bool
	// DrainTimeout is how long viewers are given to move to another gateway when Run ends (30 s).
	DrainTimeout time.Duration
}

// Gateway serves the viewers' WebSocket connections. Safe for concurrent use.
type Gateway struct {
	// Fixed after construction.
	cfg      GatewayConfig
	origins  Origins
	metrics  *metrics
	hub      *hub
	roster   *roster
	selves   *selfReader
	upgrader websocket.Upgrader
	shards   []*shard
	next     atomic.Uint32 // shard of the next connection
	// Parent of all commands' contexts: it ends when Run does, whatever becomes of the connections.
	work     context.Context
	stopWork context.CancelFunc

	// Ends, with the reason, when sockets can be read no more.
	health context.Context
	fail   context.CancelCauseFunc

	ran        atomic.Bool  // Run was called
	ringless   sync.Once    // tells that io_uring cannot be had
	open       atomic.Int64 // connections, those that are opening included
	handshakes atomic.Int64
	joins      *rate.Limiter
	resumes    *rate.Limiter
	tasks      tasks

	mu      sync.Mutex
	phase   phase
	serving sync.WaitGroup // one a connection; only added to while running
}

type phase uint8

const (
	starting phase = iota
	running
	draining
)

// NewGateway returns a gateway that serves nobody until it runs.
func NewGateway(cfg GatewayConfig) (*Gateway, error) {
	if cfg.Pool == nil || cfg.Bus == nil || cfg.Tickets == nil || cfg.Rooms == nil || cfg.Presence == nil {
		return nil, errors.New("a gateway needs Pool, Bus, Tickets, Rooms and Presence")
	}
	for kind := range cfg.Routes {
		if _, ok := ownCommands[kind]; ok {
			return nil, fmt.Errorf("the gateway serves %s itself", kind)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	origins, err := ParseOrigins(cfg.AllowedOrigins)
	if err != nil {
		return nil, err
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, origins: origins, metrics: m,
		roster:  newRoster(cfg.ConnsPerUser, cfg.BuyRate),
		joins:   rate.NewLimiter(rate.Limit(cfg.JoinRate), cfg.JoinRate),
		resumes: rate.NewLimiter(rate.Limit(cfg.JoinRate)/resumeShare, max(1, cfg.JoinRate/resumeShare)),
		upgrader: websocket.Upgrader{
			// No ReadBufferSize: the handshake's buffer will do, which a loop lets go.
			WriteBufferSize: 512, // the handshake and control frames
			WriteBufferPool: new(sync.Pool),
			CheckOrigin:     func(*http.Request) bool { return true }, // checked before, with a clear answer
			// ServeHTTP answers.
			Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) {
				w.Header().Set("Sec-WebSocket-Version", "13")
			},
		},
	}
	shards := runtime.GOMAXPROCS(0)
	for i := range shards {
		g.shards = append(g.shards, newShard(g, i, shards))
	}
	g.hub = newHub(&g.cfg, m, g.shards)
	g.hub.onRelink = g.readSelvesAgain
	g.selves = newSelfReader(&g.cfg)
	g.work, g.stopWork = context.WithCancel(context.Background())
	g.health, g.fail = context.WithCancelCause(context.Background())
	return g, nil
}

// Run serves until ctx ends, then drains: viewers are told to move, commands that run are answered,
// and all connections are closed, within DrainTimeout. A gateway that can read its sockets no more
// drains as well, and Run returns why. A second call returns an error and changes nothing.
func (g *Gateway) Run(ctx context.Context) error {
	if g.ran.Swap(true) {
		return errors.New("gateway: Run is called a second time")
	}
	defer g.stopWork()
	private, err := g.cfg.Bus.SubscribePrivate(func(envelope *proto.PrivateEvents) {
		g.hub.bought(envelope)
		g.roster.deliver(envelope)
	})
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	inner, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup // all end by inner
	parts.Go(func() { g.hub.run(inner) })
	parts.Go(func() { g.selves.run(inner) })
	parts.Go(func() { g.sweepRoster(inner) })
	for _, s := range g.shards {
		if err = s.openLoop(); err != nil {
			break
		}
		parts.Go(func() { s.run(inner) })
	}
	if err != nil {
		stop()
		parts.Wait()
		return fmt.Errorf("gateway: %w", errors.Join(err, private.Close()))
	}
	g.setPhase(running)
	select {
	case <-ctx.Done():
	case <-g.health.Done():
	}
	drained := g.drain()
	stop()
	parts.Wait()
	if err := errors.Join(context.Cause(g.health), drained, private.Close()); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

func (g *Gateway) setPhase(p phase) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.phase = p
}

// Ready returns nil while the gateway takes connections.
func (g *Gateway) Ready() error {
	if err := context.Cause(g.health); err != nil {
		return fmt.Errorf("the gateway has failed: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.phase {
	case starting:
		return errors.New("the gateway is starting")
	case draining:
		return errors.New("the gateway is draining")
	}
	return nil
}

// began tells whether Run has begun, so that rooms can be opened.
func (g *Gateway) began() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.phase != starting
}

// Welcome returns a room's snapshot as a new viewer would get it, current and of the caller's own.
func (g *Gateway) Welcome(ctx context.Context, roomID string) (*proto.SessionWelcome, error) {
	if !store.ValidID(roomID) {
		return nil, ErrNoRoom
	}
	if !g.began() {
		return nil, ErrDraining
	}
	a, release, err := g.hub.open(ctx, roomID)
	if err != nil {
		return nil, err
	}
	defer release()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refreshStats()
	return proto.Clone(a.snap.shared(time.Now().UnixMilli())), nil
}

// ShowStats hands a room's new figures to its viewers here; it fits PresenceConfig.OnStats.
func (g *Gateway) ShowStats(roomID string, stats *proto.RoomStats) {
	own := proto.Clone(stats) // head_seq is still to be filled in
	g.hub.show(roomID, &proto.Event{TimeMs: time.Now().UnixMilli(), Event: &proto.Event_RoomStats{RoomStats: own}})
}

// ShowLikes hands a room's new likes to its viewers here; it fits PresenceConfig.OnLikes.
func (g *Gateway) ShowLikes(roomID string, likes *proto.LikeTotal) {
	g.hub.show(roomID, &proto.Event{TimeMs: time.Now().UnixMilli(), Event: &proto.Event_LikeTotal{LikeTotal: likes}})
}

// ServeHTTP serves GET /v1/rooms/{room}/ws. What is wrong with a handshake is answered over HTTP,
// before the upgrade.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := g.accept(w, r)
	if err == nil {
		return
	}
	if r.Context().Err() != nil {
		// Nobody waits for an answer, unless the context tells what it is.
		if err = context.Cause(r.Context()); !isProblem(err) {
			return
		}
	}
	g.metrics.refused.WithLabelValues(proto.Wire(err).Reason).Inc()
	WriteProblem(w, r, g.cfg.Log, err)
}

// accept checks a handshake and serves it; an error means that nothing was written yet.
func (g *Gateway) accept(w http.ResponseWriter, r *http.Request) error {
	if g.Ready() != nil {
		return ErrDraining
	}
	if g.handshakes.Add(1) > int64(g.cfg.MaxHandshakes) || !g.joins.Allow() {
		g.handshakes.Add(-1)
		return full()
	}
	defer g.handshakes.Add(-1)
	if g.open.Add(1) > int64(g.cfg.MaxConns) {
		g.open.Add(-1)
		return full()
	}
	served := false
	defer func() {
		if !served {
			g.open.Add(-1)
		}
	}()
	if !websocket.IsWebSocketUpgrade(r) {
		return errNotWebSocket
	}
	if !g.origins.Allowed(r) {
		return errOriginForbidden
	}
	format, ok := negotiate(r)
	if !ok {
		return errNoSubprotocol
	}
	after, resume, err := afterSeq(r)
	if err != nil {
		return err
	}
	v, err := g.cfg.Tickets.FromRequest(r)
	if err != nil {
		return err
	}
	room, release, err := g.enterRoom(r.Context(), v, r.PathValue("room"))
	if err != nil {
		return err
	}
	defer release()
	under := new(wire)
	ws, err := g.upgrader.Upgrade(hijacker{w, under}, r, http.Header{"Sec-Websocket-Protocol": {format.String()}})
	if err != nil && under.Conn != nil {
		// Bytes came right behind the request, and the upgrader has closed the socket.
		g.metrics.refused.WithLabelValues(string(proto.ReasonMalformedFrame)).Inc()
		return nil
	}
	if err != nil {
		return notUpgraded(err)
	}
	if served = g.admit(); !served {
		under.turnAway(CloseRestart, restartText)
		return nil
	}
	home := g.shards[int(g.next.Add(1))%len(g.shards)]
	c := newConn(g, room, home, v, format, time.Now())
	// Before anybody else knows of c, so that nothing is queued ahead of the welcome.
	ready, err := room.enter(c, after, resume)
	if err != nil {
		g.cfg.Log.Error("a viewer was not welcomed", "err", err)
		under.turnAway(websocket.CloseInternalServerErr, string(proto.ReasonInternal))
		g.dismissed()
		return nil
	}
	// From here on its shard closes it, and has it forgotten by gone.
	g.entered(c)
	if g.Ready() != nil {
		c.shut(CloseRestart, restartText) // it has begun to drain or has failed, maybe before it could see c
	}
	if err := ready(); err != nil {
		g.cfg.Log.Warn("a viewer was turned away", "err", err)
		under.Close()
		c.shutAtOnce()
		return nil
	}
	home.attach(c, ws, under)
	return nil
}

// notUpgraded tells a client what is wrong with its handshake.
func notUpgraded(err error) error {
	var theirs websocket.HandshakeError
	if !errors.As(err, &theirs) {
		return err
	}
	return proto.Refuse(proto.ReasonMalformedFrame, "%s", strings.TrimPrefix(theirs.Error(), "websocket: "))
}

// full refuses a handshake, with a wait of its own.
func full() error {
	return ErrFull.After(leastRetry + rand.N(retrySpread))
}

// enterRoom opens the room for a viewer who may watch it. A room that has no viewers here yet is
// asked of Rooms first, whose memory makes guessing names cheap.
func (g *Gateway) enterRoom(ctx context.Context, v Viewer, roomID string) (a *audience, release func(), err error) {
	if !store.ValidID(roomID) {
		return nil, nil, ErrNoRoom
	}
	if g.hub.find(roomID) == nil {
		if _, err := g.cfg.Rooms.Enter(ctx, v, roomID); err != nil {
			return nil, nil, err
		}
	}
	a, release, err = g.hub.open(ctx, roomID)
	if err != nil && !isProblem(err) {
		err = errRoomAway // the room itself has logged why
	}
	if err != nil {
		return nil, nil, err
	}
	if err := Enter(v, a.room()); err != nil {
		release()
		return nil, nil, err
	}
	return a, release, nil
}

// negotiate returns the format of the first subprotocol that the client asks for and we have, in
// our order. The list may come in several header lines.
func negotiate(r *http.Request) (proto.Format, bool) {
	asked := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	for f, ours := range proto.Subprotocols {
		for _, theirs := range asked {
			if strings.TrimSpace(theirs) == ours {
				return proto.Format(f), true
			}
		}
	}
	return 0, false
}

func afterSeq(r *http.Request) (after int64, resume bool, err error) {
	text := r.URL.Query().Get("after_seq")
	if text == "" {
		return 0, false, nil
	}
	after, err = strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, false, errBadAfterSeq
	}
	return after, true, nil
}

// admit counts one more connection, unless the gateway is draining.
func (g *Gateway) admit() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.phase != running {
		return false
	}
	g.serving.Add(1)
	g.metrics.connections.Inc()
	return true
}

// entered does what follows the welcome. c may be gone already.
func (g *Gateway) entered(c *Conn) {
	defer c.shard.introduced(c)
	g.cfg.Presence.Join(c.room.roomID, *c.entered)
	if c.userID == "" {
		return
	}
	for _, old := range g.roster.add(c) {
		old.shut(CloseReplaced, "replaced")
	}
	g.selves.add(c)
}

// gone takes a connection that its shard has dropped out of everything else.
func (g *Gateway) gone(c *Conn) {
	c.room.left(c)
	g.cfg.Presence.Leave(c.room.roomID, *c.entered)
	if c.userID != "" {
		g.roster.remove(c)
	}
	g.dismissed()
}

// dismissed counts out what admit has counted.
func (g *Gateway) dismissed() {
	g.metrics.connections.Dec()
	g.open.Add(-1)
	g.serving.Done()
}

// all returns the connections of this moment.
func (g *Gateway) all() []*Conn {
	var conns []*Conn
	for _, s := range g.shards {
		s.mu.Lock()
		conns = append(conns, s.conns...)
		s.mu.Unlock()
	}
	return conns
}

// readSelvesAgain tells signed-in viewers what is theirs once more, as private events may be lost.
func (g *Gateway) readSelvesAgain() {
	for _, c := range g.all() {
		if c.userID != "" {
			g.selves.add(c)
		}
	}
}

// sweepRoster has the roster forget who has left.
func (g *Gateway) sweepRoster(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		g.roster.forget(time.Now())
	}
}
