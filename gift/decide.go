package gift

import (
	"bytes"
	"time"

	"livecart/proto"
)

// ComboWindow is how long a combo stays open after its newest tip.
const ComboWindow = 3 * time.Second

// Outcomes in short; attempts are stored by the words of outcomeWords.
const (
	booked        = proto.TipOutcome_TIP_OUTCOME_BOOKED
	insufficient  = proto.TipOutcome_TIP_OUTCOME_INSUFFICIENT_BEANS
	unknownGift   = proto.TipOutcome_TIP_OUTCOME_UNKNOWN_GIFT
	conflict      = proto.TipOutcome_TIP_OUTCOME_CONFLICT
	roomNotLive   = proto.TipOutcome_TIP_OUTCOME_ROOM_NOT_LIVE
	tryAgain      = proto.TipOutcome_TIP_OUTCOME_TRY_AGAIN
	busy          = proto.TipOutcome_TIP_OUTCOME_BUSY
	rejected      = proto.TipOutcome_TIP_OUTCOME_REJECTED
	roomNotFound  = proto.TipOutcome_TIP_OUTCOME_ROOM_NOT_FOUND
	forbiddenRoom = proto.TipOutcome_TIP_OUTCOME_FORBIDDEN
	notConfirmed  = proto.TipOutcome_TIP_OUTCOME_CONFIRMATION_REQUIRED
)

// attemptKey names one request of one sender.
type attemptKey struct{ senderID, key string }

func keyOf(req *proto.TipRequest) attemptKey { return attemptKey{req.Sender.GetId(), req.Key} }

// attempt is a request's outcome; tip is set with booked alone, beans, the gifts' price, with
// notConfirmed alone.
type attempt struct {
	hash    []byte
	outcome proto.TipOutcome
	tip     *tip
	beans   int64
}

type account struct{ balance, version int64 }

type price struct {
	beans int64
	tier  int32
}

type stage struct {
	phase   string
	hostID  string
	hostPPM int64
}

type comboKey struct{ senderID, roomID, giftID, comboID string }

// books is what a transaction has read under its locks. Absent wallets are empty, absent combos
// start at 0, absent gifts and rooms do not exist.
type books struct {
	attempts map[attemptKey]attempt // recorded earlier
	tipIDs   map[attemptKey]string  // ids for the tips of all other attempts
	wallets  map[string]account
	gifts    map[string]price
	rooms    map[string]stage
	combos   map[comboKey]int64
	confirm  int64 // from how many beans on senders must agree to them, 0 for never
	now      time.Time
}

// decide decides the requests in their order, each on the books as those before it left them, and
// returns one attempt a request. It keeps the books up to date: a key's first request is the one
// that counts, copies of it in the same batch get the same attempt.
func decide(b *books, asked []*proto.TipRequest) []attempt {
	decided := make([]attempt, len(asked))
	for i, req := range asked {
		key := keyOf(req)
		a, recorded := b.attempts[key]
		switch {
		case recorded && !bytes.Equal(a.hash, req.Hash):
			decided[i] = attempt{hash: req.Hash, outcome: conflict}
			continue
		case !recorded:
			a = b.book(req)
			b.attempts[key] = a
		}
		decided[i] = a
	}
	return decided
}

// book decides one request that has no recorded outcome.
func (b *books) book(req *proto.TipRequest) attempt {
	refuse := func(outcome proto.TipOutcome) attempt { return attempt{hash: req.Hash, outcome: outcome} }
	sender := req.Sender.GetId()
	room, ok := b.rooms[req.RoomId]
	switch {
	case !ok:
		return refuse(roomNotFound)
	case room.phase != "live" && room.phase != "paused":
		return refuse(roomNotLive)
	case room.hostID == sender:
		return refuse(forbiddenRoom)
	}
	gift, ok := b.gifts[req.GiftId]
	if !ok {
		return refuse(unknownGift)
	}
	beans := gift.beans * int64(req.Count)
	if agreed := req.ConfirmedBeans; agreed != beans && (agreed != 0 || b.confirm > 0 && beans >= b.confirm) {
		a := refuse(notConfirmed)
		a.beans = beans
		return a
	}
	wallet := b.wallets[sender]
	if wallet.balance < beans {
		return refuse(insufficient)
	}
	wallet.balance -= beans
	wallet.version++
	b.wallets[sender] = wallet
	comboCount := int64(req.Count)
	if req.ComboId != "" {
		combo := comboKey{sender, req.RoomId, req.GiftId, req.ComboId}
		comboCount += b.combos[combo]
		b.combos[combo] = comboCount
	}
	host, fee := Split(beans, room.hostPPM)
	return attempt{hash: req.Hash, outcome: booked, tip: &tip{
		ID: b.tipIDs[keyOf(req)], RoomID: req.RoomId, HostID: room.hostID,
		SenderID: sender, SenderName: req.Sender.GetName(), SenderRole: int32(req.Sender.GetRole()),
		GiftID: req.GiftId, Tier: gift.tier, Count: int64(req.Count), Price: gift.beans,
		Beans: beans, HostPPM: room.hostPPM, HostBeans: host, FeeBeans: fee,
		ComboID: req.ComboId, ComboCount: comboCount,
		Balance: wallet.balance, Version: wallet.version, At: b.now,
	}}
}
