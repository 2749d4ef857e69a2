package session

import (
	"time"

	"livecart/proto"
)

// Class says how an event is delivered.
type Class uint8

const (
	// ClassState is never dropped and flushed at once: numbered events and what is for one viewer.
	ClassState Class = iota
	// ClassGift is never dropped; tips of one combo are merged until the next flush.
	ClassGift
	// ClassChat is sampled per room and flush, and the first thing a slow viewer loses.
	ClassChat
	// ClassCounter is replaced by a later one of its kind until the next flush.
	ClassCounter
)

// bigTier is the gift tier that does not wait for the tick.
const bigTier = 3

// ClassOf returns an event's class.
func ClassOf(ev *proto.Event) Class {
	switch ev.Event.(type) {
	case *proto.Event_GiftSent:
		return ClassGift
	case *proto.Event_ChatMessage:
		return ClassChat
	case *proto.Event_RoomStats, *proto.Event_LikeTotal, *proto.Event_MemberJoin, *proto.Event_FlashStock:
		return ClassCounter
	}
	return ClassState
}

// mergeKey names what may be merged within one flush.
type mergeKey struct {
	kind               string
	user, gift, object string
}

// batch gathers a room's events between two flushes, in the order in which they came; what is
// merged stands where its first part came. Not safe for concurrent use.
type batch struct {
	events []*proto.Event
	merged map[mergeKey]int // place in events
	chats  int
	// Whether something in it does not wait for the tick.
	urgent bool
	// Whether there is nothing but figures and joiners in it.
	calm bool
}

func (b *batch) empty() bool { return len(b.events) == 0 }

// add takes an event that others may be reading: a merge works on a copy.
func (b *batch) add(ev *proto.Event) {
	class := ClassOf(ev)
	// Stock is what people wait for.
	b.calm = class == ClassCounter && ev.GetFlashStock() == nil && (b.calm || b.empty())
	switch class {
	case ClassState:
		b.urgent = true
	case ClassChat:
		b.chats++
	case ClassGift:
		b.urgent = b.urgent || ev.GetGiftSent().GetTier() >= bigTier
	}
	key, merge := merging(ev)
	if key == (mergeKey{}) {
		b.events = append(b.events, ev)
		return
	}
	if at, ok := b.merged[key]; ok {
		b.events[at] = merge(b.events[at], ev)
		return
	}
	if b.merged == nil {
		b.merged = make(map[mergeKey]int)
	}
	b.merged[key] = len(b.events)
	b.events = append(b.events, ev)
}

// merging returns what an event may be merged with and how, or a zero key.
func merging(ev *proto.Event) (mergeKey, func(old, ev *proto.Event) *proto.Event) {
	switch e := ev.Event.(type) {
	case *proto.Event_GiftSent:
		if e.GiftSent.GetComboId() == "" {
			return mergeKey{}, nil
		}
		return mergeKey{kind: "gift", user: e.GiftSent.GetUser().GetId(), gift: e.GiftSent.GiftId, object: e.GiftSent.ComboId}, mergeGift
	case *proto.Event_RoomStats:
		return mergeKey{kind: "stats"}, replace
	case *proto.Event_LikeTotal:
		return mergeKey{kind: "likes"}, mergeLikes
	case *proto.Event_MemberJoin:
		return mergeKey{kind: "join"}, mergeJoin
	case *proto.Event_FlashStock:
		return mergeKey{kind: "stock", object: e.FlashStock.GetSaleId()}, mergeStock
	}
	return mergeKey{}, nil
}

func replace(_, ev *proto.Event) *proto.Event { return ev }

func mergeStock(old, ev *proto.Event) *proto.Event {
	if newerStock(ev.GetFlashStock(), old.GetFlashStock()) {
		return ev
	}
	return old
}

func mergeLikes(old, ev *proto.Event) *proto.Event {
	a, b := old.GetLikeTotal(), ev.GetLikeTotal()
	return &proto.Event{TimeMs: ev.TimeMs, Event: &proto.Event_LikeTotal{
		LikeTotal: &proto.LikeTotal{Delta: a.Delta + b.Delta, Total: max(a.Total, b.Total)},
	}}
}

func mergeJoin(old, ev *proto.Event) *proto.Event {
	a, b := old.GetMemberJoin(), ev.GetMemberJoin()
	return &proto.Event{TimeMs: ev.TimeMs, Event: &proto.Event_MemberJoin{
		MemberJoin: &proto.MemberJoin{User: b.User, Count: a.Count + b.Count},
	}}
}

func mergeGift(old, ev *proto.Event) *proto.Event {
	a, b := old.GetGiftSent(), ev.GetGiftSent()
	sum := &proto.GiftSent{
		TipIds: append(append([]string(nil), a.TipIds...), b.TipIds...),
		User:   b.User, GiftId: b.GiftId, ComboId: b.ComboId,
		Delta: a.Delta + b.Delta, Beans: a.Beans + b.Beans,
		ComboCount: max(a.ComboCount, b.ComboCount),
		ComboEndMs: max(a.ComboEndMs, b.ComboEndMs),
		Tier:       max(a.Tier, b.Tier),
	}
	return &proto.Event{TimeMs: max(old.TimeMs, ev.TimeMs), Event: &proto.Event_GiftSent{GiftSent: sum}}
}

// Ranks of comments when not all can be shown.
const (
	rankFirst  = iota // of who runs the room, or pinned
	rankPatron        // of who bought or gave something
	rankOther
	ranks
)

// take empties the batch. It returns the events with at most budget comments (a negative budget
// keeps all), how many comments are among them, and how many it left out. Comments of a rank stay
// before those of the next one; within one they are picked evenly.
func (b *batch) take(budget int, rank func(*proto.ChatMessage) int) (events []*proto.Event, chats, sampled int) {
	events, chats = b.events, b.chats
	*b = batch{}
	if budget < 0 || chats <= budget {
		return events, chats, 0
	}
	var have, places, stride [ranks]int
	for _, ev := range events {
		if m := ev.GetChatMessage(); m != nil {
			have[rank(m)]++
		}
	}
	left := budget
	for r := range places {
		places[r] = min(have[r], left)
		left -= places[r]
	}
	kept := make([]*proto.Event, 0, len(events)-chats+budget)
	for _, ev := range events {
		m := ev.GetChatMessage()
		if m == nil {
			kept = append(kept, ev)
			continue
		}
		// Exactly as many as there are places: each adds the places, every full rank is one that stays.
		r := rank(m)
		if stride[r] += places[r]; stride[r] >= have[r] {
			stride[r] -= have[r]
			kept = append(kept, ev)
		}
	}
	return kept, budget, chats - budget
}

// chatBudget lets a number of comments a second through, with bursts of one second's worth.
type chatBudget struct {
	perSecond int // 0 lets all through
	tokens    float64
	at        time.Time
}

// left returns how many comments may go out now, -1 for all.
func (c *chatBudget) left(now time.Time) int {
	if c.perSecond == 0 {
		return -1
	}
	full := float64(c.perSecond)
	if c.at.IsZero() {
		c.tokens = full
	} else {
		c.tokens = min(full, c.tokens+now.Sub(c.at).Seconds()*full)
	}
	c.at = now
	return int(c.tokens)
}

func (c *chatBudget) spend(n int) { c.tokens -= float64(n) }
