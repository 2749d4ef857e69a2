package loadtest

import (
	"bytes"
	"hash/maphash"

	"livecart/proto"
)

// frameCacheSlots is how many frames a cache holds: those of half a minute of a busy room in both
// formats, for viewers of a gateway that falls behind are that far apart.
const frameCacheSlots = 256

// frameCache decodes frames. A gateway sends the same bytes to all viewers of a room; those who get
// them shortly after the first one share its decoded frame. The zero value is not ready; not safe
// for concurrent use.
type frameCache struct {
	seed  maphash.Seed
	slots [frameCacheSlots]cachedFrame
}

type cachedFrame struct {
	format proto.Format
	data   []byte
	frame  *proto.ServerFrame // nil for an empty slot
}

func newFrameCache() *frameCache { return &frameCache{seed: maphash.MakeSeed()} }

// decode returns the frame of data, which it does not keep. The frame must not be changed.
func (c *frameCache) decode(format proto.Format, data []byte) (*proto.ServerFrame, error) {
	slot := &c.slots[(maphash.Bytes(c.seed, data)+uint64(format))%frameCacheSlots]
	if slot.frame != nil && slot.format == format && bytes.Equal(slot.data, data) {
		return slot.frame, nil
	}
	frame := new(proto.ServerFrame)
	if err := proto.Decode(format, data, frame); err != nil {
		return nil, err
	}
	*slot = cachedFrame{format, bytes.Clone(data), frame}
	return frame, nil
}
