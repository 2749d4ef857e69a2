package loadtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"livecart/proto"
)

// A command that ended with one of these may have been carried out or not: asking again under the
// same request_id tells.
var (
	ErrCut     = errors.New("the connection ended before the reply")
	ErrNoReply = errors.New("no reply came in time")
)

// Bounds of one connection.
const (
	defaultJoinTimeout = 20 * time.Second
	writeTimeout       = 10 * time.Second
	// Longer than a gateway may take: it answers pending after ten seconds.
	defaultReplyTimeout = 20 * time.Second
)

// ViewerConfig says who joins where.
type ViewerConfig struct {
	// URL is the room's WebSocket address, without query.
	URL string
	// TLS is for wss://; nil trusts the system's authorities.
	TLS    *tls.Config
	Token  string
	Format proto.Format
	// AfterSeq resumes after this number where it is above 0.
	AfterSeq int64
	// OnEvent, if set, is called from the reading goroutine for every event, OnFrame before that for every
	// frame with its length in bytes.
	OnEvent func(*proto.Event)
	OnFrame func(frame *proto.ServerFrame, bytes int)
	// OnEnd, if set, is called from the reading goroutine when the connection has ended: lost says why
	// where the viewer did not end it.
	OnEnd func(lost error)
	// History is continued, so that a viewer who comes back keeps one; nil begins a new one.
	History *History
	// ReadRate is how many bytes a second are read, 0 for as fast as they come.
	ReadRate int
	// JoinTimeout bounds everything up to the welcome, ReplyTimeout one command; 20 s each when 0.
	JoinTimeout, ReplyTimeout time.Duration

	// forgetful keeps no history of what came.
	forgetful bool
}

// Viewer is one connection to a room. Safe for concurrent use.
type Viewer struct {
	cfg     ViewerConfig
	conn    *websocket.Conn
	history *History
	welcome *proto.SessionWelcome
	joined  time.Duration

	// One writer at a time.
	writing sync.Mutex

	mu      sync.Mutex
	waiting map[string][]chan *proto.Reply // by request_id, in the order of sending
	ended   bool                           // reading has ended
	leaving bool                           // Close or Cut was called

	done chan struct{} // closed when the reading goroutine has returned
}

// Join connects and waits for the welcome. The reading goroutine it starts ends with Close or Cut,
// or when the gateway closes the connection. The end of ctx ends the joining, not the connection.
func Join(ctx context.Context, cfg ViewerConfig) (*Viewer, error) {
	cfg.JoinTimeout = cmp.Or(cfg.JoinTimeout, defaultJoinTimeout)
	cfg.ReplyTimeout = cmp.Or(cfg.ReplyTimeout, defaultReplyTimeout)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cfg.JoinTimeout)
	defer cancel()
	dialer := new(net.Dialer)
	connect := connector(dialer.DialContext)
	if cfg.ReadRate > 0 {
		dialer.Control = slowSocket
		connect = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return slowConn{c, cfg.ReadRate}, nil
		}
	}
	conn, stop, err := dial(ctx, cfg, connect)
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", cfg.URL, err)
	}
	v := &Viewer{cfg: cfg, conn: conn, history: cfg.History, waiting: map[string][]chan *proto.Reply{}, done: make(chan struct{})}
	if v.history == nil {
		v.history = newHistory()
		v.history.welcomeSeq = cfg.AfterSeq
	}
	err = v.awaitWelcome()
	if !stop() { // ctx has ended, and its end closed the connection
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("join %s: no welcome: %w", cfg.URL, err)
	}
	v.joined = time.Since(begin)
	go v.readAll() // ends with the connection; Close and Cut wait for it
	return v, nil
}

// dial opens the WebSocket. Until stop is called, the end of ctx closes the connection: the
// handshake itself would not notice it.
func dial(ctx context.Context, cfg ViewerConfig, connect connector) (conn *websocket.Conn, stop func() bool, err error) {
	address := cfg.URL
	if cfg.AfterSeq > 0 {
		address += "?after_seq=" + strconv.FormatInt(cfg.AfterSeq, 10)
	}
	header := http.Header{}
	if cfg.Token != "" {
		header.Set("Authorization", "Bearer "+cfg.Token)
	}
	stop = func() bool { return true }
	dialer := websocket.Dialer{Subprotocols: []string{cfg.Format.String()}, ReadBufferSize: 4096, WriteBufferSize: 1024, TLSClientConfig: cfg.TLS}
	dialer.NetDialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := connect(ctx, network, addr)
		if err == nil {
			stop = context.AfterFunc(ctx, func() { c.Close() })
		}
		return c, err
	}
	conn, resp, err := dialer.DialContext(ctx, address, header)
	if err != nil {
		if !stop() {
			err = ctx.Err()
		}
		return nil, nil, refusal(resp, cfg.Format, err)
	}
	if conn.Subprotocol() != cfg.Format.String() {
		stop()
		conn.Close()
		return nil, nil, fmt.Errorf("the server speaks %q, not %s, which is another version of the protocol", conn.Subprotocol(), cfg.Format)
	}
	return conn, stop, nil
}

// refusal adds to a failed handshake what the server said, in one line.
func refusal(resp *http.Response, format proto.Format, err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; a certificate of an authority that this system does not know, or its own, needs a CA file", err)
	}
	if resp == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return err
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what gorilla kept of it, which is all there is
	var problem struct{ Reason, Detail string }
	if json.Unmarshal(body, &problem) == nil && problem.Reason != "" {
		if proto.Reason(problem.Reason) == proto.ReasonMalformedFrame { // for want of a subprotocol that both know
			problem.Detail += fmt.Sprintf("; this program asked for %s: is the server of another version?", format)
		}
		return fmt.Errorf("%s: %s: %s", resp.Status, problem.Reason, problem.Detail)
	}
	return fmt.Errorf("%s: %.200q", resp.Status, bytes.TrimSpace(body))
}

func (v *Viewer) awaitWelcome() error {
	for v.welcome == nil {
		frame, bytes, err := v.read()
		if err != nil {
			return err
		}
		v.welcome = welcomeOf(frame)
		v.take(frame, bytes)
	}
	return nil
}

// read returns the next frame and its length.
func (v *Viewer) read() (*proto.ServerFrame, int, error) {
	_, data, err := v.conn.ReadMessage()
	if err != nil {
		return nil, 0, err
	}
	frame := new(proto.ServerFrame)
	return frame, len(data), proto.Decode(v.cfg.Format, data, frame)
}

func (v *Viewer) readAll() {
	defer close(v.done)
	defer v.conn.Close() // also after a frame that nobody can read
	for {
		frame, bytes, err := v.read()
		if err != nil {
			v.end(err)
			return
		}
		v.take(frame, bytes)
	}
}

func (v *Viewer) take(frame *proto.ServerFrame, bytes int) {
	if !v.cfg.forgetful {
		v.history.record(frame)
	}
	if v.cfg.OnFrame != nil {
		v.cfg.OnFrame(frame, bytes)
	}
	if v.cfg.OnEvent != nil {
		for _, ev := range frame.Events {
			v.cfg.OnEvent(ev)
		}
	}
	for _, r := range frame.Replies {
		v.mu.Lock()
		waiting := v.waiting[r.RequestId]
		if len(waiting) > 0 {
			v.forget(r.RequestId, waiting[0])
		}
		v.mu.Unlock()
		if len(waiting) > 0 {
			waiting[0] <- r
		}
	}
}

// end notes why the connection ended and wakes everybody who waits for a reply.
func (v *Viewer) end(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	if v.leaving {
		err = nil
	} else {
		v.history.lost(err)
	}
	if v.cfg.OnEnd != nil {
		v.cfg.OnEnd(err)
	}
	for _, waiting := range v.waiting {
		for _, ch := range waiting {
			close(ch)
		}
	}
	clear(v.waiting)
}

// over reports whether the connection has ended.
func (v *Viewer) over() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ended
}

// Welcome returns the snapshot that the connection began with.
func (v *Viewer) Welcome() *proto.SessionWelcome { return v.welcome }

// Done is closed when the connection has ended.
func (v *Viewer) Done() <-chan struct{} { return v.done }

// NewRequestID returns a fresh request_id.
func NewRequestID() string { return uuid.NewString() }

// Do sends one command and waits for its reply. A command without request_id is given one. The
// error is nil for a refusal, which is in the reply; ErrCut and ErrNoReply leave the outcome open.
// Commands of one request_id that are on their way together each get a reply, whichever comes first.
func (v *Viewer) Do(ctx context.Context, cmd *proto.Command) (*proto.Reply, error) {
	if cmd.RequestId == "" {
		cmd.RequestId = NewRequestID()
	}
	ch := make(chan *proto.Reply, 1)
	v.mu.Lock()
	if v.ended {
		v.mu.Unlock()
		return nil, ErrCut
	}
	v.waiting[cmd.RequestId] = append(v.waiting[cmd.RequestId], ch)
	v.mu.Unlock()
	if err := v.Send(cmd); err != nil {
		v.giveUp(cmd.RequestId, ch)
		return nil, err
	}
	timer := time.NewTimer(v.cfg.ReplyTimeout)
	defer timer.Stop()
	select {
	case r, ok := <-ch:
		if !ok {
			return nil, ErrCut
		}
		return r, nil
	case <-ctx.Done():
		v.giveUp(cmd.RequestId, ch)
		return nil, ctx.Err()
	case <-timer.C:
		v.giveUp(cmd.RequestId, ch)
		return nil, noReply(cmd.Kind(), v.cfg.ReplyTimeout)
	}
}

func (v *Viewer) giveUp(requestID string, ch chan *proto.Reply) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget(requestID, ch)
}

// forget takes one who waits off the list. The caller holds mu.
func (v *Viewer) forget(requestID string, ch chan *proto.Reply) {
	rest := slices.DeleteFunc(slices.Clone(v.waiting[requestID]), func(c chan *proto.Reply) bool { return c == ch })
	if len(rest) == 0 {
		delete(v.waiting, requestID)
		return
	}
	v.waiting[requestID] = rest
}

// Send sends one command and does not wait.
func (v *Viewer) Send(cmd *proto.Command) error {
	data, err := proto.Encode(v.cfg.Format, &proto.ClientFrame{Commands: []*proto.Command{cmd}})
	if err != nil {
		return err
	}
	kind := websocket.BinaryMessage
	if v.cfg.Format == proto.JSON {
		kind = websocket.TextMessage
	}
	v.writing.Lock()
	defer v.writing.Unlock()
	v.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := v.conn.WriteMessage(kind, data); err != nil {
		return fmt.Errorf("%w: %v", ErrCut, err)
	}
	return nil
}

// Close says goodbye, ends the connection and waits for the reading goroutine, a second at most.
func (v *Viewer) Close() {
	v.leave()
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	v.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second))
	v.Cut()
}

// Cut ends the connection as a lost network would, without a word, and waits for the reading goroutine.
func (v *Viewer) Cut() {
	v.leave()
	v.conn.Close()
	<-v.done
}

// leave makes the end that follows one of our own.
func (v *Viewer) leave() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.leaving = true
}
