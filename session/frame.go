package session

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// message is one WebSocket message ready for any number of connections of a format: the bytes of its
// frame. They are never changed.
type message struct {
	bytes []byte
	size  int // of the payload
}

func newMessage(f proto.Format, data []byte) *message {
	kind := websocket.BinaryMessage
	if f == proto.JSON {
		kind = websocket.TextMessage
	}
	return &message{bytes: frameBytes(kind, data), size: len(data)}
}

// frameBytes returns the whole frame of a server: RFC 6455, section 5.2, final and without mask.
func frameBytes(kind int, data []byte) []byte {
	const final, two, eight = 0x80, 126, 127
	frame := make([]byte, 0, len(data)+10)
	frame = append(frame, final|byte(kind))
	switch n := len(data); {
	case n < two:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, two), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, eight), uint64(n))
	}
	return append(frame, data...)
}

func encodeMessage(f proto.Format, frame *proto.ServerFrame) (*message, error) {
	data, err := proto.Encode(f, frame)
	if err != nil {
		return nil, fmt.Errorf("encode a frame: %w", err)
	}
	return newMessage(f, data), nil
}

// broadcast is what many connections are sent, encoded once a format.
type broadcast struct {
	whole   [proto.Formats]*message // nil where the room has no connection of the format
	chats   uint32                  // comments in it
	sampled uint32                  // what it says was left out
	events  []*proto.Event
	// The same without comments, for viewers that read too slowly; made when the first one needs it.
	once  [proto.Formats]sync.Once
	spare [proto.Formats]*message
}

// newBroadcast encodes events for the formats in use.
func newBroadcast(events []*proto.Event, chats, sampled int, inUse [proto.Formats]int) (*broadcast, error) {
	b := &broadcast{events: events, chats: uint32(chats), sampled: uint32(sampled)}
	for f, n := range inUse {
		if n == 0 {
			continue
		}
		m, err := encodeMessage(proto.Format(f), &proto.ServerFrame{Events: events, Sampled: b.sampled})
		if err != nil {
			return nil, err
		}
		b.whole[f] = m
	}
	return b, nil
}

// withoutChat returns what may not be dropped, nil where that is nothing. It says nothing of
// sampled comments: who gets it is told of them with the skipped ones.
func (b *broadcast) withoutChat(f proto.Format) *message {
	b.once[f].Do(func() {
		var kept []*proto.Event
		for _, ev := range b.events {
			if ClassOf(ev) != ClassChat {
				kept = append(kept, ev)
			}
		}
		if len(kept) == 0 {
			return
		}
		// The same events were encoded a moment ago, so this cannot fail for a reason of its own.
		b.spare[f], _ = encodeMessage(f, &proto.ServerFrame{Events: kept})
	})
	return b.spare[f]
}
