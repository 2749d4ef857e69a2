package loadtest

import (
	"sync"
	"time"

	"livecart/proto"
)

// Bounds of what a likeBoard holds.
const (
	// mostLikeReaders is at how many people likes are measured.
	mostLikeReaders = 100
	// totalsKept is how many totals are remembered for likes whose reply comes later than they: a minute's.
	totalsKept = 64
)

// likeBoard measures how long likes take to be shown. A like has no event of its own, for of the room's totals
// the newest wins: it is shown to somebody with the first total, of like_total or room_stats, that is as high
// as the one in the reply to the like. Safe for concurrent use.
type likeBoard struct {
	meter *Meter

	mu      sync.Mutex
	readers []*likeReader
}

// likeReader is one person to whom totals are shown. Its methods take nil for somebody at whom nobody looks.
type likeReader struct {
	meter *Meter

	mu      sync.Mutex
	shown   []shownTotal // the newest, rising
	waiting []dueLike    // for a total as high
}

type shownTotal struct {
	total int64
	at    time.Time
}

type dueLike struct {
	total int64
	due   time.Time
}

// reader adds one person, and returns nil when there are enough of them.
func (b *likeBoard) reader() *likeReader {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readers) == mostLikeReaders {
		return nil
	}
	r := &likeReader{meter: b.meter}
	b.readers = append(b.readers, r)
	return r
}

// liked takes in a like that was due at a time and whose reply told a total.
func (b *likeBoard) liked(total int64, due time.Time) {
	b.mu.Lock()
	readers := b.readers
	b.mu.Unlock()
	for _, r := range readers {
		r.liked(dueLike{total, due})
	}
}

func (r *likeReader) liked(like dueLike) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shown := range r.shown {
		if shown.total >= like.total {
			r.meter.Time("delivery.like", shown.at.Sub(like.due))
			return
		}
	}
	r.waiting = append(r.waiting, like)
}

// frame takes in what came to the person.
func (r *likeReader) frame(frame *proto.ServerFrame) {
	if r == nil {
		return
	}
	for _, ev := range frame.Events {
		r.show(max(ev.GetLikeTotal().GetTotal(), ev.GetRoomStats().GetLikes(), ev.GetSessionWelcome().GetStats().GetLikes()))
	}
}

func (r *likeReader) show(total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.shown); total == 0 || n > 0 && r.shown[n-1].total >= total {
		return
	}
	now := time.Now()
	if len(r.shown) == totalsKept {
		r.shown = append(r.shown[:0], r.shown[1:]...)
	}
	r.shown = append(r.shown, shownTotal{total, now})
	left := r.waiting[:0]
	for _, like := range r.waiting {
		if like.total > total {
			left = append(left, like)
			continue
		}
		r.meter.Time("delivery.like", now.Sub(like.due))
	}
	r.waiting = left
}
