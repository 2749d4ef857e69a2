package loadtest

import (
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Limits of a scenario.
const (
	maxViewers = 1_000_000
	maxStages  = 100
	minStage   = 100 * time.Millisecond
	maxLength  = maxSeconds * time.Second
	minStay    = 100 * time.Millisecond
	maxStay    = 24 * time.Hour
	maxSigma   = 3
	// Of comments, likes and gifts each, a second per 1,000 viewers.
	maxRate = 100_000
	// Comments at a fixed rate, a second.
	maxPublish = 100_000
	// Of each thing that the host does, a minute.
	maxHostRate = 600
	maxTimes    = 1000
	// Attempts at one piece of a sale.
	maxPerPiece = 10_000
	maxRetries  = 10
	maxWithin   = 10 * time.Minute
	// Characters of a comment; the number that it carries needs some, and a server takes no more than 500.
	minMessage, maxMessage = 24, 500
)

// Scenario says how a room behaves. Its rates grow with the viewers, so that it can be played in any size.
type Scenario struct {
	Name string
	// Doc tells in some sentences what it is for; Sources tell where its numbers come from.
	Doc     string
	Sources []string
	// Viewers is the size of the room, 1 to 1,000,000.
	Viewers int
	// Stages follow one another; the first begins in a room of regulars only.
	Stages []Stage
	// Stay is the mean of the log-normal times that viewers stay, 0.1 s to 24 h, and StaySigma the
	// standard deviation of their logarithm, above 0 to 3. With 0 as Stay nobody leaves by themselves.
	Stay      time.Duration
	StaySigma float64
	// Returns is the part of those who come in that have been there before, 0 to 1.
	Returns float64
	// Comments, Likes and Gifts are numbers a second per 1,000 viewers, 0 to 100,000.
	Comments, Likes, Gifts float64
	// Publish is a number of comments a second in all, evenly spaced, beside the others.
	Publish float64
	Bursts  Bursts
	// Givers is the part of the viewers that sends the gifts, above 0 to 1.
	Givers float64
	// Repeats is the part of the gifts whose command is sent again after its outcome, LostReplies the part
	// whose giver loses the connection before the reply and asks again on a new one; 0 to 1 each.
	Repeats, LostReplies float64
	// Host is what the host does all the time.
	Host Host
	// MessageBytes is the length of a comment, 24 to 500.
	MessageBytes int
	// Sale is a flash sale, without PerPiece none.
	Sale Sale
	// Faults are done to the servers, at most 100.
	Faults []Fault
	// Reconnect has those who lose their connection come back on the next gateway and resume after the last
	// numbered event: the first time after a time of chance up to Within, 0 to 10 min, then after pauses that
	// double from 0.5 s to 8 s, for a minute. Without Within all wait equally long.
	Reconnect bool
	Within    time.Duration
	Slow      Slow
	// Rooms, where it is not 0, makes so many rooms with Viewers in all, see [Rooms]: all come once and stay, and
	// of the rest only Comments and MessageBytes are looked at. 1 to 100,000.
	Rooms int
}

// Sale is a flash sale at which many go at once. The regulars of the room are its buyers.
type Sale struct {
	// At is when it starts, after the begin of the run, and Over the time after that in which people go at
	// it. Bots do so in the second before the start, again and again.
	At, Over time.Duration
	// Buyers is the part of the viewers that wants to buy, above 0 to 1; PerPiece how many attempts there
	// are for each piece, 1 to 10,000. There are as many pieces as give each buyer one attempt, at least one.
	Buyers   float64
	PerPiece int
	// Bots is the part of the attempts that bots make, Unpaid the part of the orders that nobody pays.
	Bots, Unpaid float64
	// Retries is how often people ask again under the same key after the outcome, 0 to 10.
	Retries int
}

// Host is how often a minute the host shows another product, pins a comment and changes the chat's settings,
// 0 to 600 each. Each of these is a numbered event of the room.
type Host struct{ Pushes, Pins, Settings float64 }

// Stage is a time of 0.1 s and more during which the room grows or shrinks evenly to a part of its size.
type Stage struct {
	For time.Duration
	To  float64 // 0 to 1
}

// Bursts multiply comments: the last For of each Every has Times as many.
type Bursts struct {
	Every, For time.Duration
	Times      float64
}

// What a scenario has that does not say otherwise.
func defaultScenario() Scenario {
	return Scenario{Viewers: 1000, StaySigma: 1, Givers: 0.01, MessageBytes: 40, Sale: Sale{Buyers: 0.5}}
}

// Length is how long all stages take.
func (s Scenario) Length() (sum time.Duration) {
	for _, stage := range s.Stages {
		sum += stage.For
	}
	return sum
}

// fieldError says what is wrong with a field, which is named as in a file: sale.buyers, stages.0.
type fieldError struct {
	field string
	error
}

func (e fieldError) Unwrap() error { return e.error }

// check says what is outside the limits, in [fieldError]s.
func (s Scenario) check() error {
	var all []error
	hold := func(field string, ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fieldError{field, fmt.Errorf(format, args...)})
		}
	}
	hold("viewers", s.Viewers >= 1 && s.Viewers <= maxViewers, "viewers are 1 to %d, not %d", maxViewers, s.Viewers)
	hold("stages", len(s.Stages) >= 1 && len(s.Stages) <= maxStages, "there are 1 to %d stages, not %d", maxStages, len(s.Stages))
	for i, stage := range s.Stages {
		path := fmt.Sprintf("stages.%d", i)
		hold(path, stage.For >= minStage && stage.For <= maxLength, "stage %d takes %v to %v, not %v", i+1, minStage, maxLength, stage.For)
		hold(path, stage.To >= 0 && stage.To <= 1, "stage %d goes to 0%% to 100%%, not %g%%", i+1, stage.To*100)
	}
	hold("stages", s.Length() <= maxLength, "all stages take at most %v, not %v", maxLength, s.Length())
	hold("stay.mean", s.Stay == 0 || s.Stay >= minStay && s.Stay <= maxStay, "a mean stay is %v to %v, not %v", minStay, maxStay, s.Stay)
	hold("stay.sigma", s.StaySigma > 0 && s.StaySigma <= maxSigma, "a sigma of stays is above 0 and at most %d, not %g", maxSigma, s.StaySigma)
	hold("stay.returns", s.Returns >= 0 && s.Returns <= 1, "0%% to 100%% return, not %g%%", s.Returns*100)
	for _, rate := range []struct {
		field string
		value float64
		most  float64
	}{
		{"rates.comments", s.Comments, maxRate}, {"rates.likes", s.Likes, maxRate}, {"rates.gifts", s.Gifts, maxRate}, {"publish", s.Publish, maxPublish},
		{"host.pushes", s.Host.Pushes, maxHostRate}, {"host.pins", s.Host.Pins, maxHostRate}, {"host.settings", s.Host.Settings, maxHostRate},
	} {
		hold(rate.field, rate.value >= 0 && rate.value <= rate.most, "%s is 0 to %g, not %g", rate.field, rate.most, rate.value)
	}
	if b := s.Bursts; b != (Bursts{}) {
		hold("bursts", b.For >= minStage && b.For < b.Every, "a burst takes %v or longer and less than the time between two, not %v of %v", minStage, b.For, b.Every)
		hold("bursts.times", b.Times >= 0 && b.Times <= maxTimes, "a burst has 0 to %d times the comments, not %g", maxTimes, b.Times)
	}
	hold("repeats", s.Repeats >= 0 && s.Repeats <= 1 && s.LostReplies >= 0 && s.LostReplies <= 1, "repeats and lost replies are 0%% to 100%%")
	hold("lost_replies", s.LostReplies == 0 || s.Viewers >= 2, "lost replies need somebody else who keeps the connection: at least 2 viewers")
	if sale := s.Sale; sale.PerPiece != 0 {
		hold("sale.attempts_per_piece", sale.PerPiece >= 1 && sale.PerPiece <= maxPerPiece, "there are 1 to %d attempts for a piece, not %d", maxPerPiece, sale.PerPiece)
		hold("sale", sale.At >= botLead && sale.Over >= minStage && sale.At+sale.Over <= s.Length(),
			"a sale starts %v after the begin or later and its rush of at least %v ends with the last stage, not at %v and after %v", botLead, minStage, sale.At, sale.At+sale.Over)
		hold("sale.buyers", sale.Buyers > 0 && sale.Buyers <= 1, "buyers are above 0%% and at most 100%%, not %g%%", sale.Buyers*100)
		hold("sale", sale.Bots >= 0 && sale.Bots <= 1 && sale.Unpaid >= 0 && sale.Unpaid <= 1, "bots and unpaid are 0%% to 100%%")
		hold("sale.retries", sale.Retries >= 0 && sale.Retries <= maxRetries, "people ask 0 to %d times again, not %d", maxRetries, sale.Retries)
	} else {
		hold("sale", sale.Over == 0 && sale.At == 0, "a sale needs attempts_per_piece")
	}
	hold("faults", len(s.Faults) <= maxFaults, "there are at most %d faults, not %d", maxFaults, len(s.Faults))
	for i, f := range s.Faults {
		err := f.check(s.Length())
		hold(fmt.Sprintf("faults.%d", i), err == nil, "%w", err)
	}
	hold("reconnect.within", s.Within >= 0 && s.Within <= maxWithin, "viewers reconnect within 0s to %v, not %v", maxWithin, s.Within)
	hold("slow_readers", s.Slow.Part >= 0 && s.Slow.Part <= 1, "0%% to 100%% read slowly, not %g%%", 100*s.Slow.Part)
	hold("slow_readers", s.Slow.Part == 0 || s.Slow.Rate >= minReadRate && s.Slow.Rate <= maxReadRate,
		"slow readers read %d to %d bytes_a_second, not %d", minReadRate, maxReadRate, s.Slow.Rate)
	if s.Rooms != 0 {
		err := s.checkRooms()
		hold("rooms", err == nil, "%w", err)
	}
	hold("givers", s.Givers > 0 && s.Givers <= 1, "givers are above 0%% and at most 100%%, not %g%%", s.Givers*100)
	hold("message_bytes", s.MessageBytes >= minMessage && s.MessageBytes <= maxMessage, "a message has %d to %d bytes, not %d", minMessage, maxMessage, s.MessageBytes)
	return errors.Join(all...)
}

//go:embed scenarios/*.yaml
var scenarioFiles embed.FS

// Scenarios returns those that are built in, by name. Smoke is a type of its own and not among them.
func Scenarios() ([]Scenario, error) {
	names, err := scenarioFiles.ReadDir("scenarios")
	if err != nil {
		return nil, err
	}
	var out []Scenario
	for _, entry := range names {
		data, err := scenarioFiles.ReadFile(path.Join("scenarios", entry.Name()))
		if err != nil {
			return nil, err
		}
		s, err := ParseScenario(entry.Name(), data)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Scenario) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}
