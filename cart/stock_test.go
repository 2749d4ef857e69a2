package cart

import (
	"testing"
	"time"
)

// However many processes see a sale change, its room is told about four times a second, and at last
// of the newest.
func TestStockIsToldAFewTimesASecond(t *testing.T) {
	s := newStall(t, 100, 0)
	s.ledger()
	s.ledger()
	other := s.gateway()
	events := s.roomEvents()
	told := func() (n int, available int64) {
		for _, ev := range events() {
			if stock := ev.GetFlashStock(); stock != nil {
				n++
				available = stock.Available
			}
		}
		return n, available
	}
	began := time.Now()
	for time.Since(began) < time.Second {
		s.must(other.Resync(t.Context(), s.sale.Id))
	}
	s.crowd("v", 30, s.cart, other)
	took := time.Since(began)
	n, _ := told()
	if most := int(took/stockPause) + 2; n > most || n < 2 {
		t.Errorf("told %d times in %v, want 2 to %d", n, took, most)
	}
	s.until("the newest is told", func() bool { _, available := told(); return available == 70 })
}
