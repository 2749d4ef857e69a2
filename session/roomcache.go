package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"livecart/proto"
	"livecart/session/store"
)

// How long the cache believes what it read. A gateway with viewers in the room hears of changes at
// once through Observe; for the others a change may be seen this much later.
const (
	roomFresh    = 5 * time.Second
	roomMissing  = time.Second // ids of rooms that do not exist
	cachedRooms  = 10_000
	roomReadTime = 5 * time.Second
)

// roomCache holds rooms as last seen, so that joins cost no call. The zero value is ready; safe for
// concurrent use.
type roomCache struct {
	flight singleflight.Group
	mu     sync.Mutex
	rooms  map[string]cachedRoom
}

type cachedRoom struct {
	room  *proto.Room // nil for a room that does not exist; never changed
	until time.Time
}

// Enter returns the room if the viewer may watch it. Its errors are room_not_found,
// sign_in_required and forbidden, or a failure to read. It answers from a cache that is at most
// 5 s old, and many asking for one unknown room at once cost one read. The room must not be
// changed.
func (r *Rooms) Enter(ctx context.Context, v Viewer, roomID string) (*proto.Room, error) {
	if !store.ValidID(roomID) {
		return nil, store.ErrNoRoom
	}
	room, cached := r.cache.look(roomID)
	if !cached {
		var err error
		if room, err = r.readThrough(ctx, roomID); err != nil {
			return nil, err
		}
	}
	if room == nil {
		return nil, store.ErrNoRoom
	}
	if err := Enter(v, room); err != nil {
		return nil, err
	}
	return room, nil
}

func (r *Rooms) readThrough(ctx context.Context, roomID string) (*proto.Room, error) {
	// The read belongs to all who wait, so it outlives the first one's context; its own bound ends it.
	flight := r.cache.flight.DoChan(roomID, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roomReadTime)
		defer cancel()
		room, err := r.Room(ctx, roomID)
		if errors.Is(err, store.ErrNoRoom) {
			r.cache.keep(roomID, nil, roomMissing)
			return (*proto.Room)(nil), nil
		}
		if err != nil {
			return nil, err
		}
		return r.cache.keep(roomID, room, roomFresh), nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-flight:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*proto.Room), nil
	}
}

// Observe tells the cache of a room as a room_state event or a snapshot showed it; older versions
// than the known one are ignored. The room must not be changed afterwards.
func (r *Rooms) Observe(room *proto.Room) {
	if room != nil {
		r.cache.keep(room.Id, room, roomFresh)
	}
}

func (c *roomCache) look(roomID string) (*proto.Room, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.rooms[roomID]
	return known.room, ok && time.Now().Before(known.until)
}

// keep notes a room and returns the newer one of it and the known one.
func (c *roomCache) keep(roomID string, room *proto.Room, fresh time.Duration) *proto.Room {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.rooms[roomID]
	if ok && known.room.GetVersion() > room.GetVersion() && room != nil {
		room = known.room
	}
	if c.rooms == nil {
		c.rooms = make(map[string]cachedRoom)
	}
	if !ok && len(c.rooms) >= cachedRooms {
		for id := range c.rooms { // any one: the map's order is random
			delete(c.rooms, id)
			break
		}
	}
	c.rooms[roomID] = cachedRoom{room: room, until: time.Now().Add(fresh)}
	return room
}
