package loadtest

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Regulars of a room: those who are in it all the time and whose full histories are checked.
const (
	// leastRegulars see every pair of two gateways and both formats twice.
	leastRegulars = 8
	// Of more viewers, one in regularsOf is a regular.
	regularsOf = 100
)

// Plan is a scenario in the size and length of one run. Its Viewers and Stages are those of the run.
type Plan struct {
	Scenario
	// Regulars are in the room from before the begin to after the end; Givers are the first of them, who
	// send the gifts.
	Regulars, Givers int
	// Buyers are the first of the regulars, who go at the sale's Pieces.
	Buyers, Pieces int
}

// Plan returns the scenario for so many viewers and so long; with 0 as the scenario has it. A length
// other than the scenario's stretches stages, bursts, faults and a sale, not stays and rates.
func (s Scenario) Plan(viewers int, length time.Duration) (Plan, error) {
	if viewers != 0 {
		s.Viewers = viewers
	}
	if length != 0 {
		s = s.stretch(length)
	}
	if err := s.check(); err != nil {
		return Plan{}, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	p := Plan{Scenario: s}
	if p.Gifts > 0 {
		p.Givers = max(int(math.Ceil(s.Givers*float64(s.Viewers))), 1)
	}
	if p.Sale.PerPiece > 0 {
		p.Buyers = max(int(math.Ceil(s.Sale.Buyers*float64(s.Viewers))), 1)
		p.Pieces = min(max(p.Buyers/p.Sale.PerPiece, 1), p.Buyers)
	}
	p.Regulars = min(max(p.Givers, p.Buyers, s.Viewers/regularsOf, leastRegulars), s.Viewers)
	if p.Gifts > 0 && p.LostReplies > 0 { // what givers were told has holes then
		p.Givers = min(p.Givers, s.Viewers-1)
		p.Regulars = min(max(p.Regulars, p.Givers+leastRegulars), s.Viewers)
	}
	return p, nil
}

// MostViewers is how many are in the room at most: as many as the size, what chance may add, and those
// who leave and wait for the outcome of what they asked for.
func (p Plan) MostViewers() int { return p.mostOf(part{}) }

// mostOf is MostViewers of one part.
func (p Plan) mostOf(own part) int {
	n := own.count(p.Viewers)
	return n + n/20 + int(math.Ceil(6*math.Sqrt(float64(n))))
}

// Users is how many different people there are in the schedule of a seed: each of them is a user of its own.
func (p Plan) Users(seed uint64) int {
	users := uint32(p.Regulars)
	for a := range NewSchedule(p, seed).All() {
		if a.Kind == KindJoin {
			users = max(users, a.Viewer+1)
		}
	}
	return int(users)
}

// stretch returns the scenario with another length.
func (s Scenario) stretch(length time.Duration) Scenario {
	factor := float64(length) / float64(s.Length())
	scale := func(d time.Duration) time.Duration {
		return time.Duration(math.Round(float64(d) * factor)).Round(time.Millisecond)
	}
	stages := make([]Stage, len(s.Stages))
	for i, stage := range s.Stages {
		stages[i] = Stage{For: scale(stage.For), To: stage.To}
	}
	s.Stages = stages
	s.Sale.At, s.Sale.Over = scale(s.Sale.At), scale(s.Sale.Over)
	s.Faults = slices.Clone(s.Faults)
	for i, f := range s.Faults {
		s.Faults[i].At, s.Faults[i].For = scale(f.At), scale(f.For)
	}
	s.Bursts.Every, s.Bursts.For = scale(s.Bursts.Every), scale(s.Bursts.For)
	return s
}

// spans cuts the stages where bursts begin and end.
func (p Plan) spans() []span {
	crowd := float64(p.Viewers - p.Regulars)
	var out []span
	begin, share := time.Duration(0), 0.0
	for _, stage := range p.Stages {
		end := begin + stage.For
		at := func(t time.Duration) float64 {
			return crowd * (share + (stage.To-share)*float64(t-begin)/float64(stage.For))
		}
		for from := begin; from < end; {
			to, comments := p.untilBurst(from)
			to = min(to, end)
			out = append(out, span{from, to, at(from), at(to), comments})
			from = to
		}
		begin, share = end, stage.To
	}
	return out
}

// untilBurst returns the comments a second per 1,000 viewers at a moment and until when they are so. The
// first burst comes after a first time between two.
func (p Plan) untilBurst(at time.Duration) (until time.Duration, comments float64) {
	b := p.Bursts
	if b.Every == 0 {
		return math.MaxInt64, p.Comments
	}
	round := at / b.Every * b.Every
	if quiet := round + b.Every - b.For; at < quiet {
		return quiet, p.Comments
	}
	return round + b.Every, p.Comments * b.Times
}
