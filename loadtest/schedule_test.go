package loadtest

import (
	"math"
	"slices"
	"testing"
	"time"
)

// plan returns a plan that must be one.
func plan(t testing.TB, s Scenario, viewers int) Plan {
	t.Helper()
	p, err := s.Plan(viewers, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stages is a scenario of these stages and defaults.
func stages(all ...Stage) Scenario {
	s := defaultScenario()
	s.Name, s.Stages = "test", all
	return s
}

func TestSameSeedSameSchedule(t *testing.T) {
	s := stages(Stage{10 * time.Second, 1}, Stage{10 * time.Second, 0.2})
	s.Stay, s.Returns, s.Comments, s.Likes, s.Gifts, s.Publish = 5*time.Second, 0.5, 10, 50, 10, 3
	first := slices.Collect(NewSchedule(plan(t, s, 500), 7).All())
	if !slices.Equal(first, slices.Collect(NewSchedule(plan(t, s, 500), 7).All())) {
		t.Error("two schedules of seed 7")
	}
	if slices.Equal(first, slices.Collect(NewSchedule(plan(t, s, 500), 8).All())) {
		t.Error("seeds 7 and 8 give the same schedule")
	}
	// One that is left off goes on where it was.
	again := NewSchedule(plan(t, s, 500), 7)
	for range again.All() {
		break
	}
	if rest := slices.Collect(again.All()); !slices.Equal(first[1:], rest) {
		t.Errorf("%d of %d are left after the first", len(rest), len(first))
	}
}

// expect holds that a number drawn from a Poisson process is what is expected, give or take four of its
// standard deviations.
func expect(t *testing.T, what string, got int, want float64) {
	t.Helper()
	if math.Abs(float64(got)-want) > 4*math.Sqrt(want)+1 {
		t.Errorf("%s: %d, %.0f are expected", what, got, want)
	}
}

func TestScheduleKeepsItsRates(t *testing.T) {
	s := stages(Stage{time.Second, 1}, Stage{10 * time.Minute, 1})
	s.Stay, s.Comments, s.Likes, s.Gifts = time.Minute, 0.6, 5, 0.05
	s.Bursts = Bursts{Every: time.Minute, For: 20 * time.Second, Times: 6}
	s.Host = Host{Pushes: 20, Pins: 10, Settings: 5}
	const viewers = 6000
	p := plan(t, s, viewers)
	counts, burst := [kinds]int{}, 0
	for a := range NewSchedule(p, 1).All() {
		if a.At < time.Second {
			continue
		}
		counts[a.Kind]++
		if a.Kind == KindComment && a.At%time.Minute >= 40*time.Second {
			burst++
		}
		if a.Kind == KindGift && a.Viewer >= uint32(p.Givers) {
			t.Fatalf("viewer %d gives, there are %d givers", a.Viewer, p.Givers)
		}
	}
	crowd := float64(viewers - p.Regulars)
	expect(t, "joins", counts[KindJoin], crowd/60*600)
	expect(t, "leaves", counts[KindLeave], crowd/60*600)
	expect(t, "likes", counts[KindLike], 5*6*600)
	expect(t, "gifts", counts[KindGift], 0.05*6*600)
	expect(t, "pushes", counts[KindPush], 20*10)
	expect(t, "pins", counts[KindPin], 10*10)
	expect(t, "settings", counts[KindSettings], 5*10)
	expect(t, "comments in bursts", burst, 6*0.6*6*200)
	expect(t, "other comments", counts[KindComment]-burst, 0.6*6*400)
}

// presence replays joins and leaves and returns how many of the crowd are in the room at each time.
func presence(t *testing.T, p Plan, seed uint64, times ...time.Duration) []int {
	t.Helper()
	in := map[uint32]bool{}
	var out []int
	last := time.Duration(0)
	for a := range NewSchedule(p, seed).All() {
		if a.At < last || a.At > p.Length() {
			t.Fatalf("%v after %v", a.At, last)
		}
		last = a.At
		for len(out) < len(times) && times[len(out)] < a.At {
			out = append(out, len(in))
		}
		switch {
		case a.Kind == KindJoin:
			if in[a.Viewer] || a.Viewer < uint32(p.Regulars) {
				t.Fatalf("%d joins and is in the room", a.Viewer)
			}
			in[a.Viewer] = true
		case a.Viewer < uint32(p.Regulars):
			if a.Kind == KindLeave {
				t.Fatalf("regular %d leaves", a.Viewer)
			}
		case !in[a.Viewer]:
			t.Fatalf("%v of %d, who is not in the room", a.Kind, a.Viewer)
		case a.Kind == KindLeave:
			delete(in, a.Viewer)
		}
	}
	for len(out) < len(times) {
		out = append(out, len(in))
	}
	return out
}

func TestRoomIsAsBigAsItsStagesSay(t *testing.T) {
	for name, change := range map[string]func(*Scenario){
		"nobody leaves":     func(*Scenario) {},
		"short stays":       func(s *Scenario) { s.Stay = 2 * time.Second },
		"stays as a stage":  func(s *Scenario) { s.Stay = 30 * time.Second },
		"very uneven stays": func(s *Scenario) { s.Stay, s.StaySigma = 20*time.Second, 2 },
		"viewers come back": func(s *Scenario) { s.Stay, s.Returns = 5*time.Second, 0.9 },
	} {
		t.Run(name, func(t *testing.T) {
			s := stages(Stage{20 * time.Second, 0.7}, Stage{40 * time.Second, 1}, Stage{time.Minute, 1}, Stage{20 * time.Second, 0.3}, Stage{30 * time.Second, 0.3})
			s.Likes = 5
			change(&s)
			p := plan(t, s, 4000)
			got := presence(t, p, 3, 10*time.Second, 20*time.Second, 40*time.Second, time.Minute, 2*time.Minute, 130*time.Second, 140*time.Second, 170*time.Second)
			for i, share := range []float64{0.35, 0.7, 0.85, 1, 1, 0.65, 0.3, 0.3} {
				expect(t, "in the room", got[i], share*float64(p.Viewers-p.Regulars))
			}
		})
	}
}

func TestStaysAreLogNormal(t *testing.T) {
	s := stages(Stage{time.Second, 0.0001})
	s.Stay, s.StaySigma = time.Minute, 0.8
	schedule := NewSchedule(plan(t, s, 100), 5)
	const n = 200_000
	var sum, logs, squares float64
	for range n {
		stay := schedule.stay().Seconds()
		sum, logs, squares = sum+stay, logs+math.Log(stay), squares+math.Log(stay)*math.Log(stay)
	}
	mean, mu := sum/n, logs/n
	sigma := math.Sqrt(squares/n - mu*mu)
	if math.Abs(mean-60) > 0.6 || math.Abs(sigma-0.8) > 0.01 || math.Abs(mu-(math.Log(60)-0.32)) > 0.01 {
		t.Errorf("mean %.2f s, sigma %.3f, mean logarithm %.3f", mean, sigma, mu)
	}
}

func TestPublishIsEven(t *testing.T) {
	s := stages(Stage{2 * time.Second, 1})
	s.Publish = 50
	n := 0
	for a := range NewSchedule(plan(t, s, 100), 1).All() {
		if a.Kind != KindComment {
			continue
		}
		n++
		if want := time.Duration(n) * 20 * time.Millisecond; (a.At - want).Abs() > time.Microsecond {
			t.Errorf("comment %d at %v", n, a.At)
		}
	}
	if n != 99 { // the hundredth would be at the very end
		t.Errorf("%d comments", n)
	}
}

func TestRush(t *testing.T) {
	s := stages(Stage{30 * time.Second, 1})
	s.Likes, s.Sale = 5, Sale{At: 10 * time.Second, Over: 5 * time.Second, Buyers: 0.5, PerPiece: 50, Bots: 0.34}
	p := plan(t, s, 1000)
	if p.Buyers != 500 || p.Pieces != 10 || p.Regulars != 500 {
		t.Fatalf("%d buyers, %d pieces, %d regulars", p.Buyers, p.Pieces, p.Regulars)
	}
	people, bots, each := 0, 0, map[uint32]int{}
	last := time.Duration(0)
	for a := range NewSchedule(p, 1).All() {
		if a.At < last {
			t.Fatalf("%+v after %v", a, last)
		}
		last = a.At
		switch a.Kind {
		case KindAttempt:
			people++
			if a.At < 10*time.Second || a.At >= 15*time.Second {
				t.Errorf("%+v", a)
			}
		case KindBotAttempt:
			bots++
			if a.At <= 9*time.Second || a.At > 10*time.Second {
				t.Errorf("%+v", a)
			}
		default:
			continue
		}
		if each[a.Viewer]++; a.Viewer >= 500 || each[a.Viewer] > 1 {
			t.Errorf("attempt %d of %d", each[a.Viewer], a.Viewer)
		}
	}
	if people != 330 || bots != 170 {
		t.Errorf("%d people, %d bots", people, bots)
	}
}

func TestOneSeatRoom(t *testing.T) {
	s := stages(Stage{time.Minute, 1})
	s.Comments, s.Gifts, s.Stay = 1000, 1000, time.Second
	n := 0
	for a := range NewSchedule(plan(t, s, 1), 1).All() {
		if n++; a.Viewer != 0 {
			t.Fatalf("%+v", a)
		}
	}
	expect(t, "comments and gifts", n, 120)
}

func BenchmarkSchedule(b *testing.B) {
	s := stages(Stage{10 * time.Second, 1}, Stage{24 * time.Hour, 1})
	s.Stay, s.Comments, s.Likes, s.Gifts = time.Minute, 0.6, 5, 0.05
	b.ReportAllocs()
	n := 0
	schedule := NewSchedule(plan(b, s, 20_000), 1)
	for range schedule.All() {
		if n++; !b.Loop() {
			break
		}
	}
}
