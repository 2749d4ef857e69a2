package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"livecart/proto"
)

// ErrCut says that the connection ended before the reply came: whether the command was carried out
// is unknown, and asking again under the same request_id tells.
var ErrCut = errors.New("the connection ended before the reply")

// Bounds of one connection.
const (
	dialTimeout  = 20 * time.Second
	writeTimeout = 10 * time.Second
	// Longest command that a gateway may take: it answers pending after ten seconds.
	replyTimeout = 20 * time.Second
)

// ViewerConfig says who joins where.
type ViewerConfig struct {
	// URL is the room's WebSocket address, without query.
	URL    string
	Token  string
	Format proto.Format
	// AfterSeq resumes after this number where it is above 0.
	AfterSeq int64
	// OnEvent, if set, is called from the reading goroutine for every event.
	OnEvent func(*proto.Event)
	// History is continued, so that a viewer who comes back keeps one; nil begins a new one.
	History *History
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
	waiting map[string]chan *proto.Reply
	ended   error // set once reading has ended

	done chan struct{} // closed when the reading goroutine has returned
}

// Join connects and waits for the welcome. The reading goroutine it starts ends with Close or Cut,
// or when the gateway closes the connection.
func Join(ctx context.Context, cfg ViewerConfig) (*Viewer, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address := cfg.URL
	if cfg.AfterSeq > 0 {
		address += "?after_seq=" + strconv.FormatInt(cfg.AfterSeq, 10)
	}
	header := http.Header{}
	if cfg.Token != "" {
		header.Set("Authorization", "Bearer "+cfg.Token)
	}
	dialer := websocket.Dialer{Subprotocols: []string{cfg.Format.String()}, ReadBufferSize: 4096, WriteBufferSize: 1024}
	conn, resp, err := dialer.DialContext(ctx, address, header)
	if err != nil {
		return nil, joinError(cfg.URL, resp, err)
	}
	if conn.Subprotocol() != cfg.Format.String() {
		conn.Close()
		return nil, fmt.Errorf("join %s: the server speaks %q, not %s", cfg.URL, conn.Subprotocol(), cfg.Format)
	}
	v := &Viewer{cfg: cfg, conn: conn, history: cfg.History, waiting: map[string]chan *proto.Reply{}, done: make(chan struct{})}
	if v.history == nil {
		v.history = newHistory()
	}
	deadline, _ := ctx.Deadline()
	conn.SetReadDeadline(deadline)
	for v.welcome == nil {
		frame, err := v.read()
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("join %s: no welcome: %w", cfg.URL, err)
		}
		for _, ev := range frame.Events {
			if w := ev.GetSessionWelcome(); w != nil {
				v.welcome = w
			}
		}
		v.take(frame)
	}
	conn.SetReadDeadline(time.Time{})
	v.joined = time.Since(begin)
	go v.readAll()
	return v, nil
}

// joinError adds to a refused handshake what the server said.
func joinError(address string, resp *http.Response, err error) error {
	if resp == nil {
		return fmt.Errorf("join %s: %w", address, err)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return fmt.Errorf("join %s: %s: %s", address, resp.Status, body)
}

func (v *Viewer) read() (*proto.ServerFrame, error) {
	_, data, err := v.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	frame := new(proto.ServerFrame)
	return frame, proto.Decode(v.cfg.Format, data, frame)
}

func (v *Viewer) readAll() {
	defer close(v.done)
	for {
		frame, err := v.read()
		if err != nil {
			v.end(err)
			return
		}
		v.take(frame)
	}
}

func (v *Viewer) take(frame *proto.ServerFrame) {
	v.history.record(frame, time.Now())
	if v.cfg.OnEvent != nil {
		for _, ev := range frame.Events {
			v.cfg.OnEvent(ev)
		}
	}
	for _, r := range frame.Replies {
		v.mu.Lock()
		ch := v.waiting[r.RequestId]
		delete(v.waiting, r.RequestId)
		v.mu.Unlock()
		if ch != nil {
			ch <- r
		}
	}
}

// end wakes everybody who waits for a reply.
func (v *Viewer) end(err error) {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		v.history.mu.Lock()
		v.history.closeCode = closed.Code
		v.history.mu.Unlock()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = err
	for id, ch := range v.waiting {
		close(ch)
		delete(v.waiting, id)
	}
}

// Welcome returns the snapshot that the connection began with.
func (v *Viewer) Welcome() *proto.SessionWelcome { return v.welcome }

// Done is closed when the connection has ended.
func (v *Viewer) Done() <-chan struct{} { return v.done }

// NewRequestID returns a fresh request_id.
func NewRequestID() string { return uuid.NewString() }

// Do sends one command and waits for its reply. A command without request_id is given one. The
// error is nil for a refusal, which is in the reply; ErrCut leaves the outcome open.
func (v *Viewer) Do(ctx context.Context, cmd *proto.Command) (*proto.Reply, error) {
	if cmd.RequestId == "" {
		cmd.RequestId = NewRequestID()
	}
	ch := make(chan *proto.Reply, 1)
	v.mu.Lock()
	if v.ended != nil {
		v.mu.Unlock()
		return nil, ErrCut
	}
	v.waiting[cmd.RequestId] = ch
	v.mu.Unlock()
	if err := v.Send(cmd); err != nil {
		v.forget(cmd.RequestId)
		return nil, err
	}
	timer := time.NewTimer(replyTimeout)
	defer timer.Stop()
	select {
	case r, ok := <-ch:
		if !ok {
			return nil, ErrCut
		}
		return r, nil
	case <-ctx.Done():
		v.forget(cmd.RequestId)
		return nil, ctx.Err()
	case <-timer.C:
		v.forget(cmd.RequestId)
		return nil, fmt.Errorf("%s: no reply in %v", cmd.Kind(), replyTimeout)
	}
}

func (v *Viewer) forget(requestID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.waiting, requestID)
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

// Close says goodbye, ends the connection and waits for the reading goroutine.
func (v *Viewer) Close() {
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	v.conn.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(time.Second))
	v.Cut()
}

// Cut ends the connection as a lost network would, without a word, and waits for the reading goroutine.
func (v *Viewer) Cut() {
	v.conn.Close()
	<-v.done
}
