package gift

import (
	"time"

	"livecart/proto"
)

// tip is one row of the table.
type tip struct {
	ID         string    `db:"id"`
	RoomID     string    `db:"room_id"`
	HostID     string    `db:"host_id"`
	SenderID   string    `db:"sender_id"`
	SenderName string    `db:"sender_name"`
	SenderRole int32     `db:"sender_role"`
	GiftID     string    `db:"gift_id"`
	Tier       int32     `db:"tier"`
	Count      int64     `db:"count"`
	Price      int64     `db:"price"`
	Beans      int64     `db:"beans"`
	HostPPM    int64     `db:"host_ppm"`
	HostBeans  int64     `db:"host_beans"`
	FeeBeans   int64     `db:"fee_beans"`
	ComboID    string    `db:"combo_id"`
	ComboCount int64     `db:"combo_count"`
	Balance    int64     `db:"balance"`
	Version    int64     `db:"version"`
	At         time.Time `db:"at"`
}

func (t *tip) sent() *proto.GiftSent {
	return &proto.GiftSent{
		TipIds: []string{t.ID},
		User:   &proto.User{Id: t.SenderID, Name: t.SenderName, Role: proto.Role(t.SenderRole)},
		GiftId: t.GiftID, Delta: t.Count, Beans: t.Beans, Tier: t.Tier,
		ComboId: t.ComboID, ComboCount: t.ComboCount, ComboEndMs: t.At.Add(ComboWindow).UnixMilli(),
	}
}

func (t *tip) wallet() *proto.WalletBalance {
	return &proto.WalletBalance{Balance: t.Balance, Version: t.Version}
}

func (t *tip) event() *proto.Event {
	return &proto.Event{TimeMs: t.At.UnixMilli(), Event: &proto.Event_GiftSent{GiftSent: t.sent()}}
}

// balanceEvent tells a user's connections in every room about their wallet.
func balanceEvent(userID string, at time.Time, w *proto.WalletBalance) *proto.PrivateEvent {
	return &proto.PrivateEvent{UserId: userID, Event: &proto.Event{
		TimeMs: at.UnixMilli(), Event: &proto.Event_WalletBalance{WalletBalance: w},
	}}
}

// outcomeWords are the recorded outcomes as the table holds them.
var outcomeWords = map[proto.TipOutcome]string{
	booked:        "booked",
	insufficient:  "insufficient_beans",
	unknownGift:   "unknown_gift",
	roomNotFound:  "room_not_found",
	roomNotLive:   "room_not_live",
	forbiddenRoom: "forbidden",
	rejected:      "rejected",
	notConfirmed:  "confirmation_required",
}

// refusals are the answers to outcomes other than booked and notConfirmed.
var refusals = map[proto.TipOutcome]*proto.Problem{
	insufficient:  ErrInsufficient,
	unknownGift:   ErrUnknownGift,
	roomNotFound:  ErrNoRoom,
	roomNotLive:   ErrRoomNotLive,
	forbiddenRoom: ErrOwnRoom,
	rejected:      ErrRejected,
	conflict:      ErrConflict,
	busy:          ErrBusy,
	tryAgain:      ErrTryAgain,
}

func outcomeOf(word string) proto.TipOutcome {
	for outcome, w := range outcomeWords {
		if w == word {
			return outcome
		}
	}
	return proto.TipOutcome_TIP_OUTCOME_UNSPECIFIED
}

func (a attempt) decision(req *proto.TipRequest) *proto.TipDecision {
	d := &proto.TipDecision{SenderId: req.Sender.GetId(), Key: req.Key, Outcome: a.outcome, Beans: a.beans}
	if a.tip != nil {
		d.Sent, d.Balance = a.tip.sent(), a.tip.wallet()
	}
	return d
}
