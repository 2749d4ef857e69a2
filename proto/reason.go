package proto

import "net/http"

// Reason is a stable word for why something was refused. Clients compare it; people read the
// message beside it.
type Reason string

// Frames and access.
const (
	ReasonMalformedFrame      Reason = "malformed_frame"
	ReasonUnknownCommand      Reason = "unknown_command"
	ReasonSignInRequired      Reason = "sign_in_required"
	ReasonTokenExpired        Reason = "token_expired"
	ReasonForbidden           Reason = "forbidden"
	ReasonRoomNotFound        Reason = "room_not_found"
	ReasonRoomNotLive         Reason = "room_not_live"
	ReasonRateLimited         Reason = "rate_limited"
	ReasonIdempotencyConflict Reason = "idempotency_conflict"
	ReasonTryAgain            Reason = "try_again"
	ReasonBusy                Reason = "busy"
	ReasonPending             Reason = "pending"
	ReasonVersionConflict     Reason = "version_conflict"
	ReasonInternal            Reason = "internal"
	// ReasonInvalidArgument is for a field outside its documented range that has no word of its own.
	ReasonInvalidArgument Reason = "invalid_argument"
	// ReasonNotFound is for an object that has no word of its own, or that is not the asker's.
	ReasonNotFound Reason = "not_found"
)

// Chat.
const (
	ReasonMessageEmpty     Reason = "message_empty"
	ReasonMessageTooLong   Reason = "message_too_long"
	ReasonDuplicateMessage Reason = "duplicate_message"
	ReasonSlowMode         Reason = "slow_mode"
	ReasonMuted            Reason = "muted"
	ReasonBanned           Reason = "banned"
	ReasonBlockedTerm      Reason = "blocked_term"
	ReasonChatClosed       Reason = "chat_closed"
)

// Money.
const (
	ReasonInsufficientBeans     Reason = "insufficient_beans"
	ReasonUnknownGift           Reason = "unknown_gift"
	ReasonPaymentAmountMismatch Reason = "payment_amount_mismatch"
	// ReasonConfirmationRequired is for a gift that costs as much as senders must agree to, or another
	// amount than they agreed to.
	ReasonConfirmationRequired Reason = "confirmation_required"
	// ReasonRefundExceedsPaid is for more money or beans back than are left of what was paid.
	ReasonRefundExceedsPaid Reason = "refund_exceeds_paid"
	// ReasonNothingToSettle is for a settlement of a host who has nothing unsettled in the period.
	ReasonNothingToSettle Reason = "nothing_to_settle"
)

// Sales and orders.
const (
	ReasonSaleNotFound    Reason = "sale_not_found"
	ReasonNotStarted      Reason = "not_started"
	ReasonSaleEnded       Reason = "sale_ended"
	ReasonSalePaused      Reason = "sale_paused"
	ReasonSoldOut         Reason = "sold_out"
	ReasonLimitPerBuyer   Reason = "limit_per_buyer"
	ReasonInvalidQuantity Reason = "invalid_quantity"
	ReasonAttemptExpired  Reason = "attempt_expired"
	ReasonOwnSale         Reason = "own_sale"
	// ReasonOrderState is for a move that the order's state does not allow.
	ReasonOrderState Reason = "order_state"
	// ReasonAddressRequired is for shipping an order that has no address.
	ReasonAddressRequired Reason = "address_required"
)

// Host.
const (
	ReasonRoomState        Reason = "room_state"
	ReasonProductNotInRoom Reason = "product_not_in_room"
	ReasonProductOffSale   Reason = "product_off_sale"
	ReasonPushInProgress   Reason = "push_in_progress"

	ReasonRepriceNotUnpaid     Reason = "reprice_not_unpaid"
	ReasonRepriceAboveOriginal Reason = "reprice_above_original"
	ReasonRepriceLimit         Reason = "reprice_limit"
	ReasonRepriceZero          Reason = "reprice_zero"
)

// codes gives each reason its HTTP status; the same number is an Error's code.
var codes = map[Reason]int{
	ReasonMalformedFrame:        http.StatusBadRequest,
	ReasonUnknownCommand:        http.StatusBadRequest,
	ReasonSignInRequired:        http.StatusUnauthorized,
	ReasonTokenExpired:          http.StatusUnauthorized,
	ReasonForbidden:             http.StatusForbidden,
	ReasonRoomNotFound:          http.StatusNotFound,
	ReasonRoomNotLive:           http.StatusConflict,
	ReasonRateLimited:           http.StatusTooManyRequests,
	ReasonIdempotencyConflict:   http.StatusConflict,
	ReasonTryAgain:              http.StatusServiceUnavailable,
	ReasonBusy:                  http.StatusServiceUnavailable,
	ReasonPending:               http.StatusAccepted,
	ReasonVersionConflict:       http.StatusConflict,
	ReasonInternal:              http.StatusInternalServerError,
	ReasonInvalidArgument:       http.StatusUnprocessableEntity,
	ReasonNotFound:              http.StatusNotFound,
	ReasonMessageEmpty:          http.StatusUnprocessableEntity,
	ReasonMessageTooLong:        http.StatusUnprocessableEntity,
	ReasonDuplicateMessage:      http.StatusConflict,
	ReasonSlowMode:              http.StatusTooManyRequests,
	ReasonMuted:                 http.StatusForbidden,
	ReasonBanned:                http.StatusForbidden,
	ReasonBlockedTerm:           http.StatusUnprocessableEntity,
	ReasonChatClosed:            http.StatusForbidden,
	ReasonInsufficientBeans:     http.StatusPaymentRequired,
	ReasonUnknownGift:           http.StatusNotFound,
	ReasonPaymentAmountMismatch: http.StatusConflict,
	ReasonSaleNotFound:          http.StatusNotFound,
	ReasonNotStarted:            http.StatusConflict,
	ReasonSaleEnded:             http.StatusConflict,
	ReasonSalePaused:            http.StatusConflict,
	ReasonSoldOut:               http.StatusConflict,
	ReasonLimitPerBuyer:         http.StatusConflict,
	ReasonInvalidQuantity:       http.StatusUnprocessableEntity,
	ReasonAttemptExpired:        http.StatusConflict,
	ReasonOwnSale:               http.StatusForbidden,
	ReasonOrderState:            http.StatusConflict,
	ReasonRoomState:             http.StatusConflict,
	ReasonProductNotInRoom:      http.StatusNotFound,
	ReasonProductOffSale:        http.StatusConflict,
	ReasonPushInProgress:        http.StatusConflict,
	ReasonConfirmationRequired:  http.StatusPreconditionRequired,
	ReasonRefundExceedsPaid:     http.StatusConflict,
	ReasonNothingToSettle:       http.StatusConflict,
	ReasonAddressRequired:       http.StatusConflict,
	ReasonRepriceNotUnpaid:      http.StatusConflict,
	ReasonRepriceAboveOriginal:  http.StatusUnprocessableEntity,
	ReasonRepriceLimit:          http.StatusConflict,
	ReasonRepriceZero:           http.StatusUnprocessableEntity,
}

// Code returns the reason's HTTP status, 500 for a word that is not in the table.
func (r Reason) Code() int {
	if code, ok := codes[r]; ok {
		return code
	}
	return http.StatusInternalServerError
}

// Known reports whether the word is in the table.
func (r Reason) Known() bool {
	_, ok := codes[r]
	return ok
}
