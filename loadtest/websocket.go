package loadtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/gorilla/websocket"
)

// Opcodes of WebSocket frames, RFC 6455 section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// maxSocketMessage is the longest message that a viewer of a swarm takes, in bytes. The longest that a
// gateway should send is a welcome of 16 KiB.
const maxSocketMessage = 1 << 20

// socketFrame is one frame of a server. Its payload is part of what it was read from.
type socketFrame struct {
	final   bool
	opcode  byte
	payload []byte
}

// parseSocketFrame reads the frame that data begins with and returns its length, which is 0 while
// bytes of it are missing. What is against the protocol is found out as soon as it can be seen.
func parseSocketFrame(data []byte) (f socketFrame, n int, err error) {
	if len(data) < 2 {
		return f, 0, nil
	}
	f.final, f.opcode = data[0]&0x80 != 0, data[0]&0x0f
	control := f.opcode >= opClose
	head, size := 2, uint64(data[1]&0x7f)
	switch {
	case data[0]&0x70 != 0:
		return f, 0, errors.New("a frame has reserved bits")
	case f.opcode > opPong || f.opcode > opBinary && !control:
		return f, 0, fmt.Errorf("a frame has the unknown opcode %d", f.opcode)
	case data[1]&0x80 != 0:
		return f, 0, errors.New("a frame of the server is masked")
	case control && (!f.final || size > 125):
		return f, 0, errors.New("a control frame is fragmented or longer than 125 bytes")
	case size == 126:
		if head = 4; len(data) < head {
			return f, 0, nil
		}
		size = uint64(binary.BigEndian.Uint16(data[2:]))
	case size == 127:
		if head = 10; len(data) < head {
			return f, 0, nil
		}
		size = binary.BigEndian.Uint64(data[2:])
	}
	if size > maxSocketMessage {
		return f, 0, fmt.Errorf("a frame has %d bytes, %d are the most", size, maxSocketMessage)
	}
	if n = head + int(size); len(data) < n {
		return f, 0, nil
	}
	f.payload = data[head:n]
	return f, n, nil
}

// messageReader puts the frames of one connection together. Between two reads it holds the bytes of
// a frame or message that has only begun, and nothing else.
type messageReader struct {
	// partial is the beginning of a frame. What is read next has to be given with it in front.
	partial []byte
	message []byte // fragments of the message under way
	opcode  byte   // of that message, 0 for none
}

// read calls take for every message and control frame in data. The payload is good until take
// returns; the error of take ends the reading.
func (r *messageReader) read(data []byte, take func(opcode byte, payload []byte) error) error {
	for {
		f, n, err := parseSocketFrame(data)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		data = data[n:]
		if err := r.frame(f, take); err != nil {
			return err
		}
	}
	r.partial = nil
	if len(data) > 0 {
		r.partial = bytes.Clone(data)
	}
	return nil
}

func (r *messageReader) frame(f socketFrame, take func(opcode byte, payload []byte) error) error {
	switch {
	case f.opcode >= opClose:
		return take(f.opcode, f.payload)
	case f.opcode == opContinuation && r.opcode == 0:
		return errors.New("a message begins with a continuation")
	case f.opcode != opContinuation && r.opcode != 0:
		return errors.New("a message begins within another")
	case f.opcode != opContinuation && f.final:
		return take(f.opcode, f.payload)
	}
	if f.opcode != opContinuation {
		r.opcode = f.opcode
	}
	if len(r.message)+len(f.payload) > maxSocketMessage {
		return fmt.Errorf("a message has more than %d bytes", maxSocketMessage)
	}
	r.message = append(r.message, f.payload...)
	if !f.final {
		return nil
	}
	opcode, message := r.opcode, r.message
	r.opcode, r.message = 0, nil
	return take(opcode, message)
}

// appendClientFrame adds a whole masked frame to dst.
func appendClientFrame(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n <= 125:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	var key [4]byte
	binary.NativeEndian.PutUint32(key[:], rand.Uint32())
	dst = append(dst, key[:]...)
	for i, b := range payload {
		dst = append(dst, b^key[i&3])
	}
	return dst
}

// closeError reads the payload of a close frame.
func closeError(payload []byte) *websocket.CloseError {
	if len(payload) < 2 {
		return &websocket.CloseError{Code: websocket.CloseNoStatusReceived}
	}
	return &websocket.CloseError{Code: int(binary.BigEndian.Uint16(payload)), Text: string(payload[2:])}
}
