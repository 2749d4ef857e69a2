package session

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"livecart/proto"
	"livecart/session/store"
)

const (
	// headsEvery is how often the numbers of the newest events are compared with Postgres.
	headsEvery = time.Second
	// linkEvery is how often NATS is asked for losses, relinkEvery the least time between two readings
	// of everything that they may concern, linkTimeout how long NATS may take to confirm that it is back.
	linkEvery   = 100 * time.Millisecond
	relinkEvery = 2 * time.Second
	linkTimeout = 2 * time.Second
)

// hub holds the rooms that have viewers on this gateway. Locks are taken in the order hub, audience,
// shard.
type hub struct {
	// Fixed after construction.
	cfg     *GatewayConfig
	metrics *metrics
	shards  []*shard
	opened  chan *audience // to run, which starts their goroutines
	done    chan struct{}  // closed when run has ended
	// Called when NATS may have lost what it should have brought.
	onRelink func()

	mu    sync.Mutex
	rooms map[string]*audience
}

func newHub(cfg *GatewayConfig, m *metrics, shards []*shard) *hub {
	return &hub{
		cfg: cfg, metrics: m, shards: shards,
		opened: make(chan *audience), done: make(chan struct{}),
		rooms: make(map[string]*audience),
	}
}

// run serves the rooms until ctx ends, and returns when their goroutines have.
func (h *hub) run(ctx context.Context) {
	defer close(h.done)
	var rooms sync.WaitGroup // all end by ctx
	defer rooms.Wait()
	rooms.Go(func() { h.watch(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-h.opened:
			rooms.Go(func() { a.run(ctx) })
		}
	}
}

// watch finds lost events: of all rooms once a second, and as soon as NATS may have lost some.
func (h *hub) watch(ctx context.Context) {
	heads := time.NewTicker(headsEvery)
	defer heads.Stop()
	link := time.NewTicker(linkEvery)
	defer link.Stop()
	losses, relinked := h.cfg.Bus.Losses(), time.Time{}
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-link.C:
			n := h.cfg.Bus.Losses()
			if n == losses || time.Since(relinked) < relinkEvery || h.linked(ctx) != nil {
				continue
			}
			losses, relinked = n, time.Now()
			h.relinked()
			continue
		case <-heads.C:
		}
		err := h.compareHeads(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			h.cfg.Log.Warn("room events cannot be compared with Postgres", "err", err)
		}
		failing = err != nil
	}
}

// linked returns nil when NATS has all our subscriptions: what is read from then on and what comes
// from then on leave no gap.
func (h *hub) linked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	return h.cfg.Bus.Flush(ctx)
}

// relinked has everything read anew that NATS may have lost.
func (h *hub) relinked() {
	h.mu.Lock()
	rooms := slices.Collect(maps.Values(h.rooms))
	h.mu.Unlock()
	for _, a := range rooms {
		a.relinked()
	}
	h.onRelink()
}

func (h *hub) compareHeads(ctx context.Context) error {
	h.mu.Lock()
	ids := slices.Collect(maps.Keys(h.rooms))
	h.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	heads, err := store.Heads(ctx, h.cfg.Pool, ids)
	if err != nil {
		return err
	}
	for id, head := range heads {
		if a := h.find(id); a != nil {
			a.seen(head)
		}
	}
	return nil
}

// find returns the room if it is open and was read, else nil.
func (h *hub) find(roomID string) *audience {
	h.mu.Lock()
	a := h.rooms[roomID]
	h.mu.Unlock()
	if a == nil {
		return nil
	}
	select {
	case <-a.loaded:
		if a.err == nil {
			return a
		}
	default:
	}
	return nil
}

// open returns the room, read and current, and keeps it open until release is called.
func (h *hub) open(ctx context.Context, roomID string) (a *audience, release func(), err error) {
	h.mu.Lock()
	a, ok := h.rooms[roomID]
	if !ok {
		a = newAudience(h, roomID)
		h.rooms[roomID] = a
	}
	a.pins++
	h.mu.Unlock()
	if !ok {
		select {
		case h.opened <- a:
		case <-h.done:
		}
	}
	release = func() {
		h.mu.Lock()
		a.pins--
		h.mu.Unlock()
	}
	select {
	case <-a.loaded:
		err = a.err
	case <-h.done:
		err = ErrDraining
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return a, release, nil
}

// retire closes the room when nobody has been here for a while and nobody is about to enter.
func (h *hub) retire(a *audience) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.online > 0 || time.Since(a.emptySince) < a.linger() {
		return false
	}
	// Who waits for a room that could not be read learns that from the room itself.
	if a.pins > 0 && a.snap != nil {
		return false
	}
	delete(h.rooms, a.roomID)
	return true
}

// bought notes who has paid for an order of a room that is open here.
func (h *hub) bought(envelope *proto.PrivateEvents) {
	for _, p := range envelope.Events {
		order := p.Event.GetOrderUpdated().GetOrder()
		if order.GetState() != proto.OrderState_ORDER_STATE_PAID || order.GetRoomId() == "" {
			continue
		}
		if a := h.find(order.RoomId); a != nil {
			a.bought(p.GetUserId())
		}
	}
}

// show hands an event that was made here to the room's viewers on this gateway.
func (h *hub) show(roomID string, ev *proto.Event) {
	if a := h.find(roomID); a != nil {
		a.show(ev)
	}
}
