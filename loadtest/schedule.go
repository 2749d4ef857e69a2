package loadtest

import (
	"cmp"
	"container/heap"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind says what a viewer does at an arrival.
type Kind uint8

// The kinds of arrivals.
const (
	KindJoin Kind = iota
	KindLeave
	KindComment
	KindLike
	KindGift
	KindAttempt    // at the sale, of a person
	KindBotAttempt // the same of a bot, before the start
	KindPush       // of a product, by the host
	KindPin        // of a comment, by the host
	KindSettings   // of the chat, by the host
	kinds
)

var kindNames = [kinds]string{"join", "leave", "comment", "like", "gift", "attempt", "bot_attempt", "push", "pin", "settings"}

// String returns the kind's name as the figures have it: offered.comment counts comments.
func (k Kind) String() string { return kindNames[k] }

// hosts reports whether it is the host who does it.
func (k Kind) hosts() bool { return k == KindPush || k == KindPin || k == KindSettings }

// Arrival is one thing that one viewer does at its time after the begin of the run.
type Arrival struct {
	At time.Duration
	// Viewer is a number from 0: first the regulars, who are in the room all the time, then the others in
	// the order in which they first come. What the host does has 0, who is none of them.
	Viewer uint32
	Kind   Kind
	// Number counts those of the kind, from 1.
	Number int64
}

// Schedule is everything that happens in a run, fixed by a [Plan] and a seed before it begins: what the
// server answers changes nothing of it. It is made while it is read and holds only those who are in the
// room, 16 bytes each, so that long runs of big rooms need no more. Not safe for concurrent use.
//
// Joins, comments, likes, gifts and what the host does are Poisson processes. Stays are log-normal. The expected number of
// viewers is what the stages say at each moment, for those who come while the room fills have, as in a
// room that has been running for long, a part of their stay behind them.
type Schedule struct {
	plan  Plan
	spans []span // those that are left; the first is under way
	rng   *rand.Rand
	now   time.Duration
	// Everybody but the regulars, the next to leave first.
	crowd crowdHeap
	next  uint32   // number of the next new viewer
	gone  []uint32 // who may come back
	said  int64    // comments at a fixed rate
	count [kinds]int64
	rush  []Arrival // attempts at the sale, the next first
}

// span is a time with a straight course of the crowd's number and one rate of comments.
type span struct {
	from, to time.Duration
	// How many are in the room beside the regulars.
	begin, end float64
	// Comments a second per 1,000 viewers.
	comments float64
}

// NewSchedule returns the schedule of the plan and the seed. The same of both give the same schedule on
// machines of one architecture.
func NewSchedule(p Plan, seed uint64) *Schedule {
	return &Schedule{plan: p, spans: p.spans(), rng: rand.New(rand.NewPCG(seed, 0)), next: uint32(p.Regulars), rush: p.rush(rand.New(rand.NewPCG(seed, 1)))}
}

// botLead is how long before a sale's start the first bots go at it.
const botLead = time.Second

// rush draws the attempts at the sale: the buyers go in turn, in an order of chance.
func (p Plan) rush(rng *rand.Rand) []Arrival {
	n := p.Pieces * p.Sale.PerPiece
	if n == 0 {
		return nil
	}
	order := rng.Perm(p.Buyers)
	bots := int(math.Round(p.Sale.Bots * float64(n)))
	out := make([]Arrival, n)
	for i, k := range rng.Perm(n) {
		a := Arrival{Viewer: uint32(order[k%p.Buyers])}
		if i < bots {
			a.Kind, a.At = KindBotAttempt, p.Sale.At-time.Duration(rng.Int64N(int64(botLead)))
		} else {
			a.Kind, a.At = KindAttempt, p.Sale.At+time.Duration(rng.Int64N(int64(p.Sale.Over)))
		}
		out[i] = a
	}
	slices.SortStableFunc(out, func(a, b Arrival) int { return cmp.Compare(a.At, b.At) })
	return out
}

// All returns what is left of the schedule, in the order of time.
func (s *Schedule) All() iter.Seq[Arrival] {
	return func(yield func(Arrival) bool) {
		for len(s.spans) > 0 {
			if a, ok := s.step(); ok && !yield(a) {
				return
			}
		}
	}
}

// step goes on to the next moment at which something may happen and says what does, if anything. The
// moments come at the highest rate that there can be until somebody leaves or the span ends; one at
// which the true rate is lower counts with that probability only.
func (s *Schedule) step() (Arrival, bool) {
	sp := s.spans[0]
	most := s.rates(sp, sp.from).plus(s.rates(sp, sp.to))
	gap := seconds(s.rng.ExpFloat64() / most)
	due := sp.to
	if len(s.crowd) > 0 {
		due = min(due, s.crowd[0].leaves)
	}
	happens := gap < due-s.now
	if happens {
		due = s.now + gap
	}
	say := s.nextSaid()
	if len(s.rush) > 0 && s.rush[0].At < min(due, say) {
		a := s.rush[0]
		s.now, s.rush = a.At, s.rush[1:]
		return s.by(a.Viewer, a.Kind), true
	}
	if say < due {
		s.now = say
		s.said++
		return s.by(s.anybody(), KindComment), true
	}
	s.now = due
	switch {
	case happens:
		return s.draw(sp, s.rng.Float64()*most)
	case due == sp.to:
		s.spans = s.spans[1:]
		return Arrival{}, false
	}
	return s.leave(0), true
}

// rates are how often a second each thing happens.
type rates struct{ climb, replace, fall, comment, like, gift, push, pin, settings float64 }

// rates returns those of a moment of the span.
func (s *Schedule) rates(sp span, at time.Duration) rates {
	var r rates
	length := (sp.to - sp.from).Seconds()
	slope := (sp.end - sp.begin) / length
	r.climb, r.fall = max(slope, 0), max(-slope, 0)
	if s.plan.Stay > 0 {
		r.replace = (sp.begin + slope*(at-sp.from).Seconds()) / s.plan.Stay.Seconds()
	}
	viewers := float64(s.plan.Regulars + len(s.crowd))
	r.comment, r.like, r.gift = viewers*sp.comments/1000, viewers*s.plan.Likes/1000, viewers*s.plan.Gifts/1000
	r.push, r.pin, r.settings = s.plan.Host.Pushes/60, s.plan.Host.Pins/60, s.plan.Host.Settings/60
	return r
}

// plus returns a rate that none of two moments of one span, and none between them, is above in all.
func (r rates) plus(o rates) float64 {
	return r.climb + max(r.replace, o.replace) + r.fall + r.comment + r.like + r.gift + r.push + r.pin + r.settings
}

// draw says what happens now, by a number between 0 and the highest rate.
func (s *Schedule) draw(sp span, u float64) (Arrival, bool) {
	r := s.rates(sp, s.now)
	within := func(rate float64) bool {
		u -= rate
		return u < 0
	}
	switch {
	case within(r.like):
		return s.by(s.anybody(), KindLike), true
	case within(r.comment):
		return s.by(s.anybody(), KindComment), true
	case within(r.gift):
		return s.by(uint32(s.rng.IntN(s.plan.Givers)), KindGift), true
	case within(r.push):
		return s.by(0, KindPush), true
	case within(r.pin):
		return s.by(0, KindPin), true
	case within(r.settings):
		return s.by(0, KindSettings), true
	case within(r.replace):
		return s.join(s.stay()), true
	case within(r.climb):
		return s.join(s.restOfStay()), true
	case within(r.fall) && len(s.crowd) > 0:
		return s.leave(s.rng.IntN(len(s.crowd))), true
	}
	return Arrival{}, false
}

// by is what a viewer does now.
func (s *Schedule) by(viewer uint32, kind Kind) Arrival {
	s.count[kind]++
	return Arrival{s.now, viewer, kind, s.count[kind]}
}

// nextSaid is when the next of the comments at a fixed rate is due.
func (s *Schedule) nextSaid() time.Duration {
	if s.plan.Publish == 0 {
		return math.MaxInt64
	}
	return seconds(float64(s.said+1) / s.plan.Publish)
}

// anybody returns one of those who are in the room.
func (s *Schedule) anybody() uint32 {
	i := s.rng.IntN(s.plan.Regulars + len(s.crowd))
	if i < s.plan.Regulars {
		return uint32(i)
	}
	return s.crowd[i-s.plan.Regulars].viewer
}

func (s *Schedule) join(stay time.Duration) Arrival {
	viewer := s.next
	if n := len(s.gone); n > 0 && s.rng.Float64() < s.plan.Returns {
		i := s.rng.IntN(n)
		viewer = s.gone[i]
		s.gone[i] = s.gone[n-1]
		s.gone = s.gone[:n-1]
	} else {
		s.next++
	}
	leaves := s.now + stay
	if leaves < s.now { // more than a time can hold
		leaves = math.MaxInt64
	}
	heap.Push(&s.crowd, guest{leaves, viewer})
	return s.by(viewer, KindJoin)
}

func (s *Schedule) leave(i int) Arrival {
	viewer := heap.Remove(&s.crowd, i).(guest).viewer
	if s.plan.Returns > 0 {
		s.gone = append(s.gone, viewer)
	}
	return s.by(viewer, KindLeave)
}

// stay draws how long somebody stays who comes in.
func (s *Schedule) stay() time.Duration {
	if s.plan.Stay == 0 {
		return math.MaxInt64
	}
	return s.logNormal(-0.5)
}

// restOfStay draws how long somebody stays on who is found in a room that has been running for long:
// longer stays are found more often, at any moment of theirs.
func (s *Schedule) restOfStay() time.Duration {
	if s.plan.Stay == 0 {
		return math.MaxInt64
	}
	return time.Duration(float64(s.logNormal(0.5)) * s.rng.Float64())
}

// logNormal draws a time of median exp(shift·sigma²) times the mean stay, which is the mean for a shift
// of -1/2.
func (s *Schedule) logNormal(shift float64) time.Duration {
	sigma := s.plan.StaySigma
	return seconds(s.plan.Stay.Seconds() * math.Exp(shift*sigma*sigma+sigma*s.rng.NormFloat64()))
}

// seconds returns a time of s seconds, the longest there is for more than that.
func seconds(s float64) time.Duration {
	if s >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(s * float64(time.Second))
}

// guest is somebody in the room and when they leave.
type guest struct {
	leaves time.Duration
	viewer uint32
}

// crowdHeap has the next to leave first.
type crowdHeap []guest

func (h crowdHeap) Len() int           { return len(h) }
func (h crowdHeap) Less(i, j int) bool { return h[i].leaves < h[j].leaves }
func (h crowdHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *crowdHeap) Push(x any)        { *h = append(*h, x.(guest)) }
func (h *crowdHeap) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	*h = (*h)[:last]
	return g
}
