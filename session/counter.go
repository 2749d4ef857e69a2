package session

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed sql/save_parts.sql
var saveParts string

//go:embed sql/save_counter.sql
var saveCounter string

// counters are a room's figures as saved in Postgres. The zero value is a room without any.
type counters struct {
	peak, unique int64
	lower        bool
	sums         figures
	parts        map[string]figures
}

func (c counters) stats() *proto.RoomStats {
	return &proto.RoomStats{Peak: c.peak, Visits: c.sums.visits, Unique: c.unique, UniqueLowerBound: c.lower, Likes: c.sums.likes}
}

// savedCounters reads what was saved of rooms; a room that was never saved is absent.
func savedCounters(ctx context.Context, q store.Querier, roomIDs []string) (map[string]counters, error) {
	saved := make(map[string]counters, len(roomIDs))
	rows, err := q.Query(ctx, `SELECT room_id, peak, visits, unique_viewers, unique_lower_bound, likes FROM room_counter WHERE room_id = ANY($1)`, roomIDs)
	if err != nil {
		return nil, fmt.Errorf("read saved counters: %w", err)
	}
	var id string
	var c counters
	_, err = pgx.ForEachRow(rows, []any{&id, &c.peak, &c.sums.visits, &c.unique, &c.lower, &c.sums.likes}, func() error {
		c.parts = make(map[string]figures)
		saved[id] = c
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read saved counters: %w", err)
	}
	rows, err = q.Query(ctx, `SELECT room_id, part, visits, likes FROM room_counter_part WHERE room_id = ANY($1)`, roomIDs)
	if err != nil {
		return nil, fmt.Errorf("read saved counters: %w", err)
	}
	var part string
	var f figures
	_, err = pgx.ForEachRow(rows, []any{&id, &part, &f.visits, &f.likes}, func() error {
		if known, ok := saved[id]; ok {
			known.parts[part] = f
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read saved counters: %w", err)
	}
	return saved, nil
}

// baseOnSaved gives rooms that never saw Redis their sums from Postgres, so that a gateway that
// starts without Redis does not begin at 0.
func (p *Presence) baseOnSaved(ctx context.Context, rooms []*presentRoom) {
	ids := make([]string, len(rooms))
	for i, r := range rooms {
		ids[i] = r.id
	}
	saved, err := savedCounters(ctx, p.cfg.Pool, ids)
	if err != nil {
		if ctx.Err() == nil {
			p.cfg.Log.Warn("rooms count from 0 for the moment", "err", err)
		}
		return
	}
	for _, r := range rooms {
		r.mu.Lock()
		if !r.based {
			r.sums, r.based, r.lowerKnown = saved[r.id].sums, true, saved[r.id].lower
			r.stats = saved[r.id].stats()
			r.stats = r.alone()
		}
		r.mu.Unlock()
	}
}

// save writes the totals of rooms that changed to Postgres, with the parts of all gateways, so that
// those of a dead gateway are kept too.
func (p *Presence) save(ctx context.Context) {
	var rooms []*presentRoom
	for _, r := range p.rooms.all() {
		r.mu.Lock()
		if r.unsaved {
			rooms = append(rooms, r)
		}
		r.mu.Unlock()
	}
	// In one order everywhere, so that two gateways cannot lock one another out.
	slices.SortFunc(rooms, func(a, b *presentRoom) int { return strings.Compare(a.id, b.id) })
	for chunk := range slices.Chunk(rooms, maxCalls) {
		if err := p.saveRooms(ctx, chunk); err != nil {
			if ctx.Err() == nil {
				p.cfg.Log.Warn("totals of rooms were not saved, the next round tries again", "err", err)
			}
			return
		}
	}
}

func (p *Presence) saveRooms(ctx context.Context, rooms []*presentRoom) error {
	parts := p.readParts(ctx, rooms)
	own := make([]figures, len(rooms))
	var totals struct {
		ids                         []string
		peak, visits, unique, likes []int64
		lower                       []bool
	}
	var each struct {
		ids, parts    []string
		visits, likes []int64
	}
	for i, r := range rooms {
		r.mu.Lock()
		r.unsaved = false
		stats := r.stats
		if stats == nil {
			stats = r.alone()
		}
		lower := r.lowerKnown
		own[i] = r.own
		parts[i][r.part] = r.own
		r.mu.Unlock()
		totals.ids = append(totals.ids, r.id)
		totals.peak = append(totals.peak, stats.Peak)
		totals.visits = append(totals.visits, stats.Visits)
		totals.unique = append(totals.unique, stats.Unique)
		totals.lower = append(totals.lower, lower)
		totals.likes = append(totals.likes, stats.Likes)
		names := make([]string, 0, len(parts[i]))
		for part := range parts[i] {
			names = append(names, part)
		}
		slices.Sort(names)
		for _, part := range names {
			each.ids, each.parts = append(each.ids, r.id), append(each.parts, part)
			each.visits, each.likes = append(each.visits, parts[i][part].visits), append(each.likes, parts[i][part].likes)
		}
	}
	err := store.InTx(ctx, p.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, saveParts, each.ids, each.parts, each.visits, each.likes); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, saveCounter, totals.ids, totals.peak, totals.visits, totals.unique, totals.lower, totals.likes)
		return err
	})
	for i, r := range rooms {
		r.mu.Lock()
		if err == nil {
			r.kept = own[i]
		} else {
			r.unsaved = true
		}
		r.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("save counters: %w", err)
	}
	return nil
}

// readParts returns what every gateway counted in the rooms, nothing where Redis does not answer.
func (p *Presence) readParts(ctx context.Context, rooms []*presentRoom) []map[string]figures {
	pipe := p.cfg.Redis.Pipeline()
	likes, visits := make([]*redis.MapStringStringCmd, len(rooms)), make([]*redis.MapStringStringCmd, len(rooms))
	for i, r := range rooms {
		keys := counterKeys(r.id)
		likes[i], visits[i] = pipe.HGetAll(ctx, keys[0]), pipe.HGetAll(ctx, keys[1])
	}
	_, _ = pipe.Exec(ctx) // each command carries its own error, and its value is empty then
	parts := make([]map[string]figures, len(rooms))
	for i := range rooms {
		parts[i] = make(map[string]figures)
		for part, n := range likes[i].Val() {
			f := parts[i][part]
			f.likes = parseFigure(n)
			parts[i][part] = f
		}
		for part, n := range visits[i].Val() {
			f := parts[i][part]
			f.visits = parseFigure(n)
			parts[i][part] = f
		}
	}
	return parts
}

// parseFigure reads one of our own numbers; 0, which changes nothing, for anything else.
func parseFigure(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
