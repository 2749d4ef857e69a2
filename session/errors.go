package session

import (
	"context"
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"livecart/proto"
	"livecart/session/store"
)

// Close codes beside those of WebSocket itself. The close text is the reason's word.
const (
	CloseUnauthenticated = 4001 // token_expired
	CloseForbidden       = 4003 // banned
	CloseSlowConsumer    = 4008 // slow_consumer
	CloseReplaced        = 4009 // replaced: the user opened too many connections, this was the oldest
	CloseRateLimited     = 4029 // rate_limited
	CloseRestart         = websocket.CloseServiceRestart
)

// ErrNoRoom says that there is no such room.
var ErrNoRoom = store.ErrNoRoom

// Refusals of the gateway itself.
var (
	ErrDraining        = proto.Refuse(proto.ReasonBusy, "this gateway is starting or closing").After(time.Second)
	ErrFull            = proto.Refuse(proto.ReasonBusy, "this gateway is full").After(2 * time.Second)
	ErrTooBusy         = proto.Refuse(proto.ReasonBusy, "too many commands of this connection are still running")
	ErrUnknownCommand  = proto.Refuse(proto.ReasonUnknownCommand, "this server does not know the command")
	ErrRateLimited     = proto.Refuse(proto.ReasonRateLimited, "too many commands")
	ErrNotLive         = proto.Refuse(proto.ReasonRoomNotLive, "likes are taken while the room is live or paused")
	ErrNoRequestID     = proto.Refuse(proto.ReasonInvalidArgument, "the command needs a request_id")
	ErrTryAgain        = proto.Refuse(proto.ReasonTryAgain, "no answer in time; ask again with the same request_id")
	errRoomAway        = proto.Refuse(proto.ReasonTryAgain, "the room cannot be read at the moment").After(2 * time.Second)
	errNotWebSocket    = proto.Refuse(proto.ReasonMalformedFrame, "this address takes a WebSocket handshake")
	errNoSubprotocol   = proto.Refuse(proto.ReasonMalformedFrame, "ask for the subprotocol %s or %s", proto.Binary, proto.JSON)
	errBadAfterSeq     = proto.Refuse(proto.ReasonMalformedFrame, "after_seq is a whole number of at least 0")
	errOriginForbidden = proto.Refuse(proto.ReasonForbidden, "pages of this origin may not connect")
)

// told returns what a client may be told of err. Where a server of ours is away or slow, nobody knows
// whether it was done; asking again settles that.
func told(err error) error {
	if !isProblem(err) && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || store.Unreachable(err)) {
		return ErrTryAgain.After(time.Second)
	}
	return err
}

func isProblem(err error) bool {
	var p *proto.Problem
	return errors.As(err, &p)
}
