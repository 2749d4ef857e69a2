package session

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// handshakeBytes is the longest request that is taken for a handshake.
const handshakeBytes = 4 << 10

// handshakeHead is the request of a handshake, as it came.
type handshakeHead struct {
	buf [handshakeBytes + 1]byte
	n   int
}

var handshakeHeads = sync.Pool{New: func() any { return new(handshakeHead) }}

// peekHandshake returns the handshake that a connection begins with, nil for anything else. It leaves
// the bytes where they are.
func peekHandshake(fd int) *handshakeHead {
	h := handshakeHeads.Get().(*handshakeHead)
	var err error
	h.n, _, err = unix.Recvfrom(fd, h.buf[:], unix.MSG_PEEK)
	if err != nil || !isHandshake(h.buf[:max(h.n, 0)]) {
		handshakeHeads.Put(h)
		return nil
	}
	return h
}

// isHandshake reports whether data is the whole of a GET request that asks for a WebSocket, and nothing
// else. It is strict, as what it turns down is still served: the request must be plain ASCII without a body,
// with one Host and each header on a line of its own.
func isHandshake(data []byte) bool {
	if len(data) > handshakeBytes || !bytes.HasPrefix(data, []byte("GET /")) {
		return false
	}
	line, rest, _ := bytes.Cut(data, []byte("\r\n"))
	if !bytes.HasSuffix(line, []byte(" HTTP/1.1")) || !only(line, printable) {
		return false
	}
	hosts, upgrade := 0, false
	for {
		var whole bool
		if line, rest, whole = bytes.Cut(rest, []byte("\r\n")); !whole {
			return false
		}
		if len(line) == 0 {
			return len(rest) == 0 && hosts == 1 && upgrade
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		if len(name) == 0 || !only(name, inName) || !only(value, printable) {
			return false
		}
		switch {
		case bytes.EqualFold(name, []byte("Host")):
			if hosts++; !only(value, inHost) {
				return false
			}
		case bytes.EqualFold(name, []byte("Upgrade")):
			upgrade = bytes.EqualFold(value, []byte("websocket"))
		case bytes.EqualFold(name, []byte("Content-Length")), bytes.EqualFold(name, []byte("Transfer-Encoding")),
			bytes.EqualFold(name, []byte("Expect")):
			return false
		}
	}
}

func only(text []byte, chars func(byte) bool) bool {
	for _, b := range text {
		if !chars(b) {
			return false
		}
	}
	return true
}

func printable(b byte) bool { return ' ' <= b && b <= '~' }
func inName(b byte) bool    { return alphanumeric(b) || b == '-' || b == '_' }
func inHost(b byte) bool {
	return alphanumeric(b) || b == '-' || b == '.' || b == ':' || b == '[' || b == ']'
}

func alphanumeric(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
}

// take reads the request, which lies in the socket still, and lets the buffer go.
func (h *handshakeHead) take(ctx context.Context, conn *bareConn) (*http.Request, *bufio.Reader, error) {
	defer handshakeHeads.Put(h)
	if _, err := rawRead(conn.fd, h.buf[:h.n]); err != nil {
		return nil, nil, err
	}
	reader := bufio.NewReaderSize(bytes.NewReader(h.buf[:h.n]), leastReader)
	r, err := http.ReadRequest(reader)
	if err != nil {
		return nil, nil, err
	}
	r.RemoteAddr = conn.RemoteAddr().String()
	return r.WithContext(ctx), reader, nil
}

// leastReader is the least buffer that gorilla reads a hijacked connection with; it makes a large one of
// its own where it is given less.
const leastReader = 257

// handshakeAnswer is the http.ResponseWriter of a handshake. An answer is kept until the handler is through.
type handshakeAnswer struct {
	conn     *bareConn
	reader   *bufio.Reader
	header   http.Header
	status   int         // 0 until it is known
	told     http.Header // as it was then
	body     bytes.Buffer
	hijacked bool
}

func (a *handshakeAnswer) Header() http.Header { return a.header }

func (a *handshakeAnswer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK { // those below are not the answer yet
		a.status, a.told = status, a.header.Clone()
	}
}

func (a *handshakeAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	switch {
	case a.hijacked:
		return 0, http.ErrHijacked
	case a.status == http.StatusNoContent, a.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	}
	return a.body.Write(p)
}

// Hijack gives the connection away, to which nothing was written yet.
func (a *handshakeAnswer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.hijacked {
		return nil, nil, http.ErrHijacked
	}
	a.hijacked = true
	a.reader.Reset(a.conn)
	return a.conn, bufio.NewReadWriter(a.reader, bufio.NewWriterSize(a.conn, 16)), nil
}

// write sends the answer. A handler that gives none after the end of its context had nobody to give it to.
func (a *handshakeAnswer) write(ctx context.Context, timeout time.Duration) {
	if a.status == 0 && ctx.Err() != nil {
		return
	}
	a.WriteHeader(http.StatusOK)
	if _, own := a.told["Date"]; !own {
		a.told.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if _, own := a.told["Content-Type"]; !own && a.told.Get("Content-Encoding") == "" && a.body.Len() > 0 {
		a.told.Set("Content-Type", http.DetectContentType(a.body.Bytes()))
	}
	whole := http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Header: a.told, Close: true,
		ContentLength: int64(a.body.Len()), Body: io.NopCloser(&a.body),
	}
	var out bytes.Buffer
	_ = whole.Write(&out) // to memory
	if rest := out.Bytes()[a.conn.writeNow(out.Bytes()):]; len(rest) > 0 {
		// What fails here is the client's.
		_ = a.conn.SetWriteDeadline(time.Now().Add(timeout))
		_, _ = a.conn.Write(rest)
	}
}
