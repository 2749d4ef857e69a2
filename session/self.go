package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// selfGather is how long joiners are gathered for one read.
	selfGather = 20 * time.Millisecond
	// selfBatch is how many users of a room are read at once.
	selfBatch = 500
	// selfRetry is the wait after Postgres did not answer.
	selfRetry   = 500 * time.Millisecond
	selfTimeout = 5 * time.Second
)

// selfReader reads what belongs to the signed-in joiners: all those of the last 20 ms together, so
// that a join costs no call of its own.
type selfReader struct {
	cfg  *GatewayConfig
	wake chan struct{} // holds a token while somebody waits

	mu      sync.Mutex
	waiting map[string][]*Conn // by room
}

func newSelfReader(cfg *GatewayConfig) *selfReader {
	return &selfReader{cfg: cfg, wake: make(chan struct{}, 1), waiting: make(map[string][]*Conn)}
}

// add asks for c's session_self.
func (s *selfReader) add(conns ...*Conn) {
	s.mu.Lock()
	for _, c := range conns {
		s.waiting[c.room.roomID] = append(s.waiting[c.room.roomID], c)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run reads and delivers until ctx ends.
func (s *selfReader) run(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		pause := selfGather
		if failing {
			pause = selfRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		err := s.round(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.cfg.Log.Error("viewers wait for what is theirs", "err", err)
		}
		failing = err != nil
	}
}

// round serves all who wait; those whose read failed wait on.
func (s *selfReader) round(ctx context.Context) error {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = make(map[string][]*Conn)
	s.mu.Unlock()
	var failed error
	for roomID, conns := range waiting {
		for len(conns) > 0 {
			some := conns[:min(len(conns), selfBatch)]
			conns = conns[len(some):]
			if err := s.read(ctx, roomID, some); err != nil {
				failed = err
				s.again(some)
			}
		}
	}
	return failed
}

func (s *selfReader) again(conns []*Conn) {
	var open []*Conn
	for _, c := range conns {
		if !c.over() {
			open = append(open, c)
		}
	}
	if len(open) > 0 {
		s.add(open...)
	}
}

func (s *selfReader) read(ctx context.Context, roomID string, conns []*Conn) error {
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	var selves map[string]*proto.SessionSelf
	err := store.InSnapshot(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		selves = make(map[string]*proto.SessionSelf, len(conns))
		for _, c := range conns {
			selves[c.userID] = &proto.SessionSelf{User: c.Viewer().User()}
		}
		for _, fill := range s.cfg.Selves {
			if err := fill(ctx, tx, roomID, selves); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read joiners of room %s: %w", roomID, err)
	}
	now := time.Now().UnixMilli()
	for _, c := range conns {
		self := selves[c.userID]
		c.send(&proto.ServerFrame{Events: []*proto.Event{{
			TimeMs: now, Event: &proto.Event_SessionSelf{SessionSelf: self},
		}}})
		if banned(self.GetSanctions(), now) {
			c.shut(CloseForbidden, string(proto.ReasonBanned))
		}
	}
	return nil
}

func banned(sanctions []*proto.Sanction, nowMs int64) bool {
	for _, s := range sanctions {
		if s.Kind == proto.SanctionKind_SANCTION_KIND_BAN && (s.UntilMs == 0 || s.UntilMs > nowMs) {
			return true
		}
	}
	return false
}
