package proto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Limits of one client frame.
const (
	MaxClientFrame = 16 << 10 // bytes
	MaxCommands    = 32
	MaxRequestID   = 64 // characters
)

// Message is any message of this package, for callers that need not import the protobuf runtime.
type Message = proto.Message

// Format is an encoding of frames.
type Format uint8

// The formats, in the order in which a server prefers them.
const (
	Binary Format = iota
	JSON
	// Formats is how many there are, for arrays with one entry a format.
	Formats = iota
)

// Subprotocols are the WebSocket subprotocols, indexed by Format.
var Subprotocols = [Formats]string{"livecart.v1.proto", "livecart.v1.json"}

// FormatOf returns the format of a WebSocket subprotocol.
func FormatOf(subprotocol string) (Format, bool) {
	for f, s := range Subprotocols {
		if s == subprotocol {
			return Format(f), true
		}
	}
	return 0, false
}

// String returns the subprotocol.
func (f Format) String() string { return Subprotocols[f] }

var (
	jsonOut = protojson.MarshalOptions{UseProtoNames: true}
	jsonIn  = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 32}
	wireIn  = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 32}
)

// DecodeClient reads one client frame and checks its limits. Its errors are Problems: the frame is
// malformed as a whole and none of its commands may run. A command whose kind is unknown here is
// returned with a nil Command field.
func DecodeClient(f Format, data []byte) (*ClientFrame, error) {
	if len(data) > MaxClientFrame {
		return nil, Refuse(ReasonMalformedFrame, "a frame holds at most %d bytes, this one has %d", MaxClientFrame, len(data))
	}
	frame := new(ClientFrame)
	if err := Decode(f, data, frame); err != nil {
		return nil, Refuse(ReasonMalformedFrame, "%v", err)
	}
	if len(frame.Commands) > MaxCommands {
		return nil, Refuse(ReasonMalformedFrame, "a frame holds at most %d commands, this one has %d", MaxCommands, len(frame.Commands))
	}
	for _, c := range frame.Commands {
		if utf8.RuneCountInString(c.GetRequestId()) > MaxRequestID {
			return nil, Refuse(ReasonMalformedFrame, "a request_id holds at most %d characters", MaxRequestID)
		}
	}
	return frame, nil
}

// Decode reads a message, ignoring fields that this version does not know.
func Decode(f Format, data []byte, m Message) error {
	if f == JSON {
		if err := jsonIn.Unmarshal(data, m); err != nil {
			return fmt.Errorf("decode json: %w", err)
		}
		return nil
	}
	if err := wireIn.Unmarshal(data, m); err != nil {
		return fmt.Errorf("decode protobuf: %w", err)
	}
	return nil
}

// Encode returns the bytes of a message. JSON comes without white space, so that equal messages
// have equal bytes; the runtime's own JSON varies its spacing from build to build.
func Encode(f Format, m Message) ([]byte, error) {
	if f != JSON {
		return proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	loose, err := jsonOut.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	tight := bytes.NewBuffer(make([]byte, 0, len(loose)))
	if err := json.Compact(tight, loose); err != nil {
		return nil, fmt.Errorf("encode json: %w", err)
	}
	return tight.Bytes(), nil
}

// Clone returns a deep copy.
func Clone[M Message](m M) M { return proto.CloneOf(m) }

// Equal reports whether two messages hold the same.
func Equal(a, b Message) bool { return proto.Equal(a, b) }

// Size returns the length of the binary encoding in bytes.
func Size(m Message) int { return proto.Size(m) }
