package proto_test

import (
	"testing"

	"livecart/proto"
)

func BenchmarkEncode(b *testing.B) {
	frame := goldenServerFrame()
	for format, name := range proto.Subprotocols {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := proto.Encode(proto.Format(format), frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
