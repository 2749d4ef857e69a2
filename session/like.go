package session

import (
	"context"
	_ "embed"
	"sync"
	"time"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed like.lua
var likeLua string

var likeScript = store.NewScript(likeLua)

// likeBatch are the likes of one room that wait for the same flush.
type likeBatch struct {
	done  chan struct{} // closed after the flush; total is set then
	total int64
}

// likeQueue holds the rooms whose likes wait.
type likeQueue struct {
	mu     sync.Mutex
	rooms  []*presentRoom
	filled chan struct{} // has one entry while rooms wait
}

func (q *likeQueue) add(r *presentRoom) {
	q.mu.Lock()
	q.rooms = append(q.rooms, r)
	q.mu.Unlock()
	select {
	case q.filled <- struct{}{}:
	default:
	}
}

func (q *likeQueue) take() []*presentRoom {
	q.mu.Lock()
	defer q.mu.Unlock()
	rooms := q.rooms
	q.rooms = nil
	return rooms
}

// Likes adds 1 to 100 likes and returns all likes of the room after they were written to Redis,
// with the other likes of the moment. While Redis is away they are counted here and written when it
// is back; then the total is the last known one and what was counted here. When ctx ends first its
// error is returned and the likes still count.
func (p *Presence) Likes(ctx context.Context, roomID string, n int64) (total int64, err error) {
	if n < 1 || n > MaxLikes {
		return 0, proto.Refuse(proto.ReasonInvalidArgument, "count must be 1 to %d", MaxLikes)
	}
	select {
	case <-p.stopped:
		return 0, errStopping
	default:
	}
	var batch *likeBatch
	p.rooms.with(p.run, roomID, func(r *presentRoom) {
		r.own.likes += n
		r.settled = false
		if r.batch == nil {
			r.batch = &likeBatch{done: make(chan struct{})}
			p.likes.add(r)
		}
		batch = r.batch
	})
	select {
	case <-batch.done:
		return batch.total, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-p.stopped:
	}
	select {
	case <-batch.done: // by the last flush
		return batch.total, nil
	default:
		return 0, errStopping
	}
}

var errStopping = proto.Refuse(proto.ReasonTryAgain, "this gateway is closing").After(time.Second)

// flushLikes writes likes as they come, at most once a LikeFlush, until ctx ends.
func (p *Presence) flushLikes(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.likes.filled:
			p.writeLikes(ctx, p.likes.take())
		}
		pause.Reset(p.cfg.LikeFlush)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// writeLikes writes the rooms' likes, all in one round trip, and releases those who wait.
func (p *Presence) writeLikes(ctx context.Context, rooms []*presentRoom) {
	batches := make([]*likeBatch, len(rooms))
	calls := make([]store.Call, len(rooms))
	for i, r := range rooms {
		r.mu.Lock()
		keys := counterKeys(r.id)
		calls[i] = store.Call{Keys: []string{keys[0], keys[4]}, Args: []any{r.part, r.own.likes}}
		batches[i], r.batch = r.batch, nil
		r.mu.Unlock()
	}
	replies, err := likeScript.RunAll(ctx, p.cfg.Redis, calls)
	var unknown []*presentRoom
	for i, r := range rooms {
		if err != nil {
			break
		}
		reply, err := replies[i].Int64Slice()
		switch {
		case err != nil || len(reply) != 2: // the next report writes them
		case reply[0] < 0:
			unknown = append(unknown, r)
		default:
			r.mu.Lock()
			r.likesWritten(reply[1], reply[0], false)
			r.mu.Unlock()
		}
	}
	if len(unknown) > 0 { // a report restores them and writes everything
		p.report(ctx, unknown)
	}
	for i, r := range rooms {
		batches[i].finish(r)
	}
}

// release lets go those who wait when no flush comes any more.
func (q *likeQueue) release(p *Presence) {
	for _, r := range q.take() {
		r.mu.Lock()
		batch := r.batch
		r.batch = nil
		r.mu.Unlock()
		batch.finish(r)
	}
}

// finish tells those who wait the likes as they are known now.
func (b *likeBatch) finish(r *presentRoom) {
	r.mu.Lock()
	b.total = r.sums.likes + r.own.likes - r.acked.likes
	if r.stats != nil {
		b.total = max(b.total, r.stats.Likes)
	}
	r.mu.Unlock()
	close(b.done)
}
