package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/bus"
	"livecart/session/stack"
	"livecart/session/stack/stacktest"
	"livecart/session/store"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// world is one installation: real servers, a key, and any number of gateways.
type world struct {
	t    testing.TB
	pool *pgxpool.Pool
	nats string
	rdb  string
	// Behind nats.
	server *stack.NATSServer
	key    SigningKey
	keys   string
	bus    *bus.Bus // as the other parts of livecart would publish
	tls    bool     // gateways started from now on speak TLS, so goroutines serve their sockets
}

// newWorld makes one. Tests that have one run beside others, as they mostly wait.
func newWorld(t testing.TB) *world {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel()
	}
	w := &world{t: t, rdb: stacktest.Redis(t)}
	server, err := stack.StartNATS(0)
	w.must(err)
	w.server, w.nats = server, server.URL()
	t.Cleanup(func() { w.server.Close() })
	pool, err := store.OpenPostgres(t.Context(), stacktest.Postgres(t, store.Migrate))
	w.must(err)
	t.Cleanup(pool.Close)
	w.pool = pool
	w.bus = w.connect()
	w.keys = filepath.Join(t.TempDir(), "jwt.key")
	w.must(os.WriteFile(w.keys, []byte(strings.Repeat("k", 32)), 0o600))
	w.key, err = LoadSigningKey(w.keys)
	w.must(err)
	w.room("demo", true)
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) connect() *bus.Bus {
	w.t.Helper()
	b, err := bus.Connect(w.t.Context(), bus.Config{URL: w.nats})
	w.must(err)
	w.t.Cleanup(b.Close)
	return b
}

func (w *world) room(id string, anonymous bool) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), `INSERT INTO room (id, title, phase, host_id, host_name, anonymous)
		VALUES ($1, 'Demo', 'live', 'hanna', 'Hanna', $2)`, id, anonymous)
	w.must(err)
}

// restartNATS ends NATS, runs while it is away, and starts it on the same port.
func (w *world) restartNATS(away func()) {
	w.t.Helper()
	w.server.Close()
	away()
	address, err := url.Parse(w.nats)
	w.must(err)
	port, err := strconv.Atoi(address.Port())
	w.must(err)
	w.server, err = stack.StartNATS(port)
	w.must(err)
}

// token mints one for a user and a role's word; exp 0 is an hour.
func (w *world) token(userID, role string, exp time.Duration) string {
	w.t.Helper()
	if exp == 0 {
		exp = time.Hour
	}
	token, err := MintToken(w.key, Claims{Subject: userID, Name: userID, Role: role, Rooms: RoomList{AllRooms}}.Until(time.Now().Add(exp)))
	w.must(err)
	return token
}

// gate is a running gateway behind a real listener.
type gate struct {
	*Gateway
	url   string
	bus   *bus.Bus
	stop  func()     // ends Run and waits for it
	ended chan error // what Run returned; what no test takes must be nil
}

// gateway starts a gateway; change may set what the test is about.
func (w *world) gateway(change ...func(*GatewayConfig)) *gate {
	w.t.Helper()
	tickets, err := NewTickets(TicketConfig{KeyFile: w.keys})
	w.must(err)
	b := w.connect()
	rooms, err := NewRooms(RoomsConfig{Pool: w.pool, Bus: b})
	w.must(err)
	rdb, err := store.OpenRedis(w.t.Context(), w.rdb)
	w.must(err)
	w.t.Cleanup(func() { rdb.Close() })
	var g *Gateway
	presence, err := NewPresence(PresenceConfig{
		Redis: rdb, Pool: w.pool, Log: slog.New(slog.DiscardHandler),
		OnStats: func(roomID string, stats *proto.RoomStats) { g.ShowStats(roomID, stats) },
		OnLikes: func(roomID string, likes *proto.LikeTotal) { g.ShowLikes(roomID, likes) },
	})
	w.must(err)
	cfg := GatewayConfig{
		Pool: w.pool, Bus: b, Tickets: tickets, Rooms: rooms, Presence: presence,
		Log:          slog.New(slog.NewTextHandler(testWriter{w.t}, nil)),
		DrainTimeout: time.Millisecond,
		Routes:       map[string]Route{"chat_send": {Handle: chatRoute(b), Ordered: true}},
	}
	for _, c := range change {
		c(&cfg)
	}
	g, err = NewGateway(cfg)
	w.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	ended := make(chan error, 1)
	parts.Go(func() { ended <- g.Run(ctx) })
	pctx, pcancel := context.WithCancel(context.Background())
	parts.Go(func() {
		if err := presence.Run(pctx); err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("presence: %v", err)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("GET /v1/rooms/{room}/ws", g)
	server := httptest.NewUnstartedServer(mux)
	if w.tls {
		server.Listener = smallListener{server.Listener}
		server.StartTLS()
	} else {
		w.must(smallSockets(server.Listener))
		server.Listener, err = HandshakeListener(server.Listener, mux, cfg.Log)
		w.must(err)
		server.Start()
	}
	eventually(w.t, "the gateway is ready", func() bool { return g.Ready() == nil })
	stop := sync.OnceFunc(func() {
		cancel()
		eventually(w.t, "the gateway drains", func() bool { return g.Ready() != nil })
		pcancel()
		parts.Wait()
		server.Close()
		select {
		case err := <-ended:
			if err != nil {
				w.t.Errorf("gateway: %v", err)
			}
		default:
		}
	})
	w.t.Cleanup(stop)
	return &gate{Gateway: g, url: server.URL, bus: b, stop: stop, ended: ended}
}

// chatRoute posts a comment without asking anybody, as package chat does after its checks.
func chatRoute(b *bus.Bus) func(context.Context, Call) (*proto.Ok, error) {
	return func(_ context.Context, c Call) (*proto.Ok, error) {
		m := &proto.ChatMessage{Id: store.NewID("msg"), User: c.Viewer.User(), Text: c.Command.GetChatSend().GetText(), TimeMs: time.Now().UnixMilli()}
		err := b.PublishRoom(c.RoomID, &proto.Event{TimeMs: m.TimeMs, Event: &proto.Event_ChatMessage{ChatMessage: m}})
		return &proto.Ok{Value: &proto.Ok_ChatMessage{ChatMessage: m}}, err
	}
}

// wait has a command wait for a test.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// state commits a numbered event and returns it; announce also publishes the hint.
func (w *world) state(roomID string, announce bool) *proto.Event {
	w.t.Helper()
	ev := &proto.Event{Event: &proto.Event_ChatSettings{ChatSettings: &proto.ChatSettings{SlowModeMs: time.Now().UnixNano()}}}
	w.numbered(roomID, ev, announce)
	return ev
}

func (w *world) numbered(roomID string, ev *proto.Event, announce bool) {
	w.t.Helper()
	w.must(store.InTx(w.t.Context(), w.pool, func(tx pgx.Tx) error { return store.AppendEvent(w.t.Context(), tx, roomID, ev) }))
	if announce {
		w.must(w.bus.PublishRoom(roomID, ev))
	}
}

func comment(user string, role proto.Role, text string) *proto.Event {
	return &proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{
		Id: store.NewID("msg"), User: &proto.User{Id: user, Role: role}, Text: text,
	}}}
}

func (w *world) publish(roomID string, events ...*proto.Event) {
	w.t.Helper()
	w.must(w.bus.PublishRoom(roomID, events...))
}

// flush waits until NATS has taken what was published.
func (w *world) flush() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	w.must(w.bus.Flush(ctx))
}

// client is a viewer's end of a connection. It reads all the time unless told otherwise.
type client struct {
	t      testing.TB
	ws     *websocket.Conn
	format proto.Format
	wmu    sync.Mutex

	mu     sync.Mutex
	frames []*proto.ServerFrame
	ended  error
	more   chan struct{} // replaced and closed with each frame
	done   chan struct{}
}

type dial struct {
	room   string
	token  string
	format proto.Format
	query  string // "after_seq=3"
	// deaf does not read; read starts it.
	deaf bool
	// small has the kernel buffer as little as possible for the client.
	small bool
}

func (d dial) url(base string) string {
	room := d.room
	if room == "" {
		room = "demo"
	}
	q, _ := url.ParseQuery(d.query)
	if d.token != "" {
		q.Set("access_token", d.token)
	}
	return "ws" + strings.TrimPrefix(base, "http") + "/v1/rooms/" + room + "/ws?" + q.Encode()
}

func (g *gate) dial(t testing.TB, d dial) *client {
	t.Helper()
	dialer := websocket.Dialer{
		Subprotocols: []string{d.format.String()}, HandshakeTimeout: patience,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	if d.small {
		dialer.NetDial = dialSmall
	}
	ws, resp, err := dialer.Dial(d.url(g.url), nil)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, resp)
	}
	c := &client{t: t, ws: ws, format: d.format, more: make(chan struct{}), done: make(chan struct{})}
	if !d.deaf {
		go c.read()
	} else {
		close(c.done)
	}
	t.Cleanup(c.close)
	return c
}

func (c *client) close() {
	c.ws.Close()
	<-c.done
}

// received are the frames so far.
func (c *client) received() []*proto.ServerFrame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frames
}

// listen starts a deaf client's reading.
func (c *client) listen() {
	_ = c.ws.NetConn().(*net.TCPConn).SetReadBuffer(1 << 20)
	c.done = make(chan struct{})
	go c.read()
}

func (c *client) read() {
	defer close(c.done)
	for {
		_, data, err := c.ws.ReadMessage()
		frame := new(proto.ServerFrame)
		if err == nil {
			err = proto.Decode(c.format, data, frame)
		}
		c.mu.Lock()
		if err != nil {
			c.ended = err
		} else {
			c.frames = append(c.frames, frame)
		}
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// until waits until ok holds of the frames received so far.
func (c *client) until(what string, ok func(frames []*proto.ServerFrame) bool) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		c.mu.Lock()
		frames, more, ended := c.frames, c.more, c.ended
		c.mu.Unlock()
		if ok(frames) {
			return
		}
		if ended != nil {
			c.t.Fatalf("%s: the connection ended with %v after %d frames, at last %.500v", what, ended, len(frames), last(frames))
		}
		select {
		case <-more:
		case <-timeout:
			c.t.Fatalf("%s: not within %v; got %d frames, at last %.500v", what, patience, len(frames), last(frames))
		}
	}
}

func last(frames []*proto.ServerFrame) *proto.ServerFrame {
	if len(frames) == 0 {
		return nil
	}
	return frames[len(frames)-1]
}

// event waits for the first event of a kind that also satisfies ok, which may be nil.
func (c *client) event(kind string, ok func(*proto.Event) bool) (found *proto.Event) {
	c.t.Helper()
	c.until(kind, func(frames []*proto.ServerFrame) bool {
		for _, f := range frames {
			for _, ev := range f.Events {
				if ev.Kind() == kind && (ok == nil || ok(ev)) {
					found = ev
					return true
				}
			}
		}
		return false
	})
	return found
}

func (c *client) welcome() *proto.SessionWelcome {
	c.t.Helper()
	return c.event("session_welcome", nil).GetSessionWelcome()
}

// reply waits for the answer to a request.
func (c *client) reply(requestID string) (found *proto.Reply) {
	c.t.Helper()
	c.until("reply to "+requestID, func(frames []*proto.ServerFrame) bool {
		for _, f := range frames {
			for _, r := range f.Replies {
				if r.RequestId == requestID {
					found = r
					return true
				}
			}
		}
		return false
	})
	return found
}

// reason is the refusal of a request, "" where it succeeded.
func (c *client) reason(requestID string) proto.Reason {
	c.t.Helper()
	return proto.Reason(c.reply(requestID).GetError().GetReason())
}

// closed waits for the end of the connection and returns the close code.
func (c *client) closed() (code int, text string) {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		c.t.Fatal("the connection stays open")
	}
	var e *websocket.CloseError
	if !errors.As(c.ended, &e) {
		c.t.Fatalf("the connection ended without a close frame: %v", c.ended)
	}
	return e.Code, e.Text
}

// numbers are the numbered events received so far, in their order.
func (c *client) numbers() (seqs []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		for _, ev := range f.Events {
			if ev.Seq > 0 {
				seqs = append(seqs, ev.Seq)
			}
		}
	}
	return seqs
}

func (c *client) send(commands ...*proto.Command) {
	c.t.Helper()
	data, err := proto.Encode(c.format, &proto.ClientFrame{Commands: commands})
	if err != nil {
		c.t.Fatal(err)
	}
	c.raw(data)
}

func (c *client) raw(data []byte) {
	c.t.Helper()
	kind := websocket.BinaryMessage
	if c.format == proto.JSON {
		kind = websocket.TextMessage
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.ws.WriteMessage(kind, data); err != nil {
		c.t.Logf("write: %v", err)
	}
}

func chatSend(requestID, text string) *proto.Command {
	return &proto.Command{RequestId: requestID, Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: text}}}
}

func ping(requestID string) *proto.Command {
	return &proto.Command{RequestId: requestID, Command: &proto.Command_Ping{Ping: new(proto.Ping)}}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func rangeOf(first, last int64) string {
	var seqs []int64
	for n := first; n <= last; n++ {
		seqs = append(seqs, n)
	}
	return fmt.Sprint(seqs)
}
