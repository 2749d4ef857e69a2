package session

import "livecart/proto"

// mergeBytes bounds how far replies and private events are merged into one frame, which is encoded when
// its turn comes. Larger ones are encoded before.
const mergeBytes = 2 << 10

// keepItems is how much room an empty queue keeps, for the next flush.
const keepItems = 16

// queue is what a connection has still to send, bounded in bytes. While the socket takes what it is
// offered nothing stays here. Once it is full, comments are not taken at all, or, where spare is set,
// only up to that; those that wait are given up when something that may not be dropped needs the
// room; when that does not suffice the queue is over.
//
// Guarded by the lock of the connection's shard.
type queue struct {
	format proto.Format
	limit  int
	// How many bytes may wait, comments among them, while the socket is full.
	spare int
	// The socket is full.
	stuck bool

	items []item // from head on; the ones before are taken
	head  int
	bytes int
	// Size of what was taken and is not written yet.
	inFlight int
	// Comments that this viewer lost and was not told of yet: its own loss, and what frames that it
	// never got would have said.
	skipped, sampled uint32
	ping             bool
	end              *ending
}

// item is one message to send: shared by the room, or own.
type item struct {
	room *broadcast // its whole message, while this is not nil
	msg  *message
	own  *proto.ServerFrame
	size int
}

// itemBytes is what an item costs beside its message, so that a bound in bytes holds for small ones.
const itemBytes = 40

// ending says how a connection is closed.
type ending struct {
	code int
	text string
	// Whether what is queued is sent before.
	flush bool
	// Whether what the client is still sending is read away, so that it sees why.
	linger bool
}

func newQueue(f proto.Format, limit int) queue {
	return queue{format: f, limit: limit}
}

// pushRoom queues a flush of the room and returns how many comments this viewer loses by it. It
// reports false when the queue is full of what may not be dropped.
func (q *queue) pushRoom(b *broadcast) (lost int, ok bool) {
	if q.end != nil {
		return 0, true
	}
	whole := b.whole[q.format]
	if b.chats == 0 || !q.stuck || q.load()+whole.size <= q.spare {
		lost, ok = q.admit(item{room: b, msg: whole, size: whole.size})
		return lost, ok
	}
	q.skip(b)
	lost = int(b.chats)
	spare := b.withoutChat(q.format)
	if spare == nil {
		return lost, true
	}
	more, ok := q.admit(item{msg: spare, size: spare.size})
	return lost + more, ok
}

// pushMessage queues a message of shared bytes that may not be dropped.
func (q *queue) pushMessage(m *message) (lost int, ok bool) {
	if q.end != nil {
		return 0, true
	}
	return q.admit(item{msg: m, size: m.size})
}

// pushOwn queues a frame for this viewer alone, merging it into the last one where that is waiting.
func (q *queue) pushOwn(frame *proto.ServerFrame) (lost int, ok bool) {
	if q.end != nil {
		return 0, true
	}
	size := frameSize(q.format, frame)
	if n := len(q.items); n > q.head && q.items[n-1].own != nil && q.items[n-1].size+size <= mergeBytes && q.bytes+size <= q.limit {
		last := &q.items[n-1]
		last.own.Events = append(last.own.Events, frame.Events...)
		last.own.Replies = append(last.own.Replies, frame.Replies...)
		last.size += size
		q.bytes += size
		return 0, true
	}
	return q.admit(item{own: frame, size: size})
}

// frameSize is what a frame counts before it is encoded, near enough for a bound.
func frameSize(f proto.Format, frame *proto.ServerFrame) int {
	size := proto.Size(frame)
	if f == proto.JSON {
		size *= 2
	}
	return size + itemBytes
}

// load is what is not sent yet, the message that the writer is at included.
func (q *queue) load() int { return q.bytes + q.inFlight }

// admit queues it, giving up queued comments when there is no room. What is being written does not
// count: it may be a large flush of comments, which cannot be taken back. An empty queue takes
// anything.
func (q *queue) admit(it item) (lost int, ok bool) {
	if q.bytes > 0 && q.bytes+it.size > q.limit {
		lost = q.shed()
		if q.bytes > 0 && q.bytes+it.size > q.limit {
			return lost, false
		}
	}
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, it)
	q.bytes += it.size
	return lost, true
}

// shed gives up the comments that wait and returns how many those were.
func (q *queue) shed() (lost int) {
	kept := q.items[:0]
	for _, it := range q.items[q.head:] {
		if it.room == nil || it.room.chats == 0 {
			kept = append(kept, it)
			continue
		}
		q.skip(it.room)
		lost += int(it.room.chats)
		q.bytes -= it.size
		if spare := it.room.withoutChat(q.format); spare != nil {
			kept = append(kept, item{msg: spare, size: spare.size})
			q.bytes += spare.size
		}
	}
	clear(q.items[len(kept):])
	q.items, q.head = kept, 0
	return lost
}

func (q *queue) skip(b *broadcast) {
	q.skipped += b.chats
	q.sampled += b.sampled
}

// requestPing has a ping sent before what is sent next.
func (q *queue) requestPing() {
	if q.end == nil {
		q.ping = true
	}
}

// finish ends the queue: nothing is taken any more. The first call decides how and reports true.
func (q *queue) finish(e ending) bool {
	if q.end != nil {
		return false
	}
	q.end = &e
	if !e.flush {
		q.items, q.head, q.bytes, q.skipped, q.sampled = nil, 0, 0, 0, 0
	}
	return true
}

// ended reports whether the queue takes nothing any more.
func (q *queue) ended() bool {
	return q.end != nil
}

// work is what is written next; the zero value: nothing.
type work struct {
	ping bool
	msg  *message
	own  *proto.ServerFrame
	end  *ending
}

// next takes the next work. Calling it says that the work before is done.
func (q *queue) next() work {
	q.inFlight = 0
	switch {
	case q.ping && q.end == nil:
		q.ping = false
		return work{ping: true}
	case q.skipped > 0 || q.sampled > 0:
		told := &proto.ServerFrame{Skipped: q.skipped, Sampled: q.sampled}
		q.skipped, q.sampled = 0, 0
		return work{own: told}
	case len(q.items) > q.head:
		it := q.items[q.head]
		q.items[q.head] = item{}
		q.head++
		if q.head == len(q.items) {
			q.items, q.head = q.items[:0], 0
			if cap(q.items) > keepItems {
				q.items = nil
			}
		}
		q.bytes -= it.size
		q.inFlight = it.size
		return work{msg: it.msg, own: it.own}
	}
	return work{end: q.end}
}
