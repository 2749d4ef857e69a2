package loadtest

import (
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// gateway is a small WebSocket server that speaks frames; what it says is up to the test.
type gateway struct {
	testing.TB
	*http.ServeMux
	url string
	// tls serves https:// with the certificate in caFile.
	tls    bool
	caFile string

	// refuse answers a handshake itself and returns true.
	refuse func(w http.ResponseWriter, r *http.Request) bool
	// joined is called once a connection is open; nil sends a welcome.
	joined func(*socket)
	// answer is called for each command; nil answers nothing.
	answer func(*socket, *proto.Command)
	// left is called when a connection has ended.
	left func(*socket)

	upgrader websocket.Upgrader
	handlers sync.WaitGroup
	mu       sync.Mutex
	open     map[*socket]bool
	joins    int
	lost     int64 // connections that kill cut off
	server   *httptest.Server
}

// kill ends the gateway as a crash would: it says nothing, and nobody gets in any more.
func (g *gateway) kill() {
	g.server.Listener.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		c.Close()
		g.lost++
	}
}

// dropped returns how many connections kill cut off.
func (g *gateway) dropped() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// socket is one connection as its server sees it.
type socket struct {
	testing.TB
	*websocket.Conn
	format  proto.Format
	token   string
	query   string
	room    string
	writing sync.Mutex
}

// serve starts a gateway that welcomes everybody; change sets it up before.
func serve(t testing.TB, change func(*gateway)) *gateway {
	t.Helper()
	g := &gateway{TB: t, ServeMux: http.NewServeMux(), open: map[*socket]bool{}}
	g.upgrader.Subprotocols = proto.Subprotocols[:]
	g.joined = func(c *socket) { c.welcome(&proto.SessionWelcome{Seq: 1}) }
	g.HandleFunc("/v1/rooms/{room}/ws", g.join)
	if change != nil {
		change(g)
	}
	server := httptest.NewUnstartedServer(g)
	if g.tls {
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // of viewers who do not trust it
		server.StartTLS()
		g.caFile = file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	} else {
		server.Start()
	}
	g.url = server.URL
	g.server = server
	t.Cleanup(func() {
		g.mu.Lock()
		for c := range g.open {
			c.Close()
		}
		g.mu.Unlock()
		server.CloseClientConnections()
		server.Close()
		g.handlers.Wait()
	})
	return g
}

// target returns a target of this gateway alone.
func (g *gateway) target() Target {
	return Target{Gateways: []string{g.url}, Room: "demo", CAFile: g.caFile}
}

// config returns what joins this gateway.
func (g *gateway) config() ViewerConfig {
	return ViewerConfig{URL: g.target().socketURL(0), Token: "a token"}
}

func (g *gateway) join(w http.ResponseWriter, r *http.Request) {
	g.handlers.Add(1)
	defer g.handlers.Done()
	if g.refuse != nil && g.refuse(w, r) {
		return
	}
	conn, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the viewer gave up
	}
	format, _ := proto.FormatOf(conn.Subprotocol())
	c := &socket{TB: g.TB, Conn: conn, format: format, token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), query: r.URL.RawQuery, room: r.PathValue("room")}
	g.mu.Lock()
	g.open[c] = true
	g.joins++
	g.mu.Unlock()
	defer func() {
		if g.left != nil {
			g.left(c)
		}
		g.mu.Lock()
		delete(g.open, c)
		g.mu.Unlock()
		conn.Close()
	}()
	g.joined(c)
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		frame, err := proto.DecodeClient(format, data)
		if err != nil {
			g.Errorf("a viewer sent %q: %v", data, err)
			return
		}
		for _, cmd := range frame.Commands {
			if g.answer != nil {
				g.answer(c, cmd)
			}
		}
	}
}

// send writes a frame; a viewer who left does not get it.
func (c *socket) send(frame *proto.ServerFrame) {
	data, err := proto.Encode(c.format, frame)
	if err != nil {
		c.Errorf("encode: %v", err)
		return
	}
	kind := websocket.BinaryMessage
	if c.format == proto.JSON {
		kind = websocket.TextMessage
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.WriteMessage(kind, data)
}

func (c *socket) events(events ...*proto.Event) { c.send(&proto.ServerFrame{Events: events}) }

func (c *socket) welcome(w *proto.SessionWelcome) {
	c.events(&proto.Event{Event: &proto.Event_SessionWelcome{SessionWelcome: w}})
}

// ok answers cmd with value, which may be nil.
func (c *socket) ok(cmd *proto.Command, ok *proto.Ok) {
	if ok == nil {
		ok = &proto.Ok{}
	}
	c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: cmd.RequestId, Result: &proto.Reply_Ok{Ok: ok}}}})
}

// no answers cmd with a refusal.
func (c *socket) no(cmd *proto.Command, reason proto.Reason) {
	c.send(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: cmd.RequestId, Result: &proto.Reply_Error{Error: proto.Wire(proto.Refuse(reason, "no"))}}}})
}

// ping is the plainest command.
func ping() *proto.Command { return &proto.Command{Command: &proto.Command_Ping{Ping: &proto.Ping{}}} }
