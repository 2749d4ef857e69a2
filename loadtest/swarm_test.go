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
