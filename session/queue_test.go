package session

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"livecart/proto"
)

func flushOf(t interface{ Fatal(...any) }, chats, sampled int, others ...*proto.Event) *broadcast {
	events := append([]*proto.Event(nil), others...)
	for n := range chats {
		events = append(events, comment("vera", proto.Role_ROLE_VIEWER, fmt.Sprintf("comment %d of a flush", n)))
	}
	b, err := newBroadcast(events, chats, sampled, [proto.Formats]int{1, 1})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pin(seq int64) *proto.Event {
	return &proto.Event{Seq: seq, Event: &proto.Event_ChatPinned{ChatPinned: &proto.ChatPinned{By: &proto.User{Id: "hanna"}}}}
}

// drainQueue plays the writer: what it would send, and the comments it says were lost.
func drainQueue(q *queue) (messages int, skipped, sampled uint32) {
	for {
		w := q.next()
		switch {
		case w.own != nil && w.own.Skipped+w.own.Sampled > 0 && len(w.own.Events)+len(w.own.Replies) == 0:
			skipped += w.own.Skipped
			sampled += w.own.Sampled
		case w.msg != nil, w.own != nil:
			messages++
		default:
			return messages, skipped, sampled
		}
	}
}

func TestSlowViewerLosesWholeFlushesOfComments(t *testing.T) {
	b := flushOf(t, 10, 3)
	q := newQueue(proto.Binary, 8*b.whole[proto.Binary].size)
	q.pushRoom(b)
	q.next()
	q.stuck, q.spare = true, q.limit/4 // in the middle of it
	for range 5 {
		if _, ok := q.pushRoom(b); !ok {
			t.Fatal("comments ended the connection")
		}
	}
	// A quarter of the queue holds two flushes: the one being written and one more.
	messages, skipped, sampled := drainQueue(&q)
	if messages != 1 || skipped != 40 || sampled != 12 {
		t.Errorf("%d messages, %d skipped, %d sampled", messages, skipped, sampled)
	}
}

func TestStateDisplacesQueuedComments(t *testing.T) {
	chat, state := flushOf(t, 20, 2), flushOf(t, 0, 0, pin(1))
	q := newQueue(proto.Binary, 8*chat.whole[proto.Binary].size)
	q.pushMessage(state.whole[proto.Binary])
	q.next()
	if _, ok := q.pushRoom(flushOf(t, 20, 2, pin(9))); !ok {
		t.Fatal("no room for comments")
	}
	filler := q.limit - q.bytes
	q.admit(item{msg: state.whole[proto.Binary], size: filler})
	lost, ok := q.pushMessage(state.whole[proto.Binary])
	if !ok || lost != 20 {
		t.Fatalf("ok %v, lost %d", ok, lost)
	}
	// The numbered event of the displaced flush is still there.
	messages, skipped, sampled := drainQueue(&q)
	if messages != 3 || skipped != 20 || sampled != 2 {
		t.Errorf("%d messages, %d skipped, %d sampled", messages, skipped, sampled)
	}
}

func TestQueueIsOverWhenItIsFullOfWhatMayNotBeDropped(t *testing.T) {
	m := flushOf(t, 0, 0, pin(1)).whole[proto.Binary]
	q := newQueue(proto.Binary, 10*m.size)
	for n := range 10 {
		if _, ok := q.pushMessage(m); !ok {
			t.Fatalf("over after %d of 10 messages", n)
		}
	}
	if _, ok := q.pushMessage(m); ok {
		t.Error("takes more than its limit")
	}
}

func TestRepliesAreMergedWhileTheyWait(t *testing.T) {
	q := newQueue(proto.JSON, 1<<20)
	for n := range 5 {
		q.pushOwn(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: fmt.Sprint(n)}}})
	}
	w := q.next()
	if w.own == nil || len(w.own.Replies) != 5 {
		t.Fatalf("first frame is %v", w.own)
	}
	q.pushOwn(&proto.ServerFrame{Replies: []*proto.Reply{{RequestId: "5"}}})
	if len(w.own.Replies) != 5 {
		t.Error("a frame that is being written was changed")
	}
	if w = q.next(); w.own == nil || len(w.own.Replies) != 1 {
		t.Errorf("second frame is %v", w.own)
	}
}

func TestFinishedQueueTakesNothingMore(t *testing.T) {
	m := flushOf(t, 0, 0, pin(1)).whole[proto.Binary]
	for _, flush := range []bool{true, false} {
		t.Run(fmt.Sprintf("flush=%v", flush), func(t *testing.T) {
			q := newQueue(proto.Binary, 1<<20)
			q.pushMessage(m)
			if !q.finish(ending{code: 4001, flush: flush}) || q.finish(ending{code: 4003}) {
				t.Error("not the first call decides")
			}
			q.pushMessage(m)
			sent := 0
			w := q.next()
			for ; w.msg != nil; w = q.next() {
				sent++
			}
			if want := map[bool]int{true: 1, false: 0}[flush]; sent != want {
				t.Errorf("%d messages, want %d", sent, want)
			}
			if w.end == nil || w.end.code != 4001 {
				t.Errorf("end = %v", w.end)
			}
		})
	}
}

// Over any interleaving of room flushes, own frames and a writer that comes now and then: comments
// are sent or told as skipped, the bound holds, and what may not be dropped arrives or ends the
// connection.
func TestQueueAccountsForEveryComment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := newQueue(proto.Binary, rapid.IntRange(200, 4000).Draw(t, "limit"))
		q.stuck = true
		q.spare = rapid.SampledFrom([]int{0, q.limit / 4}).Draw(t, "spare")
		var pushed, sampledIn, states int
		var sent, told, sampledOut uint32
		kept, lost := 0, 0
		var flushes []*broadcast
		written := func(w work) {
			switch {
			case w.own != nil:
				told += w.own.Skipped
				sampledOut += w.own.Sampled
			case w.msg != nil:
				for _, b := range flushes {
					numbered := len(b.events) - int(b.chats)
					switch w.msg {
					case b.whole[proto.Binary]:
						sent += b.chats
						sampledOut += b.sampled
						kept += numbered
					case b.spare[proto.Binary]:
						kept += numbered
					}
				}
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				written(q.next())
				continue
			}
			chats := rapid.IntRange(0, 12).Draw(t, "chats")
			sampled := rapid.IntRange(0, 5).Draw(t, "sampled")
			var others []*proto.Event
			if rapid.Bool().Draw(t, "state") || chats+sampled == 0 {
				states++
				others = append(others, pin(int64(states)))
			}
			b := flushOf(t, chats, sampled, others...)
			flushes = append(flushes, b)
			n, ok := q.pushRoom(b)
			lost += n
			if !ok {
				return // closed with 4008
			}
			pushed += chats
			sampledIn += sampled
			if q.bytes > q.limit && len(q.items)-q.head > 1 {
				t.Fatalf("%d bytes in %d items, %d allowed", q.bytes, len(q.items)-q.head, q.limit)
			}
		}
		for w := q.next(); w.msg != nil || w.own != nil; w = q.next() {
			written(w)
		}
		if int(sent+told) != pushed || int(told) != lost || int(sampledOut) != sampledIn || kept != states {
			t.Fatalf("of %d comments %d sent, %d told as skipped (%d counted); of %d sampled %d told; of %d numbered %d sent",
				pushed, sent, told, lost, sampledIn, sampledOut, states, kept)
		}
		if q.bytes != 0 || q.inFlight != 0 {
			t.Fatalf("an empty queue counts %d and %d bytes", q.bytes, q.inFlight)
		}
	})
}
