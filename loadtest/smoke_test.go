package loadtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

// small is a short smoke.
func small(target Target) Smoke {
	return Smoke{
		Target: target, Viewers: 20, CommentRate: 20, TalkSeconds: 1, Pieces: 8, AttemptsPerPiece: 4,
		pace: pace{quiet: 50 * time.Millisecond, rush: 100 * time.Millisecond, news: 5 * time.Second},
	}
}

func TestSmokePassesInAnHonestRoom(t *testing.T) {
	t.Parallel()
	r, target := openRoom(t, nil)
	s := small(target)
	var history bytes.Buffer
	s.Recorder = NewRecorder(&history)
	var phases []string // of one goroutine
	most := int64(0)
	s.Progress = func(p Progress) {
		most = max(most, p.Viewers)
		if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
	}
	result, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if most != int64(s.Viewers) {
		t.Errorf("up to %d viewers were told, %d joined", most, s.Viewers)
	}
	var skipped []string
	for _, c := range result.Checks {
		if c.Skipped != "" {
			skipped = append(skipped, c.Name)
		} else if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	if !result.Passed || strings.Join(skipped, " ") != "orders_recorded_once tips_recorded_once audit" {
		t.Errorf("passed %v, skipped %v", result.Passed, skipped)
	}
	figures := map[string]int64{}
	for _, f := range result.Figures {
		figures[f.Name] = f.Value
	}
	if figures["comments"] != 20 || figures["gifts"] != 2*giftsEach || figures["attempts"] != 32 || figures["paid"] != 4 || figures["reconnects"] != giftsEach {
		t.Errorf("figures %v", figures)
	}
	if !slices.Contains(phases, "talking") || !slices.Contains(phases, "selling") {
		t.Errorf("phases %q", phases)
	}
	checkRecorded(t, s.Recorder, &history)
	r.nobodyIsLeft(t)
}

// checkRecorded holds that every sending of the smoke's money and stock is in the history: 2 gifters'
// gifts, of each the second, fourth and sixth sent once more after a cut and the third and sixth asked
// again, and 32 attempts of which every fifth was asked twice.
func checkRecorded(t *testing.T, r *Recorder, history *bytes.Buffer) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := ReadRecords(history)
	if err != nil {
		t.Fatal(err)
	}
	answered, unanswered := map[string]int{}, map[string]int{}
	keys := map[recordKey]bool{}
	for _, record := range records {
		keys[record.id()] = true
		if record.Outcome == "" {
			unanswered[record.Kind]++
		} else {
			answered[record.Kind]++
		}
	}
	if answered[KindGiftSend] != 2*(giftsEach+2) || unanswered[KindGiftSend] < 2*3 || answered[KindFlashBuy] != 32+7 || len(keys) != 2*giftsEach+32 {
		t.Errorf("answered %v, unanswered %v, %d keys", answered, unanswered, len(keys))
	}
}

// nobodyIsLeft holds that all connections end.
func (r *room) nobodyIsLeft(t *testing.T) {
	t.Helper()
	if !until(context.Background(), 10*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.sockets) == 0
	}) {
		t.Error("a connection is left")
	}
}

// Wherever the run is when ctx ends, it returns at once, with a result that is marked as partial
// and with nothing open.
func TestSmokeIsInterrupted(t *testing.T) {
	tests := []struct {
		phase   string
		command string // or
		path    string
	}{
		{phase: "topping up", path: "/v1/topups"},
		{phase: "topping up", path: "/pay/beans"},
		{phase: "talking", command: "chat_send"},
		{phase: "talking", command: "gift_send"},
		{phase: "selling", command: "flash_start"},
		{phase: "selling", command: "flash_buy"},
		{phase: "paying", path: "/pay/order"},
		{phase: "stopping the sale", command: "flash_stop"},
		{phase: "checking", command: "order_get"},
		{phase: "checking", command: "wallet_get"},
	}
	for _, tt := range tests {
		t.Run(strings.Trim(strings.ReplaceAll(tt.command+tt.path, "/", "_"), "_"), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			var once sync.Once
			var interrupted time.Time
			interrupt := func() { once.Do(func() { interrupted = time.Now(); cancel() }) }
			r, target := openRoom(t, func(r *room) {
				r.onCommand = func(cmd *proto.Command) bool {
					if cmd.Kind() == tt.command {
						interrupt()
						return true
					}
					return false
				}
				r.onRequest = func(path string) bool {
					if tt.path != "" && strings.HasPrefix(path, tt.path) {
						interrupt()
						return true
					}
					return false
				}
			})
			result, err := small(target).Run(ctx)
			if d := time.Since(interrupted); d > 5*time.Second {
				t.Errorf("ended %v after the interrupt", d)
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := "the run was interrupted while " + tt.phase; result.Partial != want || result.Passed || len(result.Checks) > 0 {
				t.Errorf("partial %q, want %q: passed %v, checks %v", result.Partial, want, result.Passed, result.Checks)
			}
			if result.Counts["delivered"] == 0 || len(result.Latency) == 0 || result.Verdict() != "INTERRUPTED" {
				t.Errorf("%s: %v, %v", result.Verdict(), result.Counts, result.Latency)
			}
			r.nobodyIsLeft(t)
		})
	}
}

func TestSmokeIsInterruptedWhileJoining(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	g := serve(t, func(g *gateway) { g.joined = func(*socket) { cancel() } })
	target := g.target()
	target.HostToken, target.JWTKeyFile = "host", keyFile(t, testKey)
	if result, err := small(target).Run(ctx); err != nil || result.Partial != "the run was interrupted while joining" {
		t.Errorf("%v, %v", result, err)
	}
}

// A run that cannot be played to its end is told as far as it came, and is no verdict.
func TestSmokeBreaksOff(t *testing.T) {
	t.Parallel()
	r, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.GetChatSend() != nil {
				cmd.Command = &proto.Command_Ping{Ping: &proto.Ping{}} // whose ok has no comment
			}
			return false
		}
	})
	result, err := small(target).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Verdict() != "INVALID" || result.Passed || len(result.Invalid) != 1 || !strings.HasPrefix(result.Invalid[0], "talking: comment ") {
		t.Errorf("%s, passed %v: %q", result.Verdict(), result.Passed, result.Invalid)
	}
	if len(result.Checks) > 0 || result.Counts["delivered"] == 0 || len(result.Figures) == 0 {
		t.Errorf("checks %v, counts %v, figures %v", result.Checks, result.Counts, result.Figures)
	}
	r.nobodyIsLeft(t)
}

// What a run measured is in its result, and its limits are judged.
func TestSmokeMeasures(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64
	admin := adminOf(t, 1, &looks)
	_, target := openRoom(t, nil)
	target.Servers.MetricsURLs = []string{admin.URL}
	s := small(target)
	for _, text := range []string{"count(delivery.chat)>0", "p99(reply.chat_send)<20s", "count(ok.gift_send)>0", "gauge(viewers)==20", "gauge(server.connections)==7", "p99(join)<1us"} {
		limit, err := ParseThreshold(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Thresholds = append(s.Thresholds, limit)
	}
	result, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range result.Thresholds {
		if got.OK != (i < len(s.Thresholds)-1) {
			t.Errorf("%+v", got)
		}
	}
	if result.Verdict() != "FAILED" || result.Environment.Go == "" || result.Begin.IsZero() {
		t.Errorf("%s: %+v", result.Verdict(), result.Environment)
	}
	g := result.Series.Gauges["viewers"]
	if sent, ok := result.Counts["sent.flash_buy"], result.Counts["ok.flash_buy"]; sent < ok || ok == 0 || result.Counts["reconnects"] != giftsEach || len(g.Values) == 0 {
		t.Errorf("counts %v, viewers %v", result.Counts, g)
	}
}

// A server that breaks one promise for one viewer makes a result that has not passed.
func TestSmokeTurnsRed(t *testing.T) {
	tests := map[string]struct {
		change func(*room)
		check  string
	}{
		"forgets orders": {func(r *room) {
			r.onCommand = func(cmd *proto.Command) bool {
				if x := cmd.GetOrderGet(); x != nil {
					x.OfRequestId += "?"
				}
				return false
			}
		}, "orders_found_by_key"},
		"books a gift each time": {func(r *room) {
			r.onCommand = func(cmd *proto.Command) bool {
				if cmd.GetGiftSend() != nil {
					r.mu.Lock()
					defer r.mu.Unlock()
					clear(r.replies)
				}
				return false
			}
		}, "one_key_one_outcome"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, target := openRoom(t, tt.change)
			s := small(target)
			s.pace.news = 300 * time.Millisecond // some of it never comes
			result, err := s.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(result.Checks, func(c Check) bool { return c.Name == tt.check })
			if result.Passed || i < 0 || result.Checks[i].OK {
				t.Errorf("passed %v: %+v", result.Passed, result.Checks)
			}
		})
	}
}

func TestSmokeRefusesWhatMakesNoRun(t *testing.T) {
	good := Target{Gateways: []string{"http://127.0.0.1:1"}, Room: "demo", HostToken: "h"}
	for name, tt := range map[string]struct {
		change func(*Smoke)
		want   string
	}{
		"no gateway":         {func(s *Smoke) { s.Target.Gateways = nil }, "no gateway is given"},
		"no host":            {func(s *Smoke) { s.Target.HostToken = "" }, "needs a host's token"},
		"too few viewers":    {func(s *Smoke) { s.Viewers = 19 }, "at least 20 viewers, not 19"},
		"negative viewers":   {func(s *Smoke) { s.Viewers = -1 }, "at least 20 viewers"},
		"too many comments":  {func(s *Smoke) { s.CommentRate = 1001 }, "1 to 1000 a second, not 1001"},
		"negative comments":  {func(s *Smoke) { s.CommentRate = -1 }, "1 to 1000 a second"},
		"negative talk":      {func(s *Smoke) { s.TalkSeconds = -1 }, "at least 1 second"},
		"too many pieces":    {func(s *Smoke) { s.Viewers = 20; s.Pieces = 21 }, "20 viewers can buy 1 to 20, not 21"},
		"negative pieces":    {func(s *Smoke) { s.Pieces = -1 }, "can buy 1 to 200, not -1"},
		"negative attempts":  {func(s *Smoke) { s.AttemptsPerPiece = -1 }, "at least 1 attempt"},
		"malformed database": {func(s *Smoke) { s.Target.DatabaseURL = "postgres://u:p@[::1/x" }, "database: "},
		"database gone":      {func(s *Smoke) { s.Target.DatabaseURL = "postgres://u:secret@127.0.0.1:1/x" }, "database: "},
		"gateway gone":       {func(*Smoke) {}, "joining: join ws://127.0.0.1:1/v1/rooms/demo/ws: dial tcp"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Smoke{Target: good}
			tt.change(&s)
			result, err := s.Run(t.Context())
			if result != nil || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, %v", result, err)
			}
		})
	}
	s, err := Smoke{Target: good}.complete()
	if got := fmt.Sprint(s.Viewers, s.CommentRate, s.TalkSeconds, s.Pieces, s.AttemptsPerPiece); err != nil || got != "200 40 6 50 10" {
		t.Errorf("defaults %s: %v", got, err)
	}
}

func TestSmokeNeedsALiveRoomOfItsOwn(t *testing.T) {
	for name, tt := range map[string]struct {
		joined func(*socket)
		want   string
	}{
		"not live": {func(c *socket) {
			c.welcome(&proto.SessionWelcome{Room: &proto.Room{Phase: proto.RoomPhase_ROOM_PHASE_PAUSED}})
		}, "the room is ROOM_PHASE_PAUSED, not live"},
		"others write": {func(c *socket) {
			c.welcome(&proto.SessionWelcome{Room: &proto.Room{Phase: proto.RoomPhase_ROOM_PHASE_LIVE}})
			c.events(comment("of somebody"))
		}, "1 comments of others came"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := serve(t, func(g *gateway) { g.joined = tt.joined }).target()
			target.HostToken = "host"
			if _, err := small(target).Run(t.Context()); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}
