package session

import (
	"encoding/binary"
	"errors"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// maxFragments bounds the frames of a message whose last one is still to come, their headers included:
// frames that carry nothing cost the client six bytes each.
const maxFragments = 2 * proto.MaxClientFrame

// turnBytes is how much is read of one client before the others have their turn, excessBytes the same of
// one that has just exceeded its pace: a few dozen of the smallest messages, each of which is answered.
const (
	turnBytes   = 4 << 10
	excessBytes = 512
)

// intakeBuffer is what one reading needs: what may be held, and what is read beside it.
const intakeBuffer = maxFragments + proto.MaxClientFrame + maxHeader + turnBytes

// maxControls is how many control frames of a client are taken from one reading. Each that stands in the
// middle of a message costs a move of what the message has so far.
const maxControls = 64

// maxHeader is the longest header that a client's frame has; leastHeader tells whether gorilla refuses it.
const (
	maxHeader   = 14
	leastHeader = 2
)

// An empty message of a client. It follows a control frame into gorilla, which would wait for a
// message otherwise, and any error of a read is for ever in gorilla, "would block" as well.
var emptyMessage = []byte{0x80 | websocket.BinaryMessage, 0x80, 0, 0, 0, 0}

// intake cuts what one client sends into what gorilla can read to the end: whole messages, and
// control frames as soon as they are there. Everything that is against the protocol goes to gorilla
// at once, for it to say so. Not safe for concurrent use.
type intake struct {
	// Frames of a message whose end is missing, from rest on the beginning of the next one.
	held []byte
	rest int
	size int // bytes of the message so far
}

// fill copies what is held to the beginning of buf, and returns how much that is.
func (in *intake) fill(buf []byte) int { return copy(buf, in.held) }

// take goes through data, which begins with what was held, has r read it and hands each message to
// message. What is incomplete is held. An error ends the connection, and r as well; gorilla has
// answered with a close frame where one is due.
func (in *intake) take(r *frameReader, data []byte, message func(kind int, data []byte)) error {
	begin, at, controls := 0, in.rest, 0
	for {
		h, ok := cutHeader(data[at:], at > begin)
		if !ok {
			break
		}
		end := at + h.size + h.length
		switch {
		case h.bad:
			// Behind the frames of its message, without which gorilla could not tell what is out of sequence.
			_, _, err := r.feed(data[begin : at+leastHeader])
			return err
		case h.length > proto.MaxClientFrame, !h.control && in.size+h.length > proto.MaxClientFrame:
			// The header is enough to be refused by.
			_, _, err := r.feed(data[begin : at+h.size])
			return err
		case end > len(data):
			ok = false
		case h.control:
			if controls++; controls > maxControls {
				return errManyControls
			}
			if _, _, err := r.feed(append(data[at:end:end], emptyMessage...)); err != nil {
				return err
			}
			// Cut it out of the message around it.
			copy(data[begin+end-at:], data[begin:at])
			begin, at = begin+end-at, end
		case h.last:
			kind, payload, err := r.feed(data[begin:end])
			if err != nil {
				return err
			}
			message(kind, payload)
			begin, at, in.size = end, end, 0
		default:
			at = end
			in.size += h.length
		}
		if !ok {
			break
		}
	}
	if at-begin > maxFragments {
		return errManyFragments
	}
	in.hold(data[begin:], at-begin)
	return nil
}

// errManyFragments says that a message comes in more pieces than it has bytes.
var errManyFragments = errors.New("session: a message of too many fragments")

// errManyControls says that a client sends next to nothing but control frames.
var errManyControls = errors.New("session: too many control frames")

// keepHeld is how large a buffer is kept whatever is in it.
const keepHeld = 256

// hold keeps what is incomplete. A buffer that was needed for more than twice as much is let go, so that
// what is held says what it takes, and nothing is kept while nothing is held.
func (in *intake) hold(data []byte, rest int) {
	in.rest = rest
	if size := cap(in.held); len(data) == 0 || size > keepHeld && size > 2*len(data) {
		in.held = nil
	}
	in.held = append(in.held[:0], data...)
}

// header is the beginning of a client's frame.
type header struct {
	size, length  int
	control, last bool
	// What gorilla refuses for its first two bytes.
	bad bool
}

// cutHeader reads a header; false where it is incomplete. A length that does not fit is a large one.
// inside tells whether a message has begun and not ended.
func cutHeader(data []byte, inside bool) (h header, ok bool) {
	if len(data) < leastHeader {
		return header{}, false
	}
	const (
		final, reserved, masked = 0x80, 0x70, 0x80
		longestControl          = 125
		continuation            = 0
	)
	op := int(data[0] & 0xf)
	h.control, h.last = op >= websocket.CloseMessage, data[0]&final != 0
	h.length = int(data[1] &^ masked)
	h.bad = data[0]&reserved != 0 || data[1]&masked == 0 ||
		op > websocket.BinaryMessage && op < websocket.CloseMessage || op > websocket.PongMessage ||
		h.control && (!h.last || h.length > longestControl) ||
		!h.control && inside != (op == continuation)
	if h.bad {
		return h, true
	}
	extended := 0
	switch h.length {
	case 126:
		extended = 2
	case 127:
		extended = 8
	}
	h.size = 2 + extended + 4
	if len(data) < h.size {
		return header{}, false
	}
	switch extended {
	case 2:
		h.length = int(binary.BigEndian.Uint16(data[2:]))
	case 8:
		h.length = int(min(binary.BigEndian.Uint64(data[2:]), 1<<30))
	}
	return h, true
}
