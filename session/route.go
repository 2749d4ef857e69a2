package session

import (
	"context"
	"strings"
	"time"

	"livecart/proto"
)

// Access says who may give a command.
type Access uint8

const (
	// SignedIn viewers, those with a token: the zero value.
	SignedIn Access = iota
	// Moderators of the room, its hosts and operators.
	Moderators
	// Hosts of the room and operators.
	Hosts
	// Anyone, anonymous viewers too.
	Anyone
)

// Route carries out one kind of command.
type Route struct {
	// Handle does it and returns the reply; nil is an empty one. Errors that are Problems reach the
	// viewer as they are, others as "internal", or as "try_again" where a server of ours is away. ctx ends after GatewayConfig.CommandTimeout and when
	// the gateway has drained, but not when the viewer's connection drops: what was begun is finished.
	Handle func(ctx context.Context, c Call) (*proto.Ok, error)
	Access Access
	// Ordered commands of one connection run one after the other, in the order in which they came;
	// the others run at the same time.
	Ordered bool
}

// Call is one command of one viewer.
type Call struct {
	Viewer    Viewer
	RoomID    string
	RequestID string
	Command   *proto.Command
}

func (a Access) permit(v Viewer) error {
	switch {
	case a == Anyone:
		return nil
	case v.Anonymous:
		return ErrSignInRequired
	case a == Moderators && !v.Role.Moderates(), a == Hosts && !v.Role.Hosts():
		return ErrForbidden
	}
	return nil
}

// ownCommands are those that the gateway serves itself, and who may give them.
var ownCommands = map[string]Access{
	"ping":            Anyone,
	"session_resume":  Anyone,
	"session_refresh": SignedIn,
	"like_send":       SignedIn,
}

// receive takes one message of the client.
func (c *Conn) receive(data []byte) {
	frame, err := proto.DecodeClient(c.format, data)
	if err != nil || len(frame.Commands) == 0 {
		// It costs as much as a command, so that junk meets the same limit.
		if !c.paced("malformed", "") {
			return
		}
		if err != nil {
			c.answer("malformed", "", nil, err)
		}
		return
	}
	for _, cmd := range frame.Commands {
		kind := cmd.Kind()
		if kind == "" {
			kind = "unknown"
		}
		if c.paced(kind, cmd.RequestId) {
			c.command(kind, cmd)
		}
	}
}

// paced takes one command from the connection's limit, or refuses it.
func (c *Conn) paced(kind, requestID string) bool {
	wait, excess, ok := c.pace.take(time.Now())
	if ok {
		return true
	}
	c.answer(kind, requestID, nil, ErrRateLimited.After(wait))
	c.exceeded(excess)
	return false
}

// exceeded closes the connection of a client that has sent too much for too long.
func (c *Conn) exceeded(excess time.Duration) {
	if excess >= c.gw.cfg.ExcessTimeout {
		c.shut(CloseRateLimited, string(proto.ReasonRateLimited))
	}
}

// command checks one command and has it carried out.
func (c *Conn) command(kind string, cmd *proto.Command) {
	call := Call{Viewer: c.Viewer(), RoomID: c.room.roomID, RequestID: cmd.RequestId, Command: cmd}
	route, err := c.route(kind, cmd)
	if err != nil {
		c.answer(kind, cmd.RequestId, nil, err)
		return
	}
	switch kind {
	case "ping":
		pong := &proto.Pong{ServerTimeMs: time.Now().UnixMilli()}
		c.answer(kind, cmd.RequestId, &proto.Ok{Value: &proto.Ok_Pong{Pong: pong}}, nil)
		return
	case "session_resume":
		if wait, ok := c.mayResume(time.Now()); !ok {
			c.answer(kind, cmd.RequestId, nil, ErrRateLimited.After(wait))
			return
		}
		if err := c.room.resume(c, cmd.RequestId, cmd.GetSessionResume().GetAfterSeq()); err != nil {
			c.answer(kind, cmd.RequestId, nil, err)
		}
		return
	}
	err = c.start(route.Ordered, func() {
		ctx, cancel := context.WithTimeout(c.gw.work, c.gw.cfg.CommandTimeout)
		defer cancel()
		ok, err := route.Handle(ctx, call)
		c.answer(kind, call.RequestID, ok, err)
	})
	if err != nil {
		c.answer(kind, cmd.RequestId, nil, err)
	}
}

// route returns who carries the command out, or why it may not be.
func (c *Conn) route(kind string, cmd *proto.Command) (Route, error) {
	access, isOwn := ownCommands[kind]
	route, routed := c.gw.cfg.Routes[kind]
	switch {
	case kind == "session_refresh":
		route = Route{Handle: c.refresh, Ordered: true}
	case kind == "like_send":
		route = Route{Handle: c.like}
	case isOwn:
	case routed:
		access = route.Access
	default:
		return Route{}, ErrUnknownCommand
	}
	if err := access.permit(c.Viewer()); err != nil {
		return Route{}, err
	}
	if !isOwn && cmd.RequestId == "" {
		return Route{}, ErrNoRequestID
	}
	if kind == "flash_buy" {
		if wait, ok := c.gw.roster.mayBuy(c.userID, time.Now()); !ok {
			return Route{}, ErrRateLimited.After(wait)
		}
	}
	return route, nil
}

// answer replies to a command and counts it. It is the one place that logs what went wrong inside.
func (c *Conn) answer(kind, requestID string, ok *proto.Ok, err error) {
	reply := &proto.Reply{RequestId: requestID}
	result := "ok"
	if err != nil {
		if !isProblem(err) {
			c.gw.cfg.Log.Error("command failed", "command", kind, "room", c.room.roomID, "err", err)
		}
		e := proto.Wire(told(err))
		e.Message = strings.ToValidUTF8(e.Message, "\uFFFD") // it may quote the client
		result = e.Reason
		reply.Result = &proto.Reply_Error{Error: e}
	} else {
		if ok == nil {
			ok = new(proto.Ok)
		}
		reply.Result = &proto.Reply_Ok{Ok: ok}
	}
	c.gw.metrics.commands.WithLabelValues(kind, result).Inc()
	c.send(&proto.ServerFrame{Replies: []*proto.Reply{reply}})
}

// refresh serves session_refresh: a newer token of the same user that still opens this room.
func (c *Conn) refresh(ctx context.Context, call Call) (*proto.Ok, error) {
	v, err := c.gw.cfg.Tickets.Verify(ctx, call.Command.GetSessionRefresh().GetToken())
	if err != nil {
		return nil, err
	}
	if v.Anonymous || v.ID != c.userID {
		return nil, ErrForbidden
	}
	if err := Enter(v, c.room.room()); err != nil {
		return nil, err
	}
	c.viewer.Store(&v)
	return nil, nil
}

// like serves like_send. The answer comes once the likes are counted where all gateways see them.
func (c *Conn) like(ctx context.Context, call Call) (*proto.Ok, error) {
	if phase := c.room.room().GetPhase(); phase != proto.RoomPhase_ROOM_PHASE_LIVE && phase != proto.RoomPhase_ROOM_PHASE_PAUSED {
		return nil, ErrNotLive
	}
	n := int64(call.Command.GetLikeSend().GetCount())
	total, err := c.gw.cfg.Presence.Likes(ctx, call.RoomID, n)
	if err != nil {
		return nil, err
	}
	return &proto.Ok{Value: &proto.Ok_LikeTotal{LikeTotal: &proto.LikeTotal{Delta: n, Total: total}}}, nil
}
