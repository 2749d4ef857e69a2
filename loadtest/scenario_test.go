package loadtest

import (
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseScenario(t *testing.T) {
	got, err := ParseScenario("shows/evening.yaml", []byte(`
doc: >
  An evening
  of ours.
sources: [ours, "theirs: both"]
viewers: 2000
stages:
  - {for: 20s, to: 70%}
  - for: 1h30m
    to: 100%
stay: {mean: 90s, sigma: 0.5, returns: 12.5%}
rates: {comments: 0.6, likes: 5, gifts: 0.05}
bursts: {every: 1m, for: 20s, times: 6}
sale: {at: 30s, over: 5s, buyers: 40%, attempts_per_piece: 500, bots: 90%, unpaid: 20%, retries: 3}
repeats: 10%
lost_replies: 2%
publish: 50
host: {pushes: 2, pins: 1, settings: 0.2}
givers: 2%
faults:
  - {at: 20s, do: kill gateway 2}
  - {at: 30s, do: freeze redis, for: 5s}
  - {at: 40s, run: docker restart nats}
reconnect: {within: 2s}
slow_readers: {part: 5%, bytes_a_second: 10000}
message_bytes: 200
`))
	want := Scenario{
		Name: "evening", Doc: "An evening of ours.", Sources: []string{"ours", "theirs: both"}, Viewers: 2000,
		Stages: []Stage{{20 * time.Second, 0.7}, {90 * time.Minute, 1}},
		Stay:   90 * time.Second, StaySigma: 0.5, Returns: 0.125, Comments: 0.6, Likes: 5, Gifts: 0.05, Publish: 50,
		Bursts: Bursts{time.Minute, 20 * time.Second, 6}, Givers: 0.02, MessageBytes: 200, Repeats: 0.1, LostReplies: 0.02, Host: Host{2, 1, 0.2},
		Sale: Sale{At: 30 * time.Second, Over: 5 * time.Second, Buyers: 0.4, PerPiece: 500, Bots: 0.9, Unpaid: 0.2, Retries: 3},
		Faults: []Fault{
			{At: 20 * time.Second, Do: "kill gateway 2"}, {At: 30 * time.Second, Do: "freeze redis", For: 5 * time.Second}, {At: 40 * time.Second, Run: "docker restart nats"},
		},
		Reconnect: true, Within: 2 * time.Second, Slow: Slow{0.05, 10_000},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v: %v", got, err)
	}
	least, err := ParseScenario("least.yaml", []byte("stages: [{for: 1s, to: 100%}]"))
	if err != nil || least.Viewers != 1000 || least.StaySigma != 1 || least.MessageBytes != 40 || least.Givers != 0.01 {
		t.Errorf("%+v: %v", least, err)
	}
}

// A file without end, which a path may name by mistake, is not read to it.
func TestEndlessScenario(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip(err)
	}
	if _, err := ReadScenario("/dev/zero"); err == nil || !strings.Contains(err.Error(), "at most 1048576 bytes") {
		t.Error(err)
	}
}

func TestMalformedScenario(t *testing.T) {
	const stages = "stages: [{for: 1s, to: 100%}]\n"
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "f.yaml:1:1: the file says nothing"},
		{"a comment only", "# later\n", "f.yaml:1:1: the file says nothing"},
		{"no mapping", "- a\n", "f.yaml:1:1: here belong fields (bursts, doc, faults, givers,"},
		{"unknown fault", stages + "faults: [{at: 0s, do: drown gateway 1}]\n", "f.yaml:2:10: a fault does kill, restart, freeze or thaw"},
		{"too late a fault", stages + "faults: [{at: 2s, do: kill nats}]\n", "f.yaml:2:10: kill nats comes and ends within the 1s"},
		{"too slow a reader", stages + "slow_readers: {part: 5%, bytes_a_second: 99}\n", `f.yaml:2:42: "99" is no whole number from 100 to 10000000`},
		{"slow readers without rate", stages + "slow_readers: {part: 5%}\n", "f.yaml:2:15: slow readers read 100 to 10000000 bytes_a_second, not 0"},
		{"rooms without comments", stages + "rooms: 10\n", "f.yaml:2:8: rates.comments of many rooms is above 0 and at most 667, not 0"},
		{"more rooms than viewers", stages + "rooms: 1001\nrates: {comments: 1}\nmessage_bytes: 64\n", "f.yaml:2:8: 1001 rooms have at least as many viewers, not 1000"},
		{"short comments in rooms", stages + "rooms: 10\nrates: {comments: 1}\nmessage_bytes: 63\n", "f.yaml:2:8: message_bytes of many rooms is at least 64, not 63"},
		{"rooms and a stay", stages + "rooms: 10\nrates: {comments: 1}\nmessage_bytes: 64\nstay: {mean: 1s}\n", "f.yaml:2:8: many rooms have viewers, rates.comments, message_bytes and the time of their stages, and nothing else"},
		{"slow to reconnect", stages + "reconnect: {within: 11m}\n", `f.yaml:2:21: "11m" is no time from 0s to 10m0s`},
		{"syntax", stages + "stay:\n  mean: @1s\n", "f.yaml:3:3: found character"},
		{"tab", stages + "stay:\n\tmean: 1s\n", "f.yaml:3:1: found character that cannot start any token"},
		{"unknown field", stages + "vievers: 10\n", `f.yaml:2:1: unknown field "vievers", known are bursts, doc`},
		{"unknown field within", stages + "stay: {mean: 1s, median: 1s}\n", `f.yaml:2:18: unknown field "median", known are mean, returns, sigma`},
		{"twice", stages + "viewers: 1\nviewers: 2\n", "f.yaml:3:1: viewers is given twice"},
		{"scalar for a mapping", stages + "stay: 60s\n", "f.yaml:2:7: here belong fields (mean, returns, sigma)"},
		{"mapping for a scalar", stages + "doc: {a: b}\n", "f.yaml:2:6: here belongs a text"},
		{"no stages", "viewers: 10\n", "f.yaml:1:1: there are 1 to 100 stages, not 0"},
		{"scalar for a list", "stages: 60s\n", "f.yaml:1:9: here belongs a list"},
		{"empty value", stages + "viewers:\n", "f.yaml:2:9: here belongs a whole number"},
		{"no number", stages + "viewers: many\n", `f.yaml:2:10: "many" is no whole number from 1 to 1000000`},
		{"too many viewers", stages + "viewers: 1000001\n", `f.yaml:2:10: "1000001" is no whole number`},
		{"no time", "stages: [{for: 10, to: 1%}]", `f.yaml:1:16: "10" is no time from 100ms to 168h0m0s`},
		{"short stage", "stages: [{for: 99ms, to: 1%}]", `f.yaml:1:16: "99ms" is no time`},
		{"stage without time", "stages: [{to: 1%}]", "f.yaml:1:10: stage 1 takes 100ms to 168h0m0s, not 0s"},
		{"second stage without time", "stages:\n  - {for: 1s, to: 1%}\n  - {to: 1%}\n", "f.yaml:3:5: stage 2 takes 100ms"},
		{"stages too long together", "stages: [{for: 168h, to: 1%}, {for: 1s, to: 1%}]", "f.yaml:1:9: all stages take at most 168h0m0s"},
		{"no part", "stages: [{for: 1s, to: 0.5}]", `f.yaml:1:24: "0.5" is no part from 0% to 100%`},
		{"above all", "stages: [{for: 1s, to: 101%}]", `f.yaml:1:24: "101%" is no part`},
		{"no number at all", stages + "publish: .nan\n", `f.yaml:2:10: ".nan" is no number from 0 to 100000`},
		{"NaN", stages + "rates: {likes: NaN}\n", `f.yaml:2:16: "NaN" is no number`},
		{"below zero", stages + "rates: {likes: -1}\n", `f.yaml:2:16: "-1" is no number`},
		{"a busy host", stages + "host: {pushes: 600.1}\n", `f.yaml:2:16: "600.1" is no number from 0 to 600`},
		{"burst without end", stages + "bursts: {every: 10s, for: 10s, times: 2}\n", "f.yaml:2:9: a burst takes 100ms or longer and less than the time between two"},
		{"burst without time", stages + "bursts: {times: 2}\n", "f.yaml:2:9: a burst takes"},
		{"sale before the bots", stages + "sale: {at: 999ms}\n", `f.yaml:2:12: "999ms" is no time from 1s`},
		{"sale after the end", stages + "sale: {at: 1s, over: 1s, attempts_per_piece: 5}\n", "f.yaml:2:7: a sale starts 1s after the begin or later and its rush of at least 100ms ends with the last stage, not at 1s and after 2s"},
		{"sale without attempts", stages + "sale: {at: 1s, over: 1s}\n", "f.yaml:2:7: a sale needs attempts_per_piece"},
		{"sale without buyers", "stages: [{for: 9s, to: 1%}]\nsale: {at: 1s, over: 1s, attempts_per_piece: 5, buyers: 0%}\n", "f.yaml:2:57: buyers are above 0%"},
		{"nobody left to watch", stages + "viewers: 1\nlost_replies: 1%\n", "f.yaml:3:15: lost replies need somebody else who keeps the connection: at least 2 viewers"},
		{"no givers", stages + "givers: 0%\n", "f.yaml:2:9: givers are above 0%"},
		{"short message", stages + "message_bytes: 23\n", `"23" is no whole number from 24 to 500`},
		{"long message", stages + "message_bytes: 501\n", `"501" is no whole number from 24 to 500`},
		{"large file", stages + strings.Repeat("#", 1<<20), "f.yaml: a scenario has at most 1048576 bytes, this file has more"},
		{"two scenarios", stages + "---\nviewers: 5\n", "f.yaml:2:1: a file has one scenario, here begins a second document"},
		{"a broken second one", stages + "---\nstay:\n  mean: @1s\n", "f.yaml:4:3: found character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ParseScenario("f.yaml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v does not say %q", err, tt.want)
			}
		})
	}
}

func TestScenarioEdges(t *testing.T) {
	for _, text := range []string{
		"stages: [{for: 168h, to: 0%}]\nviewers: 1000000",
		"stages: [{for: 100ms, to: 100%}]\nviewers: 1\nstay: {mean: 100ms, sigma: 3}\nmessage_bytes: 24",
		"stages: [{for: 1s, to: 1%}]\nstay: {mean: 24h}\nmessage_bytes: 500\nrates: {likes: 100000}\npublish: 100000",
		"stages: [{for: 1100ms, to: 1%}]\nsale: {at: 1s, over: 100ms, attempts_per_piece: 10000, retries: 10, bots: 100%, unpaid: 100%, buyers: 100%}",
		"stages: [" + strings.Repeat("{for: 1s, to: 1%}, ", 100) + "]",
	} {
		if _, err := ParseScenario("f.yaml", []byte(text)); err != nil {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

func FuzzParseScenario(f *testing.F) {
	f.Add([]byte("stages: [{for: 1s, to: 100%}]\nstay: {mean: 1s}"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseScenario("f.yaml", data)
		if err == nil && s.check() != nil {
			t.Errorf("%q is taken", data)
		}
	})
}

func TestBuiltInScenarios(t *testing.T) {
	all, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Scenario{}
	for _, s := range all {
		byName[s.Name] = s
		if s.Doc == "" || len(s.Sources) == 0 {
			t.Errorf("%s does not say what it is for and where its numbers come from", s.Name)
		}
	}
	steady, talk, surge := byName["steady"], byName["talk"], byName["surge"]
	if steady.Stay != time.Minute || steady.Comments != 0.1 || steady.Likes != 5 || steady.Gifts != 0.05 {
		t.Errorf("%+v", steady)
	}
	if talk.Comments != 0.6 || talk.Bursts.Times != 6 || talk.Bursts.For != 20*time.Second {
		t.Errorf("%+v", talk)
	}
	if !reflect.DeepEqual(surge.Stages[:2], []Stage{{20 * time.Second, 0.7}, {40 * time.Second, 1}}) || surge.Stay != 0 {
		t.Errorf("%+v", surge)
	}
}

func TestPlan(t *testing.T) {
	s := stages(Stage{30 * time.Second, 1}, Stage{90 * time.Second, 1})
	s.Name, s.Gifts, s.Stay, s.Bursts = "s", 1, time.Minute, Bursts{time.Minute, 20 * time.Second, 6}
	for _, tt := range []struct{ viewers, regulars, givers int }{
		{1, 1, 1}, {7, 7, 1}, {100, 8, 1}, {101, 8, 2}, {5000, 50, 50}, {maxViewers, 10_000, 10_000},
	} {
		p, err := s.Plan(tt.viewers, 0)
		if err != nil || p.Viewers != tt.viewers || p.Regulars != tt.regulars || p.Givers != tt.givers {
			t.Errorf("%d viewers: %d, %d regulars, %d givers: %v", tt.viewers, p.Viewers, p.Regulars, p.Givers, err)
		}
	}
	p, err := s.Plan(0, time.Minute)
	if err != nil || p.Viewers != 1000 || p.Stages[0].For != 15*time.Second || p.Stages[1].For != 45*time.Second || p.Stay != time.Minute ||
		p.Bursts != (Bursts{30 * time.Second, 10 * time.Second, 6}) {
		t.Errorf("%+v: %v", p, err)
	}
	if s.Stages[0].For != 30*time.Second {
		t.Error("the scenario itself was stretched")
	}
	for name, tt := range map[string]struct {
		viewers int
		length  time.Duration
		want    string
	}{
		"viewers below zero": {-1, 0, "viewers are 1 to 1000000, not -1"},
		"too many viewers":   {maxViewers + 1, 0, "viewers are 1 to 1000000, not 1000001"},
		"too short":          {0, 300 * time.Millisecond, "stage 1 takes 100ms to 168h0m0s, not 75ms"},
		"negative":           {0, -time.Second, "stage 1 takes"},
	} {
		if _, err := s.Plan(tt.viewers, tt.length); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "scenario s: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpansFollowStagesAndBursts(t *testing.T) {
	s := stages(Stage{30 * time.Second, 0.5}, Stage{60 * time.Second, 1})
	s.Comments, s.Bursts = 1, Bursts{time.Minute, 20 * time.Second, 6}
	p := plan(t, s, 1008)
	want := []span{
		{0, 30 * time.Second, 0, 499, 1},
		{30 * time.Second, 40 * time.Second, 499, 582.1666, 1},
		{40 * time.Second, 60 * time.Second, 582.1666, 748.5, 6},
		{60 * time.Second, 90 * time.Second, 748.5, 998, 1},
	}
	got := p.spans()
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, g := range got {
		w := want[i]
		if g.from != w.from || g.to != w.to || g.comments != w.comments || math.Abs(g.begin-w.begin) > 0.001 || math.Abs(g.end-w.end) > 0.001 {
			t.Errorf("%+v, not %+v", g, w)
		}
	}
}
