package loadtest

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"livecart/proto"
)

// evening is a second and a half of a small room in which everything happens.
func evening(t *testing.T, target Target) Play {
	t.Helper()
	s := stages(Stage{500 * time.Millisecond, 1}, Stage{time.Second, 1})
	s.Stay, s.Returns, s.Comments, s.Likes, s.Gifts, s.Givers = 500*time.Millisecond, 0.5, 500, 500, 300, 0.1
	s.Host = Host{Pushes: 600, Pins: 400, Settings: 300}
	return Play{
		Plan: plan(t, s, 40), Seed: 3, Target: target, MostLate: time.Minute,
		pace: pace{quiet: 50 * time.Millisecond, news: 5 * time.Second, spare: 100},
	}
}

func TestPlayPassesInAnHonestRoom(t *testing.T) {
	t.Parallel()
	r, target := openRoom(t, nil)
	p := evening(t, target)
	var history bytes.Buffer
	p.Recorder = NewRecorder(&history)
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range result.Checks {
		if c.Skipped == "" && !c.OK || c.Skipped != "" && c.Skipped != "no database is given" {
			t.Errorf("%+v", c)
		}
	}
	if !result.Passed || result.Scenario != "test" || result.Viewers != 40 {
		t.Errorf("%s of %s, %d viewers, invalid: %v", result.Verdict(), result.Scenario, result.Viewers, result.Invalid)
	}
	// What was offered is the schedule, whatever the server did. Who comes and goes says what falls into the stay,
	// which is short where the way in takes long; the host pins what is new.
	want, least := [kinds]int64{}, [kinds]int64{KindPin: 1}
	for a := range NewSchedule(p.Plan, p.Seed).All() {
		want[a.Kind]++
		visits := a.Kind == KindComment || a.Kind == KindLike
		if a.Kind != KindPin && (!visits || a.Viewer < uint32(p.Plan.Regulars)) {
			least[a.Kind]++
		}
	}
	for kind, n := range want {
		name := Kind(kind).String()
		if Kind(kind) == KindAttempt || Kind(kind) == KindBotAttempt {
			continue
		}
		if sent := result.Counts["sent."+name]; n == 0 || result.Counts["offered."+name] != n || sent > n || sent < least[kind] {
			t.Errorf("%s: %d in the schedule, %d offered, %d sent, of which %d must be", name, n, result.Counts["offered."+name], sent, least[kind])
		}
	}
	if said := result.Counts["sent.comment"] + result.Counts["sent.like"]; said == least[KindComment]+least[KindLike] {
		t.Error("nobody who came and went said anything")
	}
	if n := result.Counts["ok.gift_send"]; n != want[KindGift] {
		t.Errorf("%d of %d gifts", n, want[KindGift])
	}
	if err := p.Recorder.Close(); err != nil {
		t.Fatal(err)
	}
	if records, err := ReadRecords(&history); err != nil || int64(len(records)) != want[KindGift] {
		t.Errorf("%d of %d gifts are recorded: %v", len(records), want[KindGift], err)
	}
	for _, name := range []string{"join", "delivery.chat", "delivery.gift", "delivery.like", "delivery.numbered", "reply.chat_send", "reply.like_send", "reply.gift_send", "lateness"} {
		found := false
		for _, l := range result.Latency {
			found = found || l.Name == name && l.Count > 0
		}
		if !found {
			t.Errorf("%s was not measured", name)
		}
	}
	r.nobodyIsLeft(t)
}

// Givers who lose connections and ask again send every gift once.
func TestPlayLosesReplies(t *testing.T) {
	t.Parallel()
	_, target := openRoom(t, nil)
	p := evening(t, target)
	p.Plan.Scenario.Repeats, p.Plan.Scenario.LostReplies = 0.25, 0.5
	again, err := p.Plan.Scenario.Plan(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.Plan = again
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !result.Passed {
		t.Errorf("%s: %+v, %v", result.Verdict(), result.Checks, result.Invalid)
	}
	gifts, tips := result.Counts["offered.gift"], int64(0)
	for _, f := range result.Figures {
		if f.Name == "gifts" {
			tips = f.Value
		}
	}
	if gifts == 0 || tips != gifts || result.Counts["reconnects"] < 1 || result.Counts["ok.gift_send"] != gifts+gifts/4 {
		t.Errorf("%d offered, %d are tips, %v", gifts, tips, result.Counts)
	}
}

// A delay before the answer, which the next commands do not wait for, is in every latency.
func TestPlayCountsFromTheScheduledTime(t *testing.T) {
	t.Parallel()
	const delay = 300 * time.Millisecond
	_, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "chat_send" {
				time.Sleep(delay)
			}
			return false
		}
	})
	p := evening(t, target)
	p.Plan.Gifts, p.Plan.Likes = 0, 0
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, l := range result.Latency {
		if l.Name == "reply.chat_send" || l.Name == "delivery.chat" {
			seen++
			if l.P50 < milliseconds(delay.Microseconds()) {
				t.Errorf("%+v", l)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%+v", result.Latency)
	}
}

func TestLatePlayIsInvalid(t *testing.T) {
	t.Parallel()
	_, target := openRoom(t, nil)
	p := evening(t, target)
	p.MostLate = time.Nanosecond
	result, err := p.Run(t.Context())
	if err != nil || result.Passed || len(result.Invalid) != 1 || !strings.Contains(result.Invalid[0], "could not keep up") {
		t.Errorf("%+v: %v", result, err)
	}
}

func TestPlayIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			if cmd.Kind() == "gift_send" {
				cancel()
			}
			return false
		}
	})
	result, err := evening(t, target).Run(ctx)
	if err != nil || result.Partial != "the run was interrupted while playing" || result.Passed || len(result.Checks) > 0 {
		t.Errorf("%+v: %v", result, err)
	}
	r.nobodyIsLeft(t)
}

// The goods of a sale that nobody waits for any more are free for the next run.
func TestPlayEndsItsSaleWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var stopped atomic.Int64
	r, target := openRoom(t, func(r *room) {
		r.onCommand = func(cmd *proto.Command) bool {
			switch cmd.Kind() {
			case "flash_buy":
				cancel()
			case "flash_stop":
				stopped.Add(1)
			}
			return false
		}
	})
	result, err := rush(t, target).Run(ctx)
	if err != nil || result.Partial != "the run was interrupted while playing" || stopped.Load() != 1 {
		t.Errorf("%+v, stopped %d times: %v", result, stopped.Load(), err)
	}
	r.nobodyIsLeft(t)
}

func TestPlayNeedsATarget(t *testing.T) {
	target := Target{Gateways: []string{"http://127.0.0.1:1"}, Room: "demo", HostToken: "h", JWTKeyFile: keyFile(t, testKey)}
	for name, tt := range map[string]struct {
		change func(*Target)
		want   string
	}{
		"no gateway":    {func(t *Target) { t.Gateways = nil }, "no gateway is given"},
		"no host":       {func(t *Target) { t.HostToken = "" }, "a host's token is needed"},
		"no key":        {func(t *Target) { t.JWTKeyFile = "" }, "a token for each who comes is needed, or a key"},
		"key too short": {func(target *Target) { target.JWTKeyFile = keyFile(t, "short") }, "has 5 bytes, 32 are the least"},
		"nobody there":  {func(*Target) {}, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := target
			tt.change(&changed)
			if _, err := evening(t, changed).Run(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// rush is a short evening around a sale of 4 pieces at which 20 buyers go once each.
func rush(t *testing.T, target Target) Play {
	t.Helper()
	s := stages(Stage{1500 * time.Millisecond, 1}, Stage{500 * time.Millisecond, 1})
	s.Likes, s.Sale = 10, Sale{At: 1500 * time.Millisecond, Over: 500 * time.Millisecond, Buyers: 0.5, PerPiece: 5, Bots: 0.4, Unpaid: 0.25, Retries: 2}
	return Play{
		Plan: plan(t, s, 40), Seed: 5, Target: target, MostLate: time.Minute,
		pace: pace{quiet: 50 * time.Millisecond, news: 5 * time.Second},
	}
}

func TestPlaySellsExactly(t *testing.T) {
	t.Parallel()
	r, target := openRoom(t, nil)
	p := rush(t, target)
	var history bytes.Buffer
	p.Recorder = NewRecorder(&history)
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]bool{}
	for _, c := range result.Checks {
		if c.Skipped == "" && !c.OK {
			t.Errorf("%+v", c)
		}
		held[c.Name] = c.OK
	}
	for _, name := range []string{"sale_sold_exactly", "nobody_served_early", "orders_found_by_key", "one_key_one_outcome", "events_gapless", "visitors_gapless"} {
		if !held[name] {
			t.Errorf("%s was not looked at: %+v, invalid: %v", name, result.Checks, result.Invalid)
		}
	}
	if result.Counts["sent.attempt"] != 12 || result.Counts["sent.bot_attempt"] != 8 {
		t.Errorf("%v", result.Counts)
	}
	if err := p.Recorder.Close(); err != nil {
		t.Fatal(err)
	}
	records, err := ReadRecords(&history)
	if err != nil {
		t.Fatal(err)
	}
	keys, early := map[recordKey]bool{}, 0
	for _, record := range records {
		keys[record.id()] = true
		if record.Outcome == string(proto.ReasonNotStarted) {
			early++
		}
	}
	if len(keys) != 20 || early < 8 || len(records) != 20+12*2+early {
		t.Errorf("%d records of %d keys, %d of them before the start", len(records), len(keys), early)
	}
	r.nobodyIsLeft(t)
}
