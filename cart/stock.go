package cart

import (
	"context"
	_ "embed"
	"fmt"
	"sync"
	"time"

	"livecart/proto"
	"livecart/session/store"
)

//go:embed stock.lua
var stockLua string

var stockScript = store.NewScript(stockLua)

const (
	// stockEvery is the pause between two looks at the sales whose stock changed.
	stockEvery = 125 * time.Millisecond
	// stockPause is the least time between two flash_stock of a sale, over all processes.
	stockPause = 250 * time.Millisecond
)

// stockNews tells rooms what is left of their sales. Each process looks at those it had to do with;
// a script lets one of them tell, at most four times a second a sale.
type stockNews struct {
	cfg Config
	// paused reports that no ledger answers this process.
	paused func() bool

	mu    sync.Mutex
	dirty map[string]bool
}

func newStockNews(cfg Config, paused func() bool) *stockNews {
	return &stockNews{cfg: cfg, paused: paused, dirty: map[string]bool{}}
}

// changed says that a sale's stock may be news to its room.
func (s *stockNews) changed(saleID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty[saleID] = true
}

// run tells until ctx ends.
func (s *stockNews) run(ctx context.Context) error {
	tick := time.NewTicker(stockEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.tell(ctx)
		}
	}
}

func (s *stockNews) tell(ctx context.Context) {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = map[string]bool{}
	s.mu.Unlock()
	for saleID := range dirty {
		later, err := s.tellSale(ctx, saleID)
		if err != nil {
			// A room hears of the stock again with the next change or Resync.
			s.cfg.Log.Warn("a room does not know its stock", "sale", saleID, "err", err)
		}
		if later {
			s.changed(saleID)
		}
	}
}

// tellSale tells one room, or reports that it was told too short a time ago.
func (s *stockNews) tellSale(ctx context.Context, saleID string) (later bool, err error) {
	paused := "0"
	if s.paused() {
		paused = "1"
	}
	timeout, cancel := context.WithTimeout(ctx, store.RedisTimeout)
	defer cancel()
	reply, err := stockScript.Run(timeout, s.cfg.Redis, saleKeys(saleID)[:1], paused, stockPause.Milliseconds()).Slice()
	if err != nil {
		return false, err
	}
	if reply[0] != "tell" {
		return reply[0] == "later", nil
	}
	if len(reply) != 6 {
		return false, fmt.Errorf("stock.lua replied %d values", len(reply))
	}
	roomID, _ := reply[1].(string)
	numbers := [4]int64{}
	for i := range numbers {
		numbers[i], _ = reply[2+i].(int64)
	}
	return false, s.cfg.Bus.PublishRoom(roomID, &proto.Event{
		TimeMs: time.Now().UnixMilli(),
		Event: &proto.Event_FlashStock{FlashStock: &proto.FlashStock{
			SaleId: saleID, Available: max(0, numbers[0]), Held: numbers[1], Epoch: numbers[2], Rev: numbers[3], Paused: paused == "1",
		}},
	})
}
