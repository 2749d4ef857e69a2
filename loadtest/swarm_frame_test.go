package loadtest

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

func TestSwarmAnswersPings(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
		pongs := make(chan string, 1)
		g := serve(t, func(g *gateway) {
			g.joined = func(c *socket) {
				c.SetPongHandler(func(text string) error { pongs <- text; return nil })
				c.welcome(&proto.SessionWelcome{})
				c.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(time.Second))
			}
		})
		s.mustJoin(0, g.config())
		if got := <-pongs; got != "are you there?" {
			t.Errorf("pong: %q", got)
		}
	})
}

// raw writes bytes to the connection as they are, a piece at a time.
func (c *socket) raw(pieces ...[]byte) {
	for _, p := range pieces {
		c.NetConn().Write(p)
	}
}

// serverFrame returns the bytes of a frame.
func serverFrame(head byte, payload []byte) []byte {
	if len(payload) > 125 {
		return append([]byte{head, 126, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	}
	return append([]byte{head, byte(len(payload))}, payload...)
}

// Frames, a fragmented message with a ping in its middle among them, arrive cut at every byte.
func TestSwarmFramesInPieces(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
		data, err := proto.Encode(proto.Binary, &proto.ServerFrame{Events: []*proto.Event{chatEvent(strings.Repeat("x", 130))}})
		if err != nil {
			t.Fatal(err)
		}
		stream := serverFrame(0x82, data)
		stream = append(stream, serverFrame(0x02, data[:7])...)
		stream = append(stream, serverFrame(0x89, []byte("ping"))...)
		stream = append(stream, serverFrame(0x00, nil)...)
		stream = append(stream, serverFrame(0x80, data[7:])...)
		g := serve(t, func(g *gateway) {
			g.joined = func(c *socket) {
				c.welcome(&proto.SessionWelcome{})
				for i := range stream {
					c.raw(stream[:i], stream[i:])
				}
				for i := range stream {
					c.raw(stream[i : i+1])
				}
			}
		})
		s.mustJoin(0, g.config())
		s.await("every message", func() bool { return len(s.events[0]) == 1+2*(len(stream)+1) || len(s.ends[0]) > 0 })
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.ends[0]) > 0 {
			t.Errorf("ended: %v", s.ends[0])
		}
		for _, kind := range s.events[0][1:] {
			if kind != "chat_message" {
				t.Fatalf("a piece became %s", kind)
			}
		}
	})
}

// What is against the protocol ends the connection, with an error that does not look like the server's goodbye.
func TestSwarmRefusesBrokenFrames(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
		g := serve(t, func(g *gateway) {
			g.answer = func(c *socket, _ *proto.Command) { c.raw([]byte{0x82, 0x80, 1, 2, 3, 4}) }
		})
		s.mustJoin(0, g.config())
		s.Send(0, ping(), nil)
		if err := s.end(0); err == nil || strings.Contains(err.Error(), "EOF") {
			t.Errorf("%v", err)
		}
	})
}
