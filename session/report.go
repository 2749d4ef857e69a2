package session

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed report.lua
var reportLua string

//go:embed restore.lua
var restoreLua string

var (
	reportScript  = store.NewScript(reportLua)
	restoreScript = store.NewScript(restoreLua)
)

const (
	// keepSeconds is how long Redis keeps a room's figures after its last viewer.
	keepSeconds = 7 * 24 * 60 * 60
	// maxCalls is the most script calls in one round trip, maxIDs the most viewers in one call: neither
	// may hold up Redis or come near its client timeout.
	maxCalls = 200
	maxIDs   = 1_000
)

// counterKeys are the Redis keys of a room's figures, in the order of report.lua.
func counterKeys(roomID string) []string {
	tag := "{r:" + roomID + "}:"
	return []string{tag + "likes", tag + "visits", tag + "online", tag + "unique", tag + "counter", tag + "host"}
}

func hostKey(roomID string) string { return counterKeys(roomID)[5] }

// reportReply is what report.lua answers.
type reportReply struct {
	epoch                string
	sums                 figures
	online, peak, unique int64
	lower                bool
	visitsBefore         int64
	ownLikes             int64 // in sums
}

func (r reportReply) stats() *proto.RoomStats {
	return &proto.RoomStats{
		Online: r.online, Peak: r.peak, Visits: r.sums.visits, Unique: r.unique,
		UniqueLowerBound: r.lower, Likes: r.sums.likes,
	}
}

func parseReport(cmd *redis.Cmd) (reportReply, error) {
	reply, err := cmd.Slice()
	if err != nil {
		return reportReply{}, err
	}
	var n [8]int64
	if len(reply) != len(n)+1 {
		return reportReply{}, fmt.Errorf("report.lua replied %d values", len(reply))
	}
	epoch, ok := reply[0].(string)
	for i := range n {
		var isInt bool
		n[i], isInt = reply[i+1].(int64)
		ok = ok && isInt
	}
	if !ok {
		return reportReply{}, fmt.Errorf("report.lua replied %v", reply)
	}
	return reportReply{
		epoch: epoch, sums: figures{likes: n[0], visits: n[1]}, online: n[2], peak: n[3], unique: n[4],
		lower: n[5] != 0, visitsBefore: n[6], ownLikes: n[7],
	}, nil
}

func (p *Presence) readArgs() []any {
	return []any{"", 0, 0, 0, p.cfg.StaleAfter.Milliseconds(), keepSeconds, 0, 0}
}

// sending is what one room's report says.
type sending struct {
	room    *presentRoom
	own     figures
	ids     []string
	recount bool
	lower   bool
	calls   []store.Call
	reply   reportReply
	err     error
}

// report writes the figures of rooms that have any to write and reads their sums. Rooms that Redis
// does not know are restored first; rooms of which it lost something are reported again at once.
func (p *Presence) report(ctx context.Context, rooms []*presentRoom) {
	p.serial.Lock()
	defer p.serial.Unlock()
	reported, failed := false, error(nil)
	for range 2 {
		var sent []*sending
		for _, r := range rooms {
			if s := p.sendingOf(r); s != nil {
				sent = append(sent, s)
			}
		}
		if len(sent) == 0 {
			break
		}
		p.exchange(ctx, sent)
		var unbased []*presentRoom
		rooms = nil
		for _, s := range sent {
			if s.err == nil {
				if lost := s.succeeded(); lost {
					rooms = append(rooms, s.room)
				}
				continue
			}
			failed = s.err
			if s.failed() {
				unbased = append(unbased, s.room)
			}
		}
		if len(unbased) > 0 {
			p.baseOnSaved(ctx, unbased)
		}
		reported = true
	}
	if reported && ctx.Err() == nil {
		p.redisAnswered(failed)
	}
}

// exchange sends, and restores the rooms that Redis does not know and sends those again.
func (p *Presence) exchange(ctx context.Context, sent []*sending) {
	p.send(ctx, sent)
	unknown := slices.DeleteFunc(slices.Clone(sent), func(s *sending) bool { return s.err != nil || s.reply.epoch != "" })
	if len(unknown) == 0 {
		return
	}
	if err := p.restore(ctx, unknown); err != nil {
		for _, s := range unknown {
			s.err = err
		}
		return
	}
	p.send(ctx, unknown)
	for _, s := range unknown {
		if s.err == nil && s.reply.epoch == "" {
			s.err = errors.New("redis lost the room again")
		}
	}
}

// sendingOf takes what a room has to report; nil for nothing.
func (p *Presence) sendingOf(r *presentRoom) *sending {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled {
		return nil
	}
	s := &sending{room: r, own: r.own, ids: r.newcomers, recount: r.recount, lower: r.lower}
	if r.recount {
		s.ids = slices.Collect(maps.Keys(r.viewers))
	}
	r.newcomers, r.recount, r.lower = nil, false, false
	online, host := r.online, int64(0)
	if p.closing.Load() {
		online = 0
	} else if r.hosts > 0 {
		// A few missed reports are not a host gone.
		host = 5 * p.cfg.ReportEvery.Milliseconds()
	}
	lower := 0
	if s.lower {
		lower = 1
	}
	args := []any{r.part, r.own.likes, r.own.visits, online, p.cfg.StaleAfter.Milliseconds(), keepSeconds, host, lower}
	keys := counterKeys(r.id)
	for ids := range slices.Chunk(s.ids, maxIDs) {
		call := slices.Clone(args)
		for _, id := range ids {
			call = append(call, id)
		}
		s.calls = append(s.calls, store.Call{Keys: keys, Args: call})
	}
	if len(s.calls) == 0 {
		s.calls = []store.Call{{Keys: keys, Args: args}}
	}
	return s
}

// send runs the calls of all rooms; the last reply of a room counts.
func (p *Presence) send(ctx context.Context, sent []*sending) {
	type place struct {
		s     *sending
		first bool
	}
	var calls []store.Call
	var places []place
	for _, s := range sent {
		for i, call := range s.calls {
			calls, places = append(calls, call), append(places, place{s, i == 0})
		}
	}
	for len(calls) > 0 {
		n := min(len(calls), maxCalls)
		replies, err := reportScript.RunAll(ctx, p.cfg.Redis, calls[:n])
		for i, at := range places[:n] {
			var reply reportReply
			replyErr := err
			if err == nil {
				reply, replyErr = parseReport(replies[i])
			}
			if at.first {
				at.s.reply, at.s.err = reply, replyErr
				continue
			}
			// The first call of a room tells what was stored before; one failure fails the room.
			reply.visitsBefore = at.s.reply.visitsBefore
			at.s.reply, at.s.err = reply, errors.Join(at.s.err, replyErr)
		}
		calls, places = calls[n:], places[n:]
	}
}

// succeeded notes the sums and reports whether Redis lost something meanwhile.
func (s *sending) succeeded() (lost bool) {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	lost = r.epoch != "" && (s.reply.epoch != r.epoch || s.reply.visitsBefore < r.acked.visits)
	if lost {
		// Our own figures are written again by now; our viewers are not.
		r.recount, r.newcomers, r.lower = true, nil, true
	}
	r.lowerKnown = s.reply.lower || r.lower
	r.epoch, r.based = s.reply.epoch, true
	r.acked.visits, r.sums.visits = s.own.visits, s.reply.sums.visits
	r.likesWritten(s.reply.ownLikes, s.reply.sums.likes, lost)
	r.stats = r.risen(s.reply.stats())
	// What Postgres has comes back with a restore; anything else must be reported again and again.
	r.settled = r.online == 0 && r.own == r.acked && r.own == r.kept && len(r.newcomers) == 0 && !r.recount && !r.lower && r.batch == nil
	r.unsaved = true
	return lost
}

// failed gives the room back what was not written and reports whether its sums come from nowhere.
func (s *sending) failed() (unbased bool) {
	r := s.room
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lower = r.lower || s.lower
	switch {
	case r.recount:
	case s.recount || len(s.ids)+len(r.newcomers) > maxNewcomers:
		r.recount, r.newcomers = true, nil
		r.lower = true // some may leave before they are told of
	default:
		r.newcomers = append(s.ids, r.newcomers...)
	}
	r.stats = r.alone()
	r.unsaved = true
	return !r.based
}

// restore makes Redis know rooms that it does not: from what was saved, and what is known here.
func (p *Presence) restore(ctx context.Context, unknown []*sending) error {
	ids := make([]string, len(unknown))
	for i, s := range unknown {
		ids[i] = s.room.id
	}
	saved, err := savedCounters(ctx, p.cfg.Pool, ids)
	if err != nil {
		return err
	}
	calls := make([]store.Call, len(unknown))
	for i, s := range unknown {
		calls[i] = store.Call{Keys: counterKeys(s.room.id)[:5], Args: s.room.restoreArgs(saved[s.room.id])}
	}
	for chunk := range slices.Chunk(calls, maxCalls) {
		replies, err := restoreScript.RunAll(ctx, p.cfg.Redis, chunk)
		if err != nil {
			return err
		}
		for _, reply := range replies {
			if err := reply.Err(); err != nil {
				return fmt.Errorf("restore counters: %w", err)
			}
		}
	}
	return nil
}

func (r *presentRoom) restoreArgs(saved counters) []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	peak, unique := saved.peak, saved.unique
	// A room that somebody counted before has lost those who left; a new one has lost nobody.
	lower := 0
	if r.epoch != "" || saved.unique > 0 || saved.lower {
		lower = 1
	}
	if r.stats != nil {
		peak, unique = max(peak, r.stats.Peak), max(unique, r.stats.Unique)
	}
	args := []any{rand.Text(), peak, unique, lower, keepSeconds}
	for part, f := range saved.parts {
		args = append(args, part, f.likes, f.visits)
	}
	return args
}
