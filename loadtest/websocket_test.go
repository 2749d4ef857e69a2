package loadtest

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// readPieces reads a stream piece by piece, as a loop does, and tells what came of it.
func readPieces(pieces ...[]byte) (taken []string, err error) {
	var r messageReader
	for _, p := range pieces {
		err = r.read(append(bytes.Clone(r.partial), p...), func(opcode byte, payload []byte) error {
			taken = append(taken, fmt.Sprintf("%d %x", opcode, payload))
			return nil
		})
		if err != nil {
			return taken, err
		}
	}
	return taken, nil
}

func TestFramesAgainstTheProtocol(t *testing.T) {
	for _, tt := range []struct {
		name   string
		stream []byte
		want   string
	}{
		{"reserved bit", []byte{0xc2, 0}, "reserved bits"},
		{"unknown data opcode", []byte{0x83, 0}, "unknown opcode 3"},
		{"unknown control opcode", []byte{0x8b, 0}, "unknown opcode 11"},
		{"masked", []byte{0x82, 0x80}, "masked"},
		{"fragmented ping", []byte{0x09, 0}, "control frame is fragmented"},
		{"long ping", []byte{0x89, 126}, "control frame is fragmented or longer"},
		{"continuation first", []byte{0x80, 0}, "begins with a continuation"},
		{"message in a message", []byte{0x02, 0, 0x82, 0}, "within another"},
		{"too long", []byte{0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1}, "1048577 bytes, 1048576 are the most"},
		{"absurdly long", []byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "are the most"},
		{"too long in fragments", slices.Concat(
			[]byte{0x02, 127, 0, 0, 0, 0, 0, 0x10, 0, 0}, make([]byte, maxSocketMessage), []byte{0x80, 1, 0}), "more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := readPieces(tt.stream); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
	longest := slices.Concat([]byte{0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0}, make([]byte, maxSocketMessage))
	if taken, err := readPieces(longest[:len(longest)/2], longest[len(longest)/2:]); err != nil || len(taken) != 1 {
		t.Errorf("the longest message: %d, %v", len(taken), err)
	}
}

func TestReaderKeepsNothingBetweenFrames(t *testing.T) {
	var r messageReader
	frame := serverFrame(0x82, []byte("hello"))
	take := func(byte, []byte) error { return nil }
	if err := r.read(append(bytes.Clone(frame), frame[:3]...), take); err != nil || string(r.partial) != string(frame[:3]) {
		t.Errorf("%x, %v", r.partial, err)
	}
	if err := r.read(frame, take); err != nil || r.partial != nil || r.message != nil {
		t.Errorf("%x, %x, %v", r.partial, r.message, err)
	}
}

// What a client sends must be read by another implementation as it was meant, at each length form.
func TestClientFramesAreUnderstood(t *testing.T) {
	for _, n := range []int{0, 125, 126, 0xffff, 0x10000} {
		want := bytes.Repeat([]byte{0xa5}, n)
		got, opcode := serverReads(t, appendClientFrame(nil, opBinary, want))
		if opcode != websocket.BinaryMessage || !bytes.Equal(got, want) {
			t.Errorf("%d bytes became %d, opcode %d", n, len(got), opcode)
		}
	}
}

// serverReads lets another implementation read a client's frame.
func serverReads(t *testing.T, stream []byte) ([]byte, int) {
	t.Helper()
	type message struct {
		opcode int
		data   []byte
		err    error
	}
	read := make(chan message, 1)
	upgrader := websocket.Upgrader{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			read <- message{err: err}
			return
		}
		defer conn.Close()
		opcode, data, err := conn.ReadMessage()
		read <- message{opcode, data, err}
	}))
	defer server.Close()
	conn, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.NetConn().Write(stream); err != nil {
		t.Fatal(err)
	}
	m := <-read
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m.data, m.opcode
}

func FuzzMessageReader(f *testing.F) {
	f.Add(serverFrame(0x82, []byte("hello")), 3, 4)
	f.Add(slices.Concat(serverFrame(0x02, []byte("he")), serverFrame(0x89, nil), serverFrame(0x80, []byte("llo"))), 5, 1)
	f.Add(serverFrame(0x88, []byte{0x0f, 0xa8, 'x'}), 1, 1)
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1}, 2, 9)
	f.Fuzz(func(t *testing.T, stream []byte, a, b int) {
		a = max(min(a, len(stream)), 0)
		b = max(min(b, len(stream)), a)
		whole, wholeErr := readPieces(stream)
		cut, cutErr := readPieces(stream[:a], stream[a:b], stream[b:])
		if !slices.Equal(whole, cut) || fmt.Sprint(wholeErr) != fmt.Sprint(cutErr) {
			t.Errorf("whole: %v, %v; cut at %d and %d: %v, %v", whole, wholeErr, a, b, cut, cutErr)
		}
	})
}

func TestFrameCache(t *testing.T) {
	c := newFrameCache()
	frame := &proto.ServerFrame{Events: []*proto.Event{chatEvent("m1")}, Sampled: 3}
	var got [proto.Formats]*proto.ServerFrame
	for format := range proto.Format(proto.Formats) {
		data, err := proto.Encode(format, frame)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.decode(format, data)
		if err != nil || !proto.Equal(first, frame) {
			t.Fatalf("%v, %v", first, err)
		}
		again, err := c.decode(format, bytes.Clone(data))
		if err != nil || again != first {
			t.Errorf("decoded twice: %v", err)
		}
		clear(data) // the buffer of the next read
		if !proto.Equal(first, frame) {
			t.Error("the frame changed with the buffer")
		}
		got[format] = first
	}
	if got[proto.Binary] == got[proto.JSON] {
		t.Error("formats share a frame")
	}
	if _, err := c.decode(proto.JSON, []byte("{")); err == nil {
		t.Error("a broken frame was decoded")
	}
	// Bytes that are a frame in one format must not be taken from the cache in the other.
	if _, err := c.decode(proto.Binary, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.decode(proto.JSON, nil); err == nil {
		t.Error("no bytes are no JSON")
	}
	for i := range 10 * frameCacheSlots {
		data, err := proto.Encode(proto.Binary, &proto.ServerFrame{Sampled: uint32(i)})
		if err != nil {
			t.Fatal(err)
		}
		if f, err := c.decode(proto.Binary, data); err != nil || f.Sampled != uint32(i) {
			t.Fatalf("frame %d: %v, %v", i, f, err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	var d deadlines
	if _, ok := d.next(); ok {
		t.Error("none is one")
	}
	begin := time.Now()
	var passed []int
	var all []*deadline
	for _, k := range []int{5, 1, 4, 2, 3} {
		all = append(all, d.add(begin.Add(time.Duration(k)*time.Second), func() { passed = append(passed, k) }))
	}
	d.remove(all[2]) // 4
	d.remove(all[2])
	d.expire(begin.Add(time.Second - 1))
	if len(passed) > 0 {
		t.Errorf("too early: %v", passed)
	}
	d.expire(begin.Add(3 * time.Second))
	if !slices.Equal(passed, []int{1, 2, 3}) {
		t.Errorf("%v", passed)
	}
	d.remove(all[1]) // has passed
	if at, ok := d.next(); !ok || !at.Equal(begin.Add(5*time.Second)) {
		t.Errorf("next: %v, %v", at, ok)
	}
}
