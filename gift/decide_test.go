package gift

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"livecart/proto"
)

// serial is the naive model: every figure is summed up anew from the list of what was booked, one
// request at a time.
type serial struct {
	issued   map[string]int64
	gifts    map[string]price
	rooms    map[string]stage
	confirm  int64
	tips     []serialTip
	attempts map[attemptKey]serialAttempt
}

type serialTip struct {
	req  *proto.TipRequest
	cost int64
}

type serialAttempt struct {
	hash       string
	outcome    proto.TipOutcome
	balance    int64
	comboCount int64
	needed     int64 // beans that were not agreed to
}

func (m *serial) balance(sender string) (balance int64, tips int64) {
	balance = m.issued[sender]
	for _, t := range m.tips {
		if t.req.Sender.Id == sender {
			balance -= t.cost
			tips++
		}
	}
	return balance, tips
}

func (m *serial) combo(req *proto.TipRequest) (n int64) {
	for _, t := range m.tips {
		r := t.req
		if r.Sender.Id == req.Sender.Id && r.RoomId == req.RoomId && r.GiftId == req.GiftId && r.ComboId == req.ComboId {
			n += int64(r.Count)
		}
	}
	return n
}

func (m *serial) send(req *proto.TipRequest) serialAttempt {
	key := attemptKey{req.Sender.Id, req.Key}
	if old, ok := m.attempts[key]; ok {
		if old.hash != string(req.Hash) {
			return serialAttempt{outcome: conflict}
		}
		return old
	}
	a := serialAttempt{hash: string(req.Hash)}
	room, roomKnown := m.rooms[req.RoomId]
	gift, giftKnown := m.gifts[req.GiftId]
	cost := gift.beans * int64(req.Count)
	balance, _ := m.balance(req.Sender.Id)
	if !roomKnown {
		a.outcome = roomNotFound
	} else if room.phase == "ended" || room.phase == "scheduled" {
		a.outcome = roomNotLive
	} else if room.hostID == req.Sender.Id {
		a.outcome = forbiddenRoom
	} else if !giftKnown {
		a.outcome = unknownGift
	} else if req.ConfirmedBeans != 0 && req.ConfirmedBeans != cost {
		a.outcome, a.needed = notConfirmed, cost
	} else if req.ConfirmedBeans == 0 && m.confirm > 0 && cost >= m.confirm {
		a.outcome, a.needed = notConfirmed, cost
	} else if balance < cost {
		a.outcome = insufficient
	} else {
		a.outcome, a.balance = booked, balance-cost
		a.comboCount = int64(req.Count)
		if req.ComboId != "" {
			a.comboCount += m.combo(req)
		}
		m.tips = append(m.tips, serialTip{req, cost})
	}
	m.attempts[key] = a
	return a
}

// books are what a transaction would read before it decides asked.
func (m *serial) books(asked []*proto.TipRequest) *books {
	b := &books{
		attempts: map[attemptKey]attempt{}, tipIDs: map[attemptKey]string{}, wallets: map[string]account{},
		gifts: maps.Clone(m.gifts), rooms: maps.Clone(m.rooms), combos: map[comboKey]int64{}, now: time.Unix(1, 0),
		confirm: m.confirm,
	}
	for _, req := range asked {
		b.tipIDs[keyOf(req)] = "tip_" + req.Sender.Id + req.Key
		if a, ok := m.attempts[keyOf(req)]; ok {
			recorded := attempt{hash: []byte(a.hash), outcome: a.outcome, beans: a.needed}
			if a.outcome == booked {
				recorded.tip = &tip{Balance: a.balance, ComboCount: a.comboCount}
			}
			b.attempts[keyOf(req)] = recorded
		}
		if balance, tips := m.balance(req.Sender.Id); m.issued[req.Sender.Id] > 0 {
			b.wallets[req.Sender.Id] = account{balance, 1 + tips}
		}
		if n := m.combo(req); n > 0 && req.ComboId != "" {
			b.combos[comboKey{req.Sender.Id, req.RoomId, req.GiftId, req.ComboId}] = n
		}
	}
	return b
}

func TestDecideIsSerial(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &serial{
			issued:  map[string]int64{"ann": rapid.Int64Range(0, 500).Draw(t, "ann"), "bo": rapid.Int64Range(0, 50).Draw(t, "bo"), "host": 1000},
			confirm: rapid.SampledFrom([]int64{0, 1, 33, 231}).Draw(t, "confirm"),
			gifts:   map[string]price{"rose": {1, 1}, "cake": {33, 2}},
			rooms: map[string]stage{
				"r1": {"live", "host", 500_000}, "r2": {"paused", "ann", 333_333}, "r3": {"ended", "host", 0}, "r4": {"scheduled", "host", 0},
			},
			attempts: map[attemptKey]serialAttempt{},
		}
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			asked := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *proto.TipRequest {
				cmd := &proto.GiftSend{
					GiftId:  rapid.SampledFrom([]string{"rose", "cake", "none"}).Draw(t, "gift"),
					Count:   rapid.SampledFrom([]int32{1, 2, 7, 999}).Draw(t, "count"),
					ComboId: rapid.SampledFrom([]string{"", "c1", "c2"}).Draw(t, "combo"),
				}
				cmd.ConfirmedBeans = rapid.SampledFrom([]int64{0, 0, 33, 66, 231}).Draw(t, "confirmed")
				room := rapid.SampledFrom([]string{"r1", "r1", "r2", "r3", "r4", "r5"}).Draw(t, "room")
				return &proto.TipRequest{
					RoomId: room, GiftId: cmd.GiftId, Count: cmd.Count, ComboId: cmd.ComboId,
					Sender:         user(rapid.SampledFrom([]string{"ann", "bo", "cy", "host"}).Draw(t, "sender")),
					ConfirmedBeans: cmd.ConfirmedBeans,
					Key:            fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key")),
					Hash:           hashTip(room, cmd),
				}
			}), 1, 12).Draw(t, "asked")
			b := m.books(asked)
			before := maps.Clone(b.wallets)
			decided := decide(b, asked)
			debit := map[string]int64{}
			counted := map[string]bool{}
			for i, req := range asked {
				want := m.send(req)
				got := decided[i]
				if got.outcome != want.outcome {
					t.Fatalf("request %d: %v, want %v", i, got.outcome, want.outcome)
				}
				if got.beans != want.needed {
					t.Fatalf("request %d: asked to agree to %d beans, want %d", i, got.beans, want.needed)
				}
				if (got.tip != nil) != (want.outcome == booked) {
					t.Fatalf("request %d: %v with tip %v", i, got.outcome, got.tip)
				}
				if got.tip == nil {
					continue
				}
				if got.tip.Balance != want.balance || got.tip.ComboCount != want.comboCount {
					t.Fatalf("request %d: balance %d, combo %d, want %d, %d", i, got.tip.Balance, got.tip.ComboCount, want.balance, want.comboCount)
				}
				if id := got.tip.ID; id != "" && !counted[id] { // booked in this batch
					counted[id] = true
					debit[req.Sender.Id] += got.tip.Beans
					if got.tip.HostBeans+got.tip.FeeBeans != got.tip.Beans {
						t.Fatalf("request %d: legs %d + %d, beans %d", i, got.tip.HostBeans, got.tip.FeeBeans, got.tip.Beans)
					}
				}
			}
			for _, id := range slices.Sorted(maps.Keys(before)) {
				if before[id].balance-b.wallets[id].balance != debit[id] {
					t.Fatalf("%s: %d became %d with %d debited", id, before[id].balance, b.wallets[id].balance, debit[id])
				}
			}
		}
	})
}
