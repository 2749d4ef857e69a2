package loadtest

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

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
