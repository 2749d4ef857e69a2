package gift

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"livecart/proto"
	"livecart/session/store"
)

// MaxRanking is how many places a ranking shows.
const MaxRanking = 100

// maxRankings bounds the rooms whose ranking a gateway keeps.
const maxRankings = 10_000

// Ranking returns the room's top senders by beans, at most limit (1 to MaxRanking) of them; equal
// sums go by user id. It may be RankingAge old and is empty for a room without tips. The entries
// are shared: do not change them.
func (g *Gifts) Ranking(ctx context.Context, roomID string, limit int) ([]*proto.RankingEntry, error) {
	if limit < 1 || limit > MaxRanking {
		return nil, invalid("a ranking has 1 to %d places", MaxRanking)
	}
	if !store.ValidID(roomID) {
		return nil, ErrNoRoom
	}
	entries, err := g.rankings.of(ctx, roomID)
	if err != nil {
		return nil, err
	}
	return entries[:min(limit, len(entries))], nil
}

// rankings keeps the newest ranking of each room that somebody asks for.
type rankings struct {
	pool *pgxpool.Pool
	age  time.Duration

	mu    sync.Mutex
	rooms map[string]*ranking
}

// ranking is one room's; its mutex lets one caller read while the others wait for what it finds.
type ranking struct {
	mu      sync.Mutex
	entries []*proto.RankingEntry
	readAt  time.Time
}

func newRankings(pool *pgxpool.Pool, age time.Duration) *rankings {
	return &rankings{pool: pool, age: age, rooms: map[string]*ranking{}}
}

func (r *rankings) of(ctx context.Context, roomID string) ([]*proto.RankingEntry, error) {
	room := r.room(roomID)
	room.mu.Lock()
	defer room.mu.Unlock()
	if time.Since(room.readAt) <= r.age {
		return room.entries, nil
	}
	entries, err := readRanking(ctx, r.pool, roomID)
	if err != nil {
		return nil, err
	}
	room.entries, room.readAt = entries, time.Now()
	return entries, nil
}

func (r *rankings) room(roomID string) *ranking {
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.rooms[roomID]
	if room == nil {
		if len(r.rooms) >= maxRankings {
			clear(r.rooms) // each comes back with one cheap read
		}
		room = new(ranking)
		r.rooms[roomID] = room
	}
	return room
}

func readRanking(ctx context.Context, q store.Querier, roomID string) ([]*proto.RankingEntry, error) {
	rows, err := q.Query(ctx, `SELECT sender_id, sender_name, sender_role, beans FROM room_sender
		WHERE room_id = $1 ORDER BY beans DESC, sender_id LIMIT $2`, roomID, MaxRanking)
	if err != nil {
		return nil, fmt.Errorf("ranking of room %s: %w", roomID, err)
	}
	var rank int32
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*proto.RankingEntry, error) {
		rank++
		e := &proto.RankingEntry{Rank: rank, User: new(proto.User)}
		return e, row.Scan(&e.User.Id, &e.User.Name, &e.User.Role, &e.Beans)
	})
	if err != nil {
		return nil, fmt.Errorf("ranking of room %s: %w", roomID, err)
	}
	return entries, nil
}
