package loadtest

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"math"
	mathrand "math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"time"

	"livecart/proto"
)

// Limits of a run over many rooms.
const (
	maxRooms = 100_000
	// roomSigma is the standard deviation of the logarithm of the rooms' sizes. With a mean of 43.6 viewers,
	// 80 % of the rooms have fewer than 50.
	roomSigma = 1.5
	smallRoom = 50
)

// Rooms makes many rooms of its own through the API, spreads viewers over them, most to a few, and has
// comments sent in all of them. It accounts for each comment at each viewer of its room, and holds that none
// comes to another room. Afterwards the rooms are ended.
type Rooms struct {
	Target Target
	// Name is the scenario's, many-rooms when empty. Rooms are 1 to 100,000, Viewers at least as many.
	Name           string
	Rooms, Viewers int
	// Rate is how many comments are sent a second in all, above 0 and at most two for three viewers.
	Rate float64
	// MessageBytes is the length of a comment, 64 to 500; 200 when 0.
	MessageBytes int
	// For is how long comments are sent, at least 1 s. They are due at even pauses; each room's first viewer
	// sends before anybody sends twice.
	For time.Duration
	// JoinRate is how many joins begin a second; 500 when 0, at most 10,000.
	JoinRate int
	// Seed draws the sizes of the rooms. MostLate, Thresholds and Progress are as in [Fanout].
	Seed       uint64
	MostLate   time.Duration
	Thresholds []Threshold
	Progress   func(Progress)

	// How long comments may take to reach everybody after the last one; 10 s when 0.
	news time.Duration
}

// leastRoomMessage leaves place for the run's word, the room and a comment's number.
const leastRoomMessage = 64

// OverRooms returns what plays a plan that has Rooms. A room's comments come at the rate of the plan, evenly.
func (p Plan) OverRooms() Rooms {
	return Rooms{
		Name: p.Name, Rooms: p.Rooms, Viewers: p.Viewers, Rate: p.Comments * float64(p.Viewers) / 1000, MessageBytes: p.MessageBytes, For: p.Length(),
	}
}

// checkRooms says what does not go together with many rooms.
func (s Scenario) checkRooms() error {
	plain := s
	plain.Name, plain.Doc, plain.Sources, plain.Stages, plain.Viewers, plain.Rooms = "", "", nil, nil, defaultScenario().Viewers, 0
	plain.Comments, plain.MessageBytes = 0, defaultScenario().MessageBytes
	switch {
	case s.Rooms < 1 || s.Rooms > maxRooms:
		return fmt.Errorf("there are 1 to %d rooms, not %d", maxRooms, s.Rooms)
	case s.Viewers < s.Rooms:
		return fmt.Errorf("%d rooms have at least as many viewers, not %d", s.Rooms, s.Viewers)
	case s.Comments == 0 || s.Comments > 1000/1.5:
		return fmt.Errorf("rates.comments of many rooms is above 0 and at most %.0f, not %g", 1000/1.5, s.Comments)
	case s.MessageBytes < leastRoomMessage:
		return fmt.Errorf("message_bytes of many rooms is at least %d, not %d", leastRoomMessage, s.MessageBytes)
	case !reflect.DeepEqual(plain, defaultScenario()):
		return errors.New("many rooms have viewers, rates.comments, message_bytes and the time of their stages, and nothing else")
	}
	return nil
}

// complete fills in the defaults and says what makes no run.
func (o Rooms) complete() (Rooms, error) {
	var err error
	if o.Target, err = o.Target.prepare(); err != nil {
		return o, err
	}
	o.Name, o.MessageBytes, o.JoinRate = cmp.Or(o.Name, "many-rooms"), cmp.Or(o.MessageBytes, 200), cmp.Or(o.JoinRate, 500)
	o.news = cmp.Or(o.news, 10*time.Second)
	switch {
	case o.Target.HostToken == "":
		return o, errors.New("target: a host's token is needed: rooms are made with it")
	case o.Rooms < 1 || o.Rooms > maxRooms:
		return o, fmt.Errorf("there are 1 to %d rooms, not %d", maxRooms, o.Rooms)
	case o.Viewers < o.Rooms || o.Viewers > maxViewers:
		return o, fmt.Errorf("%d rooms have %d to %d viewers, not %d", o.Rooms, o.Rooms, maxViewers, o.Viewers)
	case !(o.Rate > 0) || 3*o.Rate > 2*float64(o.Viewers):
		return o, fmt.Errorf("a viewer may send 20 comments in 30 s: %d viewers send above 0 and at most %.4g a second, not %g", o.Viewers, float64(o.Viewers)/1.5, o.Rate)
	case o.MessageBytes < leastRoomMessage || o.MessageBytes > maxMessage:
		return o, fmt.Errorf("a comment has %d to %d bytes, not %d", leastRoomMessage, maxMessage, o.MessageBytes)
	case o.JoinRate < 1 || o.JoinRate > 10000:
		return o, fmt.Errorf("1 to 10000 join a second, not %d", o.JoinRate)
	case o.For < time.Second || o.For > maxLength:
		return o, fmt.Errorf("comments are sent for 1 s to %v, not %v", maxLength, o.For)
	}
	return o, nil
}

// roomSizes returns log-normal sizes of so many rooms, at least 1 each and viewers in all.
func roomSizes(rooms, viewers int, seed uint64) []int {
	rng := mathrand.New(mathrand.NewPCG(seed, 2))
	weights, total := make([]float64, rooms), 0.0
	for i := range weights {
		weights[i] = math.Exp(roomSigma * rng.NormFloat64())
		total += weights[i]
	}
	sizes, sum, given := make([]int, rooms), 0.0, 0
	for i, w := range weights {
		sum += w
		until := int(math.Round(sum / total * float64(viewers-rooms)))
		sizes[i] = 1 + until - given
		given = until
	}
	return sizes
}

// roomsRun is one run's state.
type roomsRun struct {
	Rooms
	*roomsTally
	front  *shopfront
	swarm  Swarm
	tokens []viewerToken
	rooms  []string // ids
}

// Run plays and checks. The error is for runs in which a room could not be made or not everybody could join.
// The end of ctx ends the run at once: the result is partial, without a verdict.
func (o Rooms) Run(ctx context.Context) (*Result, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o.Target.Servers, err = o.Target.Servers.reach(ctx); err != nil {
		return nil, err
	}
	tag := rand.Text()[:8]
	tokens, err := o.Target.viewerTokens(tag, o.Viewers, part{})
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	r := &roomsRun{Rooms: o, roomsTally: newRoomsTally(tag, roomSizes(o.Rooms, o.Viewers, o.Seed), NewMeter(begin)), front: newShopfront(o.Target), tokens: tokens}
	defer r.front.close()
	r.swarm, err = NewSwarm(SwarmConfig{Viewers: o.Viewers, OnFrame: r.frame, OnEnd: r.end, Goroutines: o.Target.secure()})
	if err != nil {
		return nil, err
	}
	result := &Result{Scenario: o.Name, Viewers: o.Viewers, Environment: describe(ctx, o.Target), Checks: []Check{}}
	watching, stop := context.WithCancel(ctx)
	marks := make(chan []Mark, 1)
	go func() { marks <- o.Target.Servers.watch(watching, r.meter) }() // ends with stop; its marks are awaited
	at, err := r.play(ctx)
	stop()
	result.Marks = <-marks
	if ctx.Err() == nil && err == nil {
		result.Checks = r.checks()
	}
	err = errors.Join(err, r.swarm.Close(), r.endRooms(ctx))
	switch {
	case ctx.Err() != nil:
		result.Partial = "the run was interrupted while " + at
	case err != nil:
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	if err := punctual(r.meter, o.MostLate); err != nil && result.Partial == "" {
		result.Invalid = append(result.Invalid, err.Error())
	}
	result.Seconds = time.Since(begin).Seconds()
	result.measure(r.meter)
	result.Figures = append(r.figures(), Figure{"seed", int64(o.Seed)})
	result.judge(o.Thresholds)
	return result, nil
}

// play goes through the steps and names the last one that it began.
func (r *roomsRun) play(ctx context.Context) (at string, err error) {
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{{"making rooms", r.open}, {"joining", r.join}, {"sending comments", r.talk}, {"settling", r.settle}} {
		at = step.name
		if r.Progress != nil {
			r.Progress(Progress{Phase: at, Viewers: int64(r.Viewers), Comments: r.accepted.Load()})
		}
		if err := step.run(ctx); err != nil || ctx.Err() != nil {
			return at, errors.Join(err, ctx.Err())
		}
	}
	return "ending rooms", nil
}

// open makes the rooms and starts them.
func (r *roomsRun) open(ctx context.Context) error {
	for i := range r.Rooms.Rooms {
		r.rooms = append(r.rooms, fmt.Sprintf("load-%s-%d", r.tag, i))
	}
	return each(ctx, joining, r.rooms, func(ctx context.Context, id string) error {
		in := map[string]string{"id": id, "title": "Load test " + id}
		if err := r.front.call(ctx, "POST", "/v1/rooms", r.Target.HostToken, NewRequestID(), in, nil); err != nil {
			return err
		}
		return r.move(ctx, id, "start")
	})
}

// move starts or ends a room.
func (r *roomsRun) move(ctx context.Context, id, move string) error {
	return r.front.call(ctx, "POST", "/v1/rooms/"+url.PathEscape(id)+"/"+move, r.Target.HostToken, NewRequestID(), nil, nil)
}

// endRooms leaves none of the rooms live, also where the run was interrupted.
func (r *roomsRun) endRooms(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return each(ctx, joining, r.rooms, func(ctx context.Context, id string) error {
		err := r.move(ctx, id, "end")
		if err != nil && !r.joinedAll.Load() {
			return nil // one that was never made is no trouble of its own
		}
		return err
	})
}

// join joins everybody, each to the own room.
func (r *roomsRun) join(ctx context.Context) error {
	outcomes := make(chan error, r.Viewers)
	err := NewPacer(time.Now(), r.meter).Run(ctx, evenly(KindJoin, r.Viewers, r.JoinRate, r.Viewers), func(a Arrival, due time.Time) {
		i := int(a.Viewer)
		r.meter.Count("sent.join", 1)
		t := r.Target
		t.Room = r.rooms[r.roomOf[i]]
		// Turns over formats go at half the pace of turns over gateways, so that every pair occurs.
		format := proto.Format(i / len(t.Gateways) % proto.Formats)
		cfg := ViewerConfig{URL: t.socketURL(i), TLS: t.tls, Token: r.tokens[i].text, Format: format}
		r.swarm.Join(i, cfg, func(_ *proto.SessionWelcome, err error) {
			if err == nil {
				r.meter.Time("join", time.Since(due))
				r.audience.joined()
			} else {
				r.meter.Count("join_failed", 1)
			}
			outcomes <- err
		})
	})
	if err != nil {
		return err
	}
	failed, first := 0, error(nil)
	for range r.Viewers {
		select {
		case err := <-outcomes:
			if err != nil {
				failed++
				first = cmp.Or(first, err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d viewers could not join, the first: %w", failed, r.Viewers, first)
	}
	r.joinedAll.Store(true)
	return nil
}

// turns are n comments at even pauses: of the first viewer of each room, then of everybody by turns.
func (r *roomsRun) turns(n int) iter.Seq[Arrival] {
	order := slices.Clone(r.first)
	rest := mathrand.New(mathrand.NewPCG(r.Seed, 3)).Perm(r.Viewers)
	for _, i := range rest {
		if r.first[r.roomOf[i]] != i {
			order = append(order, i)
		}
	}
	return func(yield func(Arrival) bool) {
		for k := range n {
			if !yield(Arrival{At: seconds(float64(k) / r.Rate), Viewer: uint32(order[k%len(order)]), Kind: KindComment}) {
				return
			}
		}
	}
}

// talk sends the comments.
func (r *roomsRun) talk(ctx context.Context) error {
	n := int(r.For.Seconds() * r.Rate)
	return NewPacer(time.Now(), r.meter).Run(ctx, r.turns(n), func(a Arrival, due time.Time) {
		r.meter.Count("sent.comment", 1)
		i := int(a.Viewer)
		text := r.text(r.roomOf[i], r.MessageBytes)
		r.audience.say(text, due)
		cmd := &proto.Command{Command: &proto.Command_ChatSend{ChatSend: &proto.ChatSend{Text: text}}}
		r.swarm.Send(i, cmd, func(reply *proto.Reply, err error) { r.answered(i, due, reply, err) })
	})
}

// settle waits until every comment has an outcome and everybody was told of those of the own room.
func (r *roomsRun) settle(ctx context.Context) error {
	until(ctx, r.news, func() bool { return r.outcomes.Load() == r.said && r.missing() == 0 })
	return ctx.Err()
}
