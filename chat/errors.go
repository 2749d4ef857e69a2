package chat

import "livecart/proto"

// Refusals. Those that end by themselves carry how long to wait where they are returned.
var (
	ErrEmpty          = proto.Refuse(proto.ReasonMessageEmpty, "a comment needs something to read")
	ErrTooLong        = proto.Refuse(proto.ReasonMessageTooLong, "a comment holds at most %d code points", MaxComment)
	ErrRateLimited    = proto.Refuse(proto.ReasonRateLimited, "too many comments")
	ErrDuplicate      = proto.Refuse(proto.ReasonDuplicateMessage, "you said the same a moment ago")
	ErrSlowMode       = proto.Refuse(proto.ReasonSlowMode, "this room is in slow mode")
	ErrMuted          = proto.Refuse(proto.ReasonMuted, "you are muted in this room")
	ErrBanned         = proto.Refuse(proto.ReasonBanned, "you are banned from this room")
	ErrBlockedTerm    = proto.Refuse(proto.ReasonBlockedTerm, "the comment holds a term that this room blocks")
	ErrClosed         = proto.Refuse(proto.ReasonChatClosed, "this room's chat is closed")
	ErrNotLive        = proto.Refuse(proto.ReasonRoomNotLive, "comments are taken while the room is live or paused")
	ErrConflict       = proto.Refuse(proto.ReasonIdempotencyConflict, "this request_id was used for another comment")
	ErrNotFound       = proto.Refuse(proto.ReasonNotFound, "there is no such comment among the recent ones")
	ErrForbidden      = proto.Refuse(proto.ReasonForbidden, "only host and moderators may do this")
	ErrSignInRequired = proto.Refuse(proto.ReasonSignInRequired, "sign in to comment")
	ErrBusy           = proto.Refuse(proto.ReasonBusy, "too many comments are waiting")
	ErrTryAgain       = proto.Refuse(proto.ReasonTryAgain, "not possible at the moment")
)

func invalid(format string, args ...any) error {
	return proto.Refuse(proto.ReasonInvalidArgument, format, args...)
}
