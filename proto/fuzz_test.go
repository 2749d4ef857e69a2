package proto_test

import (
	"testing"

	"livecart/proto"
)

// FuzzDecodeClient holds that no input panics, that limits are kept, and that what was read can be
// written and read again in both formats.
func FuzzDecodeClient(f *testing.F) {
	for format := range proto.Formats {
		data, err := proto.Encode(proto.Format(format), goldenClientFrame())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(format), data)
	}
	f.Add(uint8(proto.JSON), []byte(`{"commands":[{"request_id":"a","unknown":{}}]}`))
	f.Add(uint8(proto.Binary), []byte{0x0a, 0x02, 0xf2, 0x03})
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		frame, err := proto.DecodeClient(proto.Format(format%proto.Formats), data)
		if err != nil {
			return
		}
		if len(data) > proto.MaxClientFrame || len(frame.Commands) > proto.MaxCommands {
			t.Fatalf("limits not kept: %d bytes, %d commands", len(data), len(frame.Commands))
		}
		for format := range proto.Formats {
			again, err := proto.Encode(proto.Format(format), frame)
			if err != nil {
				t.Fatal(err)
			}
			back := new(proto.ClientFrame)
			if err := proto.Decode(proto.Format(format), again, back); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(frame, back) {
				t.Fatalf("%v became %v", frame, back)
			}
		}
	})
}
