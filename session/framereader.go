package session

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// frameReader is a gorilla connection that reads the frames of any number of clients. As each gets only
// whole messages and lone control frames from an [intake], nothing of one client stays in it for the
// next, and no connection needs a gorilla one of its own, which is a kilobyte. After an error it
// reads no more. Not safe for concurrent use.
type frameReader struct {
	ws   *websocket.Conn
	wire *wire
}

// newFrameReader makes one by a handshake with nobody, the only way to a connection of gorilla's.
func newFrameReader() (*frameReader, error) {
	r := &frameReader{wire: &wire{fed: true}}
	upgrader := websocket.Upgrader{
		ReadBufferSize: 256, WriteBufferSize: 256, // longer frames go past the one, control frames fit the other
		CheckOrigin: func(*http.Request) bool { return true },
	}
	request := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {base64.StdEncoding.EncodeToString(make([]byte, 16))},
	}}
	var err error
	if r.ws, err = upgrader.Upgrade(nobody{wire: r.wire}, request, nil); err != nil {
		return nil, fmt.Errorf("make a reader of frames: %w", err)
	}
	r.ws.SetReadLimit(proto.MaxClientFrame)
	r.ws.SetPingHandler(func(text string) error { return r.wire.owner.pinged(text) })
	r.ws.SetPongHandler(func(text string) error { return r.wire.owner.ponged(text) })
	return r, nil
}

// feed reads frames of c's to their end.
func (r *frameReader) feed(frames []byte) (kind int, payload []byte, err error) {
	r.wire.feed = frames
	kind, payload, err = r.ws.ReadMessage()
	r.wire.feed = nil
	return kind, payload, err
}

// nobody is the response to a handshake that no client made.
type nobody struct {
	http.ResponseWriter
	wire *wire
}

func (n nobody) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return n.wire, bufio.NewReadWriter(bufio.NewReaderSize(n.wire, 16), bufio.NewWriterSize(n.wire, 16)), nil
}
