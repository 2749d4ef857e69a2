package loadtest

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

// swarms are the implementations, which all pass the same tests.
var swarms = map[string]func(*SwarmConfig){
	"ready":      func(*SwarmConfig) {},
	"goroutines": func(cfg *SwarmConfig) { cfg.Goroutines = true },
}

// seen is what a swarm told about its viewers.
type seen struct {
	Swarm
	t *testing.T

	mu     sync.Mutex
	events map[int][]string
	bytes  map[int]int
	ends   map[int][]error
	news   chan struct{} // closed and replaced with each frame and end
}

// eachSwarm runs a test with every implementation.
func eachSwarm(t *testing.T, cfg SwarmConfig, test func(t *testing.T, s *seen)) {
	for name, change := range swarms {
		t.Run(name, func(t *testing.T) {
			s := &seen{t: t, events: map[int][]string{}, bytes: map[int]int{}, ends: map[int][]error{}, news: make(chan struct{})}
			cfg := cfg
			change(&cfg)
			cfg.OnFrame = func(i int, f *proto.ServerFrame, bytes int) {
				s.note(func() {
					s.bytes[i] += bytes
					for _, ev := range f.Events {
						s.events[i] = append(s.events[i], ev.Kind())
					}
				})
			}
			cfg.OnEnd = func(i int, lost error) { s.note(func() { s.ends[i] = append(s.ends[i], lost) }) }
			swarm, err := NewSwarm(cfg)
			if err != nil {
				t.Fatal(err)
			}
			s.Swarm = swarm
			t.Cleanup(func() {
				if err := swarm.Close(); err != nil {
					t.Error(err)
				}
			})
			test(t, s)
		})
	}
}

func (s *seen) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.news)
	s.news = make(chan struct{})
}

// await waits until ok, which is called under the lock.
func (s *seen) await(what string, ok func() bool) {
	s.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		done, news := ok(), s.news
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-news:
		case <-timeout:
			s.t.Fatalf("%s did not come", what)
		}
	}
}

// join waits for the outcome.
func (s *seen) join(i int, cfg ViewerConfig) (*proto.SessionWelcome, error) {
	type outcome struct {
		welcome *proto.SessionWelcome
		err     error
	}
	ch := make(chan outcome, 2)
	s.Join(i, cfg, func(w *proto.SessionWelcome, err error) { ch <- outcome{w, err} })
	o := <-ch
	if len(ch) > 0 {
		s.t.Error("the outcome of a join was told twice")
	}
	return o.welcome, o.err
}

func (s *seen) mustJoin(i int, cfg ViewerConfig) {
	s.t.Helper()
	if _, err := s.join(i, cfg); err != nil {
		s.t.Fatal(err)
	}
}

// do waits for the outcome of a command.
func (s *seen) do(i int, cmd *proto.Command) (*proto.Reply, error) {
	type outcome struct {
		reply *proto.Reply
		err   error
	}
	ch := make(chan outcome, 1)
	s.Send(i, cmd, func(r *proto.Reply, err error) { ch <- outcome{r, err} })
	o := <-ch
	return o.reply, o.err
}

// end waits for the end of a viewer's connection.
func (s *seen) end(i int) error {
	s.t.Helper()
	s.await("the end", func() bool { return len(s.ends[i]) > 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ends[i]) > 1 {
		s.t.Errorf("the end was told twice: %v", s.ends[i])
	}
	return s.ends[i][0]
}

func chatEvent(id string) *proto.Event {
	return &proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{Id: id}}}
}

func TestSwarmJoinsInBothFormats(t *testing.T) {
	for format := range proto.Format(proto.Formats) {
		t.Run(format.String(), func(t *testing.T) {
			eachSwarm(t, SwarmConfig{Viewers: 3}, func(t *testing.T, s *seen) {
				g := serve(t, func(g *gateway) {
					g.joined = func(c *socket) {
						if c.token != "a token" || c.query != "after_seq=7" || c.format != format {
							t.Errorf("joined with %q, %q, %v", c.token, c.query, c.format)
						}
						c.welcome(&proto.SessionWelcome{Seq: 9})
						c.events(chatEvent("m1"))
					}
					g.answer = func(c *socket, cmd *proto.Command) {
						c.ok(&proto.Command{RequestId: "nobody asked"}, nil)
						c.ok(cmd, &proto.Ok{Value: &proto.Ok_Pong{Pong: &proto.Pong{ServerTimeMs: 5}}})
					}
				})
				cfg := g.config()
				cfg.Format, cfg.AfterSeq = format, 7
				for i := range 3 {
					welcome, err := s.join(i, cfg)
					if err != nil || welcome.Seq != 9 {
						t.Fatalf("%v, %v", welcome, err)
					}
				}
				cmd := ping()
				reply, err := s.do(1, cmd)
				if err != nil || reply.GetOk().GetPong().GetServerTimeMs() != 5 || reply.RequestId != cmd.RequestId || cmd.RequestId == "" {
					t.Errorf("reply %v of %q: %v", reply, cmd.RequestId, err)
				}
				if _, err := s.join(1, cfg); err == nil || !strings.Contains(err.Error(), "viewer 1 is joined already") {
					t.Errorf("joined twice: %v", err)
				}
				s.Leave(1)
				if err := s.end(1); err != nil {
					t.Errorf("an own goodbye is told as lost: %v", err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				if got := strings.Join(s.events[1], " "); got != "session_welcome chat_message" || s.bytes[1] == 0 {
					t.Errorf("events: %s, %d bytes", got, s.bytes[1])
				}
			})
		})
	}
}

func TestSwarmJoinFails(t *testing.T) {
	tests := []struct {
		name   string
		change func(*gateway)
		want   string
	}{
		{"problem", func(g *gateway) {
			g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusUnauthorized)
				w.Write([]byte(`{"reason":"token_expired","detail":"get a new one","status":401}`))
				return true
			}
		}, "401 Unauthorized: token_expired: get a new one"},
		{"other subprotocol", func(g *gateway) { g.upgrader.Subprotocols = nil }, `the server speaks "", not livecart.v1.proto`},
		{"closed before the welcome", func(g *gateway) {
			g.joined = func(c *socket) {
				c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4403, "banned"), time.Now().Add(time.Second))
			}
		}, "no welcome: websocket: close 4403: banned"},
		{"unreadable frame", func(g *gateway) {
			g.joined = func(c *socket) { c.WriteMessage(websocket.BinaryMessage, []byte{0xff}) }
		}, "no welcome: decode protobuf: "},
		{"no welcome in time", func(g *gateway) { g.joined = func(*socket) {} }, "no welcome"},
		{"nobody there", nil, "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
				g := serve(t, tt.change)
				cfg := g.config()
				if tt.change == nil {
					cfg.URL = "ws://127.0.0.1:1/v1/rooms/demo/ws"
				}
				if tt.want == "no welcome" {
					cfg.JoinTimeout = 50 * time.Millisecond
				}
				_, err := s.join(0, cfg)
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "join "+cfg.URL) {
					t.Errorf("%v", err)
				}
				s.mu.Lock()
				ends := len(s.ends)
				s.mu.Unlock()
				if ends > 0 {
					t.Error("a join that failed has an end")
				}
				s.mustJoin(0, serve(t, nil).config()) // the seat is free again
			})
		})
	}
}

func TestSwarmRefusesNumbers(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		for _, i := range []int{-1, 2} {
			if _, err := s.join(i, ViewerConfig{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("numbered 0 to 1, there is no %d", i)) {
				t.Errorf("join: %v", err)
			}
			if _, err := s.do(i, ping()); err == nil || !strings.Contains(err.Error(), "there is no") {
				t.Errorf("send: %v", err)
			}
			s.Cut(i)
			s.Leave(i)
		}
		if _, err := s.do(0, ping()); !errors.Is(err, ErrCut) {
			t.Errorf("sent without a connection: %v", err)
		}
		s.Cut(0)
	})
	if _, err := NewSwarm(SwarmConfig{}); err == nil {
		t.Error("a swarm of nobody")
	}
	if _, err := NewSwarm(SwarmConfig{Viewers: 1, Handshakes: -1}); err == nil {
		t.Error("-1 handshakes")
	}
}

func TestSwarmCloseCodes(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*socket)
		code int
	}{
		{"slow consumer", func(c *socket) {
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4008, "slow_consumer"), time.Now().Add(time.Second))
		}, 4008},
		{"drain", func(c *socket) {
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1012, ""), time.Now().Add(time.Second))
		}, 1012},
		{"no code", func(c *socket) { c.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second)) }, websocket.CloseNoStatusReceived},
		{"no word", func(c *socket) { c.Close() }, websocket.CloseAbnormalClosure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
				g := serve(t, func(g *gateway) { g.answer = func(c *socket, _ *proto.Command) { tt.end(c) } })
				s.mustJoin(0, g.config())
				if _, err := s.do(0, ping()); !errors.Is(err, ErrCut) {
					t.Errorf("the command that was under way: %v", err)
				}
				var closed *websocket.CloseError
				if err := s.end(0); !errors.As(err, &closed) || closed.Code != tt.code {
					t.Errorf("ended with %v, not %d", err, tt.code)
				}
				s.mustJoin(0, g.config())
			})
		})
	}
}

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

func TestSwarmReplies(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		var mu sync.Mutex
		var held []*proto.Command
		g := serve(t, func(g *gateway) {
			g.answer = func(c *socket, cmd *proto.Command) {
				mu.Lock()
				defer mu.Unlock()
				switch held = append(held, cmd); len(held) {
				case 3: // one stays without answer
					c.no(held[2], proto.ReasonSoldOut)
					c.ok(held[0], nil)
				case 4:
					c.ok(cmd, nil)
				}
			}
		})
		cfg := g.config()
		s.mustJoin(0, cfg)
		cfg.ReplyTimeout = 300 * time.Millisecond
		s.mustJoin(1, cfg)
		type outcome struct {
			id    string
			reply *proto.Reply
			err   error
		}
		outcomes := make(chan outcome, 3)
		for range 3 {
			cmd := ping()
			s.Send(1, cmd, func(r *proto.Reply, err error) { outcomes <- outcome{cmd.RequestId, r, err} })
		}
		got := map[string]int{}
		for range 3 {
			switch o := <-outcomes; {
			case errors.Is(o.err, ErrNoReply) && strings.HasPrefix(o.err.Error(), "ping: "):
				got["none"]++
			case o.err != nil:
				t.Error(o.err)
			case o.reply.RequestId != o.id:
				t.Errorf("%q got the reply to %q", o.id, o.reply.RequestId)
			case o.reply.GetError().GetReason() == string(proto.ReasonSoldOut):
				got["refused"]++
			case o.reply.GetOk() != nil:
				got["ok"]++
			}
		}
		if got["none"] != 1 || got["ok"] != 1 || got["refused"] != 1 {
			t.Errorf("%v", got)
		}
		s.Send(0, &proto.Command{Command: ping().Command}, nil)
		s.await("the answer to nobody", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 4 })
	})
}

// Two commands of one request_id that are under way together each get a reply.
func TestSwarmSameRequestTwice(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 1}, func(t *testing.T, s *seen) {
		g := serve(t, func(g *gateway) { g.answer = func(c *socket, cmd *proto.Command) { c.ok(cmd, nil) } })
		s.mustJoin(0, g.config())
		replies := make(chan error, 2)
		for range 2 {
			cmd := ping()
			cmd.RequestId = "same"
			s.Send(0, cmd, func(_ *proto.Reply, err error) { replies <- err })
		}
		for range 2 {
			if err := <-replies; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestSwarmCut(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		asked, left := make(chan struct{}, 1), make(chan struct{}, 2)
		g := serve(t, func(g *gateway) {
			g.answer = func(*socket, *proto.Command) { asked <- struct{}{} }
			g.left = func(*socket) { left <- struct{}{} }
		})
		s.mustJoin(0, g.config())
		outcome := make(chan error, 1)
		s.Send(0, ping(), func(_ *proto.Reply, err error) { outcome <- err })
		<-asked
		s.Cut(0)
		if err := <-outcome; !errors.Is(err, ErrCut) {
			t.Errorf("the command under way: %v", err)
		}
		if err := s.end(0); err != nil {
			t.Errorf("an own cut is told as lost: %v", err)
		}
		<-left
		s.mustJoin(0, g.config())
	})
}

// Whoever is cut or caught by the end of the swarm while joining is told, at each stage.
func TestSwarmCutWhileJoining(t *testing.T) {
	for _, how := range []string{"cut", "close"} {
		for _, stage := range []string{"handshake", "welcome", "queue"} {
			t.Run(how+" before the "+stage, func(t *testing.T) {
				eachSwarm(t, SwarmConfig{Viewers: 2, Handshakes: 1}, func(t *testing.T, s *seen) {
					entered, release := make(chan struct{}, 2), make(chan struct{})
					g := serve(t, func(g *gateway) {
						g.joined = func(*socket) { entered <- struct{}{} }
						if stage != "welcome" {
							g.refuse = func(http.ResponseWriter, *http.Request) bool {
								entered <- struct{}{}
								<-release
								return true
							}
						}
					})
					defer close(release)
					outcomes := make(chan error, 2)
					join := func(i int) {
						s.Join(i, g.config(), func(_ *proto.SessionWelcome, err error) { outcomes <- err })
					}
					join(0)
					<-entered
					i, want := 0, 1
					if stage == "queue" {
						join(1)
						i = 1
					}
					if how == "cut" {
						s.Cut(i)
					} else {
						if stage == "queue" {
							want = 2
						}
						s.Close()
					}
					for range want {
						if err := <-outcomes; !errors.Is(err, ErrCut) {
							t.Errorf("joining: %v", err)
						}
					}
				})
			})
		}
	}
}

func TestSwarmClosed(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		g := serve(t, nil)
		s.mustJoin(0, g.config())
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.end(0); err != nil {
			t.Errorf("lost: %v", err)
		}
		if _, err := s.join(1, g.config()); !errors.Is(err, ErrCut) {
			t.Errorf("join: %v", err)
		}
		if _, err := s.do(0, ping()); !errors.Is(err, ErrCut) {
			t.Errorf("send: %v", err)
		}
		s.Cut(0)
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

// A server that does not read must stop neither the caller nor other viewers; what was sent arrives
// when it reads again.
func TestSwarmSlowServer(t *testing.T) {
	eachSwarm(t, SwarmConfig{Viewers: 2}, func(t *testing.T, s *seen) {
		release := make(chan struct{})
		g := serve(t, func(g *gateway) {
			g.answer = func(c *socket, cmd *proto.Command) {
				if cmd.GetChatSend() != nil {
					<-release
				}
				c.ok(cmd, nil)
			}
		})
		for i := range 2 {
			s.mustJoin(i, g.config())
		}
		const n = 1500 // of 12 kB: more than two socket buffers and what may wait
		outcomes := make(chan error, n)
		for range n {
			s.Send(0, &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: strings.Repeat("a", 12000)}}},
				func(_ *proto.Reply, err error) { outcomes <- err })
		}
		if _, err := s.do(1, ping()); err != nil {
			t.Errorf("another viewer: %v", err)
		}
		close(release)
		answered, full := 0, 0
		for range n {
			switch err := <-outcomes; {
			case err == nil:
				answered++
			case errors.Is(err, ErrFull):
				full++
			default:
				t.Fatal(err)
			}
		}
		t.Logf("%d answered, %d not sent", answered, full)
		if answered == 0 {
			t.Error("nothing was answered")
		}
		if _, err := s.do(0, ping()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A callback may call the swarm.
func TestSwarmRejoinsFromItsCallback(t *testing.T) {
	for name, change := range swarms {
		t.Run(name, func(t *testing.T) {
			g := serve(t, func(g *gateway) { g.answer = func(c *socket, _ *proto.Command) { c.Close() } })
			var s Swarm
			again := make(chan error, 1)
			cfg := SwarmConfig{Viewers: 1, OnEnd: func(i int, lost error) {
				if lost != nil {
					s.Join(i, g.config(), func(_ *proto.SessionWelcome, err error) { again <- err })
				}
			}}
			change(&cfg)
			s, err := NewSwarm(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			s.Join(0, g.config(), func(_ *proto.SessionWelcome, err error) { s.Send(0, ping(), nil) })
			if err := <-again; err != nil {
				t.Error(err)
			}
		})
	}
}

// Thousands join, hear and leave, never more than the handshakes allowed at once.
func TestSwarmOfThousands(t *testing.T) {
	const n = 2000
	eachSwarm(t, SwarmConfig{Viewers: n, Handshakes: 8}, func(t *testing.T, s *seen) {
		if err := spare(2*n + 100); err != nil {
			t.Skip(err)
		}
		var mu sync.Mutex
		under, most := 0, 0
		full := make(chan struct{}) // closed when as many as may be are under way, who wait for that
		g := serve(t, func(g *gateway) {
			g.refuse = func(http.ResponseWriter, *http.Request) bool {
				mu.Lock()
				under++
				if under == 8 && most < 8 {
					close(full)
				}
				most = max(most, under)
				mu.Unlock()
				<-full
				mu.Lock()
				defer mu.Unlock()
				under-- // before the answer, after which the next may begin
				return false
			}
			g.joined = func(c *socket) {
				c.welcome(&proto.SessionWelcome{})
				c.events(chatEvent("to everybody"))
			}
		})
		before := runtime.NumGoroutine()
		outcomes := make(chan error, n)
		for i := range n {
			cfg := g.config()
			cfg.Format = proto.Format(i % proto.Formats)
			s.Join(i, cfg, func(_ *proto.SessionWelcome, err error) { outcomes <- err })
		}
		for range n {
			if err := <-outcomes; err != nil {
				t.Fatal(err)
			}
		}
		s.await("the event", func() bool {
			for i := range n {
				if len(s.events[i]) != 2 {
					return false
				}
			}
			return true
		})
		t.Logf("%d goroutines before, %d with everybody; handshakes up to %d", before, runtime.NumGoroutine(), most)
		if most != 8 {
			t.Errorf("%d handshakes were under way, not 8", most)
		}
		for i := range n {
			if i%2 == 0 {
				s.Leave(i)
			} else {
				s.Cut(i)
			}
		}
		s.await("all ends", func() bool { return len(s.ends) == n })
	})
}
