package cart

import (
	"errors"
	"fmt"

	"livecart/proto"
)

// Shops, products and the shelf.
var (
	ErrShopNotFound      = proto.Refuse(proto.ReasonNotFound, "there is no such shop")
	ErrProductNotFound   = proto.Refuse(proto.ReasonNotFound, "there is no such product")
	ErrListingNotFound   = proto.Refuse(proto.ReasonNotFound, "there is no such listing")
	ErrRoomNotFound      = proto.Refuse(proto.ReasonRoomNotFound, "there is no such room")
	ErrRoomNotLive       = proto.Refuse(proto.ReasonRoomNotLive, "the room is not live")
	ErrProductNotInRoom  = proto.Refuse(proto.ReasonProductNotInRoom, "the product is not on this room's shelf")
	ErrProductOffSale    = proto.Refuse(proto.ReasonProductOffSale, "the product is off sale")
	ErrPushInProgress    = proto.Refuse(proto.ReasonPushInProgress, "the product is on show already")
	ErrVersionConflict   = proto.Refuse(proto.ReasonVersionConflict, "it was changed in the meantime; look again")
	ErrInvalidQuantity   = proto.Refuse(proto.ReasonInvalidQuantity, "the quantity is out of range")
	ErrInvalid           = proto.Refuse(proto.ReasonInvalidArgument, "a field is out of range")
	ErrForbidden         = proto.Refuse(proto.ReasonForbidden, "this is not yours to do")
	ErrKeyConflict       = proto.Refuse(proto.ReasonIdempotencyConflict, "this request_id was used with other content")
	ErrSignInRequired    = proto.Refuse(proto.ReasonSignInRequired, "sign in to buy")
	ErrRequestIDRequired = proto.Refuse(proto.ReasonInvalidArgument, "a request_id of 1 to 64 characters is needed")
)

// Flash sales.
var (
	ErrSaleNotFound   = proto.Refuse(proto.ReasonSaleNotFound, "there is no such sale")
	ErrNotStarted     = proto.Refuse(proto.ReasonNotStarted, "the sale has not started")
	ErrSaleEnded      = proto.Refuse(proto.ReasonSaleEnded, "the sale has ended")
	ErrSalePaused     = proto.Refuse(proto.ReasonSalePaused, "the sale is paused")
	ErrSoldOut        = proto.Refuse(proto.ReasonSoldOut, "sold out")
	ErrLimitPerBuyer  = proto.Refuse(proto.ReasonLimitPerBuyer, "more than one buyer may have")
	ErrAttemptExpired = proto.Refuse(proto.ReasonAttemptExpired, "this attempt was not decided in time; try anew with another request_id")
	ErrOwnSale        = proto.Refuse(proto.ReasonOwnSale, "hosts and moderators cannot buy in their own sale")
	ErrTryAgain       = proto.Refuse(proto.ReasonTryAgain, "not decided; ask again")
	ErrBusy           = proto.Refuse(proto.ReasonBusy, "too many are asking; ask again")
	ErrPending        = proto.Refuse(proto.ReasonPending, "not decided yet; the outcome comes as order_updated, or ask again with the same request_id")
	ErrRejected       = proto.Refuse(proto.ReasonInvalidArgument, "this attempt could not be booked")
)

// Orders and payments.
var (
	ErrOrderNotFound     = proto.Refuse(proto.ReasonNotFound, "there is no such order")
	ErrOrderState        = proto.Refuse(proto.ReasonOrderState, "the order's state does not allow this")
	ErrAddressRequired   = proto.Refuse(proto.ReasonAddressRequired, "the order has no address to go to")
	ErrRefundExceedsPaid = proto.Refuse(proto.ReasonRefundExceedsPaid, "more than is left of what was paid")
	ErrCursor            = proto.Refuse(proto.ReasonInvalidArgument, "the cursor is not one of ours")
	ErrWebhookNotFound   = proto.Refuse(proto.ReasonNotFound, "there is no such webhook")
	ErrNoticeForged      = proto.Refuse(proto.ReasonForbidden, "the notice's signature is wrong")
	ErrNoticeStale       = proto.Refuse(proto.ReasonForbidden, "the notice's time is too far from ours")
	ErrNoticeInvalid     = proto.Refuse(proto.ReasonInvalidArgument, "the notice cannot be read")
)

// Repricing.
var (
	ErrRepriceNotUnpaid     = proto.Refuse(proto.ReasonRepriceNotUnpaid, "only an order that awaits its payment can be repriced")
	ErrRepriceAboveOriginal = proto.Refuse(proto.ReasonRepriceAboveOriginal, "the amount must be below the present one")
	ErrRepriceLimit         = proto.Refuse(proto.ReasonRepriceLimit, "an order is repriced at most %d times", MaxReprices)
	ErrRepriceZero          = proto.Refuse(proto.ReasonRepriceZero, "an amount is above 0")
)

// invalid is ErrInvalid in words of its own.
func invalid(format string, args ...any) error {
	return proto.Refuse(proto.ReasonInvalidArgument, format, args...)
}

// wrap adds the operation to an error that is not a refusal; those are told as they are.
func wrap(err error, format string, args ...any) error {
	var p *proto.Problem
	if errors.As(err, &p) {
		return err
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
