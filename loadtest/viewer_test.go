package loadtest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
)

func TestJoinGetsTheWelcomeInBothFormats(t *testing.T) {
	for format := range proto.Format(proto.Formats) {
		t.Run(format.String(), func(t *testing.T) {
			g := serve(t, func(g *gateway) {
				g.joined = func(c *socket) {
					if c.token != "a token" || c.query != "after_seq=7" {
						t.Errorf("joined with %q and %q", c.token, c.query)
					}
					c.welcome(&proto.SessionWelcome{Seq: 9})
					c.events(&proto.Event{Event: &proto.Event_ChatMessage{ChatMessage: &proto.ChatMessage{Id: "m1"}}})
				}
				g.answer = func(c *socket, cmd *proto.Command) {
					c.ok(&proto.Command{RequestId: "nobody asked"}, nil)
					c.ok(cmd, &proto.Ok{Value: &proto.Ok_Pong{Pong: &proto.Pong{ServerTimeMs: 5}}})
				}
			})
			var kinds []string
			cfg := g.config()
			cfg.Format, cfg.AfterSeq = format, 7
			cfg.OnEvent = func(ev *proto.Event) { kinds = append(kinds, ev.Kind()) }
			v, err := Join(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if v.Welcome().Seq != 9 {
				t.Errorf("welcome: %v", v.Welcome())
			}
			cmd := ping()
			reply, err := v.Do(t.Context(), cmd)
			if err != nil || reply.GetOk().GetPong().GetServerTimeMs() != 5 || reply.RequestId != cmd.RequestId || cmd.RequestId == "" {
				t.Errorf("reply %v of %q: %v", reply, cmd.RequestId, err)
			}
			v.Close()
			if got := strings.Join(kinds, " "); got != "session_welcome chat_message" {
				t.Errorf("events: %s", got)
			}
			if lost := v.history.lostBy(); len(lost) > 0 {
				t.Errorf("an own goodbye counts as lost: %v", lost)
			}
		})
	}
}

func TestJoinFails(t *testing.T) {
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
		{"refused without a problem", func(g *gateway) {
			g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusBadGateway)
				w.Write([]byte("<h1>nobody\nhome</h1>\n"))
				return true
			}
		}, `502 Bad Gateway: "<h1>nobody\nhome</h1>"`},
		{"other version of the protocol", func(g *gateway) {
			g.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusBadRequest)
				w.Write([]byte(`{"reason":"malformed_frame","detail":"ask for the subprotocol livecart.v9.proto or livecart.v9.json"}`))
				return true
			}
		}, "400 Bad Request: malformed_frame: ask for the subprotocol livecart.v9.proto or livecart.v9.json; this program asked for livecart.v1.proto: is the server of another version?"},
		{"other subprotocol", func(g *gateway) { g.upgrader.Subprotocols = nil }, `the server speaks "", not livecart.v1.proto, which is another version of the protocol`},
		{"closed before the welcome", func(g *gateway) {
			g.joined = func(c *socket) {
				c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4403, "banned"), time.Now().Add(time.Second))
			}
		}, "no welcome: websocket: close 4403: banned"},
		{"unreadable frame", func(g *gateway) {
			g.joined = func(c *socket) { c.WriteMessage(websocket.BinaryMessage, []byte{0xff}) }
		}, "no welcome: "},
		{"no welcome in time", func(g *gateway) { g.joined = func(*socket) {} }, "no welcome: context deadline exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := serve(t, tt.change)
			cfg := g.config()
			if strings.Contains(tt.want, "deadline") {
				cfg.JoinTimeout = 50 * time.Millisecond
			}
			v, err := Join(t.Context(), cfg)
			if err == nil {
				v.Close()
				t.Fatal("joined")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "join "+cfg.URL) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestJoinWithNobodyThere(t *testing.T) {
	g := serve(t, nil)
	cfg := g.config()
	cfg.URL = "ws://127.0.0.1:1/v1/rooms/demo/ws"
	if _, err := Join(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}

// The end of the context must end a handshake that nobody answers and a wait for the welcome.
func TestJoinIsInterrupted(t *testing.T) {
	tests := map[string]func(g *gateway, cancel func()){
		"handshake": func(g *gateway, cancel func()) {
			g.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
				cancel()
				<-r.Context().Done() // the viewer hung up
				return true
			}
		},
		"welcome": func(g *gateway, cancel func()) { g.joined = func(*socket) { cancel() } },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			g := serve(t, func(g *gateway) { change(g, cancel) })
			begin := time.Now()
			if _, err := Join(ctx, g.config()); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if d := time.Since(begin); d > defaultJoinTimeout/2 {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestCutWakesWhoWaits(t *testing.T) {
	asked := make(chan bool)
	g := serve(t, func(g *gateway) { g.answer = func(*socket, *proto.Command) { asked <- true } })
	v, err := Join(t.Context(), g.config())
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan error)
	go func() { // ends with Cut
		_, err := v.Do(t.Context(), ping())
		answer <- err
	}()
	<-asked
	v.Cut()
	if err := <-answer; !errors.Is(err, ErrCut) {
		t.Errorf("waiting: %v", err)
	}
	if _, err := v.Do(t.Context(), ping()); !errors.Is(err, ErrCut) {
		t.Errorf("afterwards: %v", err)
	}
	if err := v.Send(ping()); !errors.Is(err, ErrCut) {
		t.Errorf("sending afterwards: %v", err)
	}
	v.Close() // once more does no harm
	if lost := v.history.lostBy(); len(lost) > 0 {
		t.Errorf("an own cut counts as lost: %v", lost)
	}
}

// A request_id that is sent twice at once gets two replies.
func TestDoTwiceAtOnce(t *testing.T) {
	both := make(chan struct{}, 2)
	g := serve(t, func(g *gateway) {
		g.answer = func(s *socket, cmd *proto.Command) {
			if both <- struct{}{}; len(both) == 2 {
				s.ok(cmd, nil)
				s.ok(cmd, nil)
			}
		}
	})
	v, err := Join(t.Context(), g.config())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	answers := make(chan error)
	for range 2 {
		go func() { // ends with its reply
			cmd := ping()
			cmd.RequestId = "twice"
			_, err := v.Do(t.Context(), cmd)
			answers <- err
		}()
	}
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

func TestDoWithoutReply(t *testing.T) {
	g := serve(t, nil)
	cfg := g.config()
	cfg.ReplyTimeout = 10 * time.Millisecond
	v, err := Join(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if _, err := v.Do(t.Context(), ping()); !errors.Is(err, ErrNoReply) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Do(ctx, ping()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := len(v.waiting); n > 0 {
		t.Errorf("%d replies are still waited for", n)
	}
}

func TestServerEndsTheConnection(t *testing.T) {
	tests := []struct {
		name string
		end  func(*socket)
		code int
		want string
	}{
		{"close frame", func(c *socket) {
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1013, "too slow"), time.Now().Add(time.Second))
		}, 1013, "too slow"},
		{"no word", func(c *socket) { c.Conn.NetConn().Close() }, 1006, "unexpected EOF"},
		{"unreadable frame", func(c *socket) { c.WriteMessage(websocket.BinaryMessage, []byte{0xff}) }, 0, "proto"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := serve(t, func(g *gateway) { g.answer = func(c *socket, _ *proto.Command) { tt.end(c) } })
			v, err := Join(t.Context(), g.config())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Do(t.Context(), ping()); !errors.Is(err, ErrCut) {
				t.Errorf("%v", err)
			}
			<-v.Done()
			v.Close()
			lost := v.history.lostBy()
			if len(lost) != 1 || !strings.Contains(lost[0], tt.want) {
				t.Errorf("lost by %q", lost)
			}
			if want := min(tt.code, 1); v.history.closes[tt.code] != want {
				t.Errorf("closes: %v", v.history.closes)
			}
		})
	}
}
