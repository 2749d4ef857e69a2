package loadtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"livecart/proto"
)

// fanoutRoom is a gateway that shows comments to everybody. tamper says what a viewer is sent in place
// of a comment; an event without content stands for the comment twice.
type fanoutRoom struct {
	*gateway
	mu     sync.Mutex
	all    []*socket
	said   int
	tamper func(comment, viewer int) *proto.ServerFrame // nil for what was said
}

func serveFanout(t *testing.T, tamper func(comment, viewer int) *proto.ServerFrame) *fanoutRoom {
	r := &fanoutRoom{tamper: tamper}
	r.gateway = serve(t, func(g *gateway) {
		g.joined = func(c *socket) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, c)
			c.welcome(&proto.SessionWelcome{})
		}
		g.answer = r.say
	})
	return r
}

func (r *fanoutRoom) say(c *socket, cmd *proto.Command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said++
	m := &proto.ChatMessage{Id: fmt.Sprint(r.said), Text: cmd.GetChatSend().GetText()}
	for i, to := range r.all {
		frame := &proto.ServerFrame{Events: []*proto.Event{{Event: &proto.Event_ChatMessage{ChatMessage: m}}}}
		if r.tamper != nil {
			if other := r.tamper(r.said, i); other != nil {
				if len(other.Events) == 1 && other.Events[0].Event == nil {
					to.send(frame)
					other = frame
				}
				frame = other
			}
		}
		to.send(frame)
	}
	c.ok(cmd, &proto.Ok{Value: &proto.Ok_ChatMessage{ChatMessage: m}})
}

// play runs a small fanout: 20 comments to 20 viewers.
func (r *fanoutRoom) play(t *testing.T, change func(*Fanout)) (*Result, error) {
	t.Helper()
	target := r.target()
	for i := range 20 {
		target.ViewerTokens = append(target.ViewerTokens, token(t, jwt.MapClaims{"sub": fmt.Sprintf("v%d", i)}))
	}
	f := Fanout{Target: target, Viewers: 20, Rate: 10, For: 2 * time.Second, MostLate: time.Minute, news: 300 * time.Millisecond}
	if change != nil {
		change(&f)
	}
	return f.Run(t.Context())
}

func (r *Result) check(name string) Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{}
}

const accounted = "comments are delivered or counted as left out"

func TestFanoutAccountsForEveryComment(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tamper func(comment, viewer int) *proto.ServerFrame
		ok     bool
		detail string
	}{
		{"honest", nil, true, "20 comments at 20 viewers"},
		{"one delivery lost", func(comment, viewer int) *proto.ServerFrame {
			if comment == 7 && viewer == 3 {
				return &proto.ServerFrame{}
			}
			return nil
		}, false, "1 deliveries are missing and 0 too many, at 1 viewers"},
		{"one delivery doubled", func(comment, viewer int) *proto.ServerFrame {
			if comment == 7 && viewer == 3 {
				return &proto.ServerFrame{Events: []*proto.Event{{}}}
			}
			return nil
		}, false, "0 deliveries are missing and 1 too many, at 1 viewers"},
		{"sampled for all", func(comment, _ int) *proto.ServerFrame {
			if comment%2 == 0 {
				return &proto.ServerFrame{Sampled: 1}
			}
			return nil
		}, true, "20 comments at 20 viewers"},
		{"skipped for one", func(comment, viewer int) *proto.ServerFrame {
			if comment == 20 && viewer == 0 {
				return &proto.ServerFrame{Skipped: 1}
			}
			return nil
		}, true, "20 comments at 20 viewers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			result, err := serveFanout(t, tt.tamper).play(t, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c := result.check(accounted); c.OK != tt.ok || !strings.HasSuffix(c.Detail, tt.detail) {
				t.Errorf("%+v", c)
			}
			if c := result.check("everybody stays"); !c.OK {
				t.Errorf("%+v", c)
			}
			if got := result.Counts["delivered"] + result.Counts["sampled"] + result.Counts["skipped"]; tt.ok && got != 400 {
				t.Errorf("%d deliveries, sampled and skipped", got)
			}
			if result.Counts["offered.comment"] != 20 || result.Counts["ok.chat_send"] != 20 || result.Counts["bytes_in"] == 0 {
				t.Errorf("%v", result.Counts)
			}
		})
	}
}

// Latency counts from the time at which a comment was due: one that a server holds until three more
// have come is three tenths of a second late.
// A comment that vanishes, and its answer with it, is missing nowhere but among the answers.
func TestFanoutFindsACommentWithoutAnswer(t *testing.T) {
	t.Parallel()
	r := serveFanout(t, nil)
	is := once("chat_send", 7)
	r.answer = func(c *socket, cmd *proto.Command) {
		if !is(cmd) {
			r.say(c, cmd)
		}
	}
	result, err := r.play(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := result.check("every comment has an outcome"); c.OK || c.Detail != "1 of 20 comments have none" || result.Passed {
		t.Errorf("%+v, %s", c, result.Verdict())
	}
	if c := result.check(accounted); c.Skipped == "" {
		t.Errorf("%+v", c)
	}
}

func TestLateFanoutIsInvalid(t *testing.T) {
	t.Parallel()
	_, target := openRoom(t, nil)
	result, err := Fanout{Target: target, Viewers: 5, Rate: 2, For: time.Second, MostLate: time.Nanosecond}.Run(t.Context())
	if err != nil || result.Passed || len(result.Invalid) != 1 || !strings.Contains(result.Invalid[0], "could not keep up") {
		t.Errorf("%+v: %v", result, err)
	}
}

func TestFanoutMeasuresFromTheSchedule(t *testing.T) {
	room := serveFanout(t, nil)
	var mu sync.Mutex
	n, fourth := 0, make(chan struct{})
	room.answer = func(c *socket, cmd *proto.Command) {
		mu.Lock()
		n++
		first := n == 1
		if n == 4 {
			close(fourth)
		}
		mu.Unlock()
		if first {
			<-fourth
		}
		room.say(c, cmd)
	}
	result, err := room.play(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(result.Latency, func(l Latency) bool { return l.Name == "delivery.chat" })
	if l := result.Latency[at]; l.Count != 400 || l.Max < 299 || l.P50 > 299 {
		t.Errorf("%+v", l)
	}
}

func TestFanoutIdle(t *testing.T) {
	result, err := serveFanout(t, nil).play(t, func(f *Fanout) { f.Idle, f.For = true, time.Second })
	if err != nil {
		t.Fatal(err)
	}
	if !result.Passed || result.Scenario != "idle" || result.Counts["offered.comment"] != 0 || result.check(accounted).Skipped == "" {
		t.Errorf("%v %+v", result.Counts, result.Checks)
	}
}

func TestFanoutTellsWhoWasCutOff(t *testing.T) {
	var room *fanoutRoom
	room = serveFanout(t, func(comment, viewer int) *proto.ServerFrame {
		if comment == 20 && viewer == 19 {
			room.all[19].Close()
		}
		return nil
	})
	result, err := room.play(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := result.check("everybody stays"); c.OK || c.Detail != "1 of 20 viewers lost their connection" || result.Passed {
		t.Errorf("%+v", c)
	}
}

func TestFanoutIsInvalidAmongStrangers(t *testing.T) {
	result, err := serveFanout(t, func(comment, viewer int) *proto.ServerFrame {
		if comment == 1 && viewer == 0 {
			return &proto.ServerFrame{Events: []*proto.Event{chatEvent("of somebody else")}}
		}
		return nil
	}).play(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Invalid) == 0 || !strings.Contains(strings.Join(result.Invalid, "\n"), "comments of others came 1 times") {
		t.Errorf("%v", result.Invalid)
	}
}

func TestFanoutJoinsAllOrNone(t *testing.T) {
	room := serveFanout(t, nil)
	var mu sync.Mutex
	n := 0
	room.refuse = func(w http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 20 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n == 20
	}
	_, err := room.play(t, nil)
	if err == nil || !strings.Contains(err.Error(), "joining: 1 of 20 viewers could not join, the first: join ") {
		t.Errorf("%v", err)
	}
}

func TestFanoutInterruptedIsPartial(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	room := serveFanout(t, func(int, int) *proto.ServerFrame { cancel(); return nil })
	target := room.target()
	target.ViewerTokens = []string{token(t, jwt.MapClaims{"sub": "a"}), token(t, jwt.MapClaims{"sub": "b"})}
	result, err := Fanout{Target: target, Viewers: 2, Rate: 1}.Run(ctx)
	if err != nil || result.Partial != "the run was interrupted while sending comments" || len(result.Checks) > 0 || result.Passed {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestFanoutLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Fanout)
		want   string // empty for a run that may be
	}{
		{"as it comes", func(*Fanout) {}, ""},
		{"no viewers", func(f *Fanout) { f.Viewers = -1 }, "1 to 1000000 viewers, not -1"},
		{"most viewers", func(f *Fanout) { f.Viewers = 1_000_000 }, ""},
		{"one more", func(f *Fanout) { f.Viewers = 1_000_001 }, "not 1000001"},
		{"most comments", func(f *Fanout) { f.Rate, f.Viewers = 1000, 1500 }, ""},
		{"one more comment", func(f *Fanout) { f.Rate, f.Viewers = 1001, 9999 }, "1 to 1000 comments a second, not 1001"},
		{"enough posters", func(f *Fanout) { f.Viewers = 75 }, ""},
		{"too few posters", func(f *Fanout) { f.Viewers = 74 }, "50 a second need at least 75 viewers, not 74"},
		{"idle ones post nothing", func(f *Fanout) { f.Viewers, f.Idle = 1, true }, ""},
		{"shortest comment", func(f *Fanout) { f.MessageBytes = 32 }, ""},
		{"too short", func(f *Fanout) { f.MessageBytes = 31 }, "32 to 500 bytes, not 31"},
		{"too long", func(f *Fanout) { f.MessageBytes = 501 }, "not 501"},
		{"fastest joins", func(f *Fanout) { f.JoinRate = 10000 }, ""},
		{"too fast", func(f *Fanout) { f.JoinRate = 10001 }, "1 to 10000 join a second"},
		{"shortest", func(f *Fanout) { f.For = time.Second }, ""},
		{"too brief", func(f *Fanout) { f.For = time.Second - 1 }, "1 s to"},
		{"no gateway", func(f *Fanout) { f.Target.Gateways = nil }, "no gateway is given"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := Fanout{Target: Target{Gateways: []string{"http://127.0.0.1:1"}, Room: "demo"}}
			tt.change(&f)
			_, err := f.complete()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// What makes the client the limit makes the run invalid, at the edge.
func TestFanoutKnowsItsOwnLimit(t *testing.T) {
	r := &fanoutRun{fanoutTally: newFanoutTally("t", 1, NewMeter(time.Now())), lasted: time.Second}
	processors := r.processors()
	r.used.cpu = mostBusy * processors
	if why := r.invalid(); len(why) > 0 {
		t.Errorf("at the limit: %v", why)
	}
	r.used.cpu += 0.001
	if why := r.invalid(); len(why) != 1 || !strings.Contains(why[0], "this program was the limit") {
		t.Errorf("above the limit: %v", why)
	}
}
