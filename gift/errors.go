package gift

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"livecart/proto"
)

// Refusals, compared with errors.Is.
var (
	ErrSignIn        = proto.Refuse(proto.ReasonSignInRequired, "sign in to send gifts")
	ErrUnknownGift   = proto.Refuse(proto.ReasonUnknownGift, "there is no such gift")
	ErrCount         = proto.Refuse(proto.ReasonInvalidQuantity, "send 1 to %d gifts at a time", MaxCount)
	ErrInsufficient  = proto.Refuse(proto.ReasonInsufficientBeans, "not enough beans")
	ErrNoRoom        = proto.Refuse(proto.ReasonRoomNotFound, "there is no such room")
	ErrRoomNotLive   = proto.Refuse(proto.ReasonRoomNotLive, "gifts are taken while the room is live")
	ErrOwnRoom       = proto.Refuse(proto.ReasonForbidden, "hosts cannot send gifts in their own room")
	ErrConflict      = proto.Refuse(proto.ReasonIdempotencyConflict, "this request_id was used for another request")
	ErrRejected      = proto.Refuse(proto.ReasonInvalidArgument, "this gift cannot be booked")
	ErrBusy          = proto.Refuse(proto.ReasonBusy, "too many gifts at once").After(time.Second)
	ErrTryAgain      = proto.Refuse(proto.ReasonTryAgain, "gifts cannot be booked at the moment").After(time.Second)
	ErrPending       = proto.Refuse(proto.ReasonPending, "not known yet whether the gift was booked; ask again with the same request_id").After(time.Second)
	ErrBeans         = proto.Refuse(proto.ReasonInvalidQuantity, "top up 1 to %d beans at a time", MaxTopUp)
	ErrNoTopUps      = proto.Refuse(proto.ReasonForbidden, "beans are not sold here")
	ErrNoProvider    = proto.Refuse(proto.ReasonTryAgain, "payments cannot be taken at the moment").After(time.Second)
	ErrUnknownTopUp  = proto.Refuse(proto.ReasonNotFound, "there is no such top-up")
	ErrWrongAmount   = proto.Refuse(proto.ReasonPaymentAmountMismatch, "the payment's amount is not the top-up's")
	ErrConfirmation  = proto.Refuse(proto.ReasonConfirmationRequired, "the sender has not agreed to what the gifts cost")
	ErrUnknownLot    = proto.Refuse(proto.ReasonNotFound, "there is no such lot")
	ErrBeansBack     = proto.Refuse(proto.ReasonInvalidQuantity, "refund 1 bean or more")
	ErrRefundExceeds = proto.Refuse(proto.ReasonRefundExceedsPaid, "more than is left of the lot")
	ErrUnknownTip    = proto.Refuse(proto.ReasonNotFound, "there is no such tip")
	ErrKeyConflict   = proto.Refuse(proto.ReasonIdempotencyConflict, "this key was used for something else")
	ErrTopUpConflict = proto.Refuse(proto.ReasonIdempotencyConflict, "this key was used for another amount of beans")
)

// ErrNothingToSettle is for a host without unsettled tips and reversals in the period.
var ErrNothingToSettle = proto.Refuse(proto.ReasonNothingToSettle, "the host has nothing unsettled before this time")

// wrap adds the operation to an error that is not a refusal; those are told as they are.
func wrap(err error, format string, args ...any) error {
	if _, ok := errors.AsType[*proto.Problem](err); ok {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// checkKeyed checks who gives a keyed order, and its key.
func checkKeyed(by, key string) error {
	switch {
	case by == "":
		return ErrSignIn
	case len(by) > maxUser || !storable(by):
		return invalid("a user id is 1 to %d bytes of text", maxUser)
	case key == "" || utf8.RuneCountInString(key) > proto.MaxRequestID || !storable(key):
		return invalid("a key has 1 to %d characters", proto.MaxRequestID)
	}
	return nil
}

// confirmationRequired names the beans that a sender has not agreed to. The answer is recorded.
func confirmationRequired(beans int64) error {
	return proto.Refuse(proto.ReasonConfirmationRequired, "this costs %d beans: to agree, send it again with confirmed_beans %d and a new request_id", beans, beans)
}

func invalid(format string, args ...any) error {
	return proto.Refuse(proto.ReasonInvalidArgument, format, args...)
}
