package loadtest

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"livecart/proto"
)

// Kinds of commands that are recorded: those that move money or stock under an idempotency key.
const (
	KindFlashBuy    = "flash_buy"
	KindOrderCreate = "order_create"
	KindGiftSend    = "gift_send"
)

// OutcomeOK is the outcome of a command that was done; every other one is the reason of a refusal.
const OutcomeOK = "ok"

// maxUserID is how many bytes a user id has at most.
const maxUserID = 128

// Record is one command of one client and what the client was told: a line of a history file. A
// command that was sent again under its key is one Record a sending.
type Record struct {
	// Client is the user id, Key the request_id, Kind the command ("flash_buy", "order_create",
	// "gift_send").
	Client string `json:"client"`
	Key    string `json:"key"`
	Kind   string `json:"kind"`
	RoomID string `json:"room_id,omitempty"`
	// SaleID and Quantity are a flash_buy's; GiftID and Quantity a gift_send's. An order_create may
	// have the pieces of all its lines as Quantity; with 0 they are not compared.
	SaleID   string `json:"sale_id,omitempty"`
	GiftID   string `json:"gift_id,omitempty"`
	Quantity int64  `json:"quantity,omitempty"`
	// SentMs and AnsweredMs are the client's own clock, Unix milliseconds; AnsweredMs is 0 where no
	// answer came.
	SentMs     int64 `json:"sent_ms"`
	AnsweredMs int64 `json:"answered_ms,omitempty"`
	// Outcome is "ok", the reason of a refusal ("sold_out", "pending"), or empty where no answer came.
	Outcome string `json:"outcome,omitempty"`
	// OrderID and TipID are what an "ok" named.
	OrderID string `json:"order_id,omitempty"`
	TipID   string `json:"tip_id,omitempty"`
}

// NewRecord makes the record of a command that client sent to a room, with the reply that came or nil
// for none. It reports false for commands that are not recorded.
func NewRecord(client, roomID string, cmd *proto.Command, sent time.Time, reply *proto.Reply, answered time.Time) (Record, bool) {
	r := Record{Client: client, Key: cmd.RequestId, Kind: cmd.Kind(), RoomID: roomID, SentMs: sent.UnixMilli()}
	switch r.Kind {
	case KindFlashBuy:
		r.SaleID, r.Quantity = cmd.GetFlashBuy().GetSaleId(), int64(cmd.GetFlashBuy().GetQuantity())
	case KindOrderCreate:
		for _, item := range cmd.GetOrderCreate().GetItems() {
			r.Quantity += int64(item.GetQuantity())
		}
	case KindGiftSend:
		r.GiftID, r.Quantity = cmd.GetGiftSend().GetGiftId(), int64(cmd.GetGiftSend().GetCount())
	default:
		return Record{}, false
	}
	if reply == nil {
		return r, true
	}
	// The wall clock may step back while an answer is on its way.
	r.AnsweredMs = max(answered.UnixMilli(), r.SentMs)
	if e := reply.GetError(); e != nil {
		r.Outcome = e.Reason
		return r, true
	}
	r.Outcome = OutcomeOK
	if r.Kind != KindGiftSend {
		r.OrderID = reply.GetOk().GetOrder().GetId()
	} else if ids := reply.GetOk().GetGiftSent().GetTipIds(); len(ids) > 0 {
		r.TipID = ids[0]
	}
	return r, true
}

// check says what makes r no record: an unknown kind or outcome, or fields that contradict each other.
func (r *Record) check() error {
	switch {
	case r.Client == "" || len(r.Client) > maxUserID || !utf8.ValidString(r.Client):
		return fmt.Errorf("client has 1 to %d bytes", maxUserID)
	case r.Key == "" || utf8.RuneCountInString(r.Key) > proto.MaxRequestID || !utf8.ValidString(r.Key):
		return fmt.Errorf("key has 1 to %d characters", proto.MaxRequestID)
	case r.SentMs <= 0:
		return errors.New("sent_ms is above 0")
	case (r.AnsweredMs != 0) != (r.Outcome != ""):
		return errors.New("answered_ms and outcome are both there or both missing")
	case r.AnsweredMs != 0 && r.AnsweredMs < r.SentMs:
		return errors.New("answered_ms is before sent_ms")
	}
	if reason := proto.Reason(r.Outcome); r.Outcome != "" && r.Outcome != OutcomeOK && !reason.Known() {
		return fmt.Errorf("the outcome %q is neither ok nor a reason", r.Outcome)
	}
	return errors.Join(r.checkAsked(), r.checkNamed())
}

// checkAsked checks what the command asks for.
func (r *Record) checkAsked() error {
	switch r.Kind {
	case KindFlashBuy:
		if r.SaleID == "" || r.GiftID != "" {
			return errors.New("a flash_buy has a sale_id and no gift_id")
		}
	case KindGiftSend:
		if r.GiftID == "" || r.SaleID != "" {
			return errors.New("a gift_send has a gift_id and no sale_id")
		}
	case KindOrderCreate:
		if r.SaleID != "" || r.GiftID != "" {
			return errors.New("an order_create has neither sale_id nor gift_id")
		}
	default:
		return fmt.Errorf("the kind %q is not flash_buy, order_create or gift_send", r.Kind)
	}
	return nil
}

// checkNamed checks what the answer names.
func (r *Record) checkNamed() error {
	switch {
	case r.Outcome != OutcomeOK:
		if r.OrderID != "" || r.TipID != "" {
			return errors.New("only an ok names an order or a tip")
		}
	case r.Kind == KindGiftSend:
		if r.TipID == "" || r.OrderID != "" {
			return errors.New("the ok of a gift_send names a tip and no order")
		}
	case r.OrderID == "" || r.TipID != "":
		return fmt.Errorf("the ok of a %s names an order and no tip", r.Kind)
	}
	return nil
}
