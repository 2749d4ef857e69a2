package bus

import (
	"testing"
	"time"
)

func TestBackoffIsBoundedAndAllChance(t *testing.T) {
	for _, row := range []struct {
		tries int
		bound time.Duration
	}{
		{0, 50 * time.Millisecond}, {1, 50 * time.Millisecond}, {2, 100 * time.Millisecond}, {3, 200 * time.Millisecond}, {5, 800 * time.Millisecond},
		{6, time.Second}, {7, time.Second}, {1 << 30, time.Second},
	} {
		var low, high bool
		for range 1000 {
			pause := Backoff(row.tries)
			if pause < 0 || pause >= row.bound {
				t.Fatalf("after %d tries: %v, want less than %v", row.tries, pause, row.bound)
			}
			// Each fifth is missed by a thousand draws with a chance of 10⁻⁹⁷.
			low, high = low || pause < row.bound/5, high || pause >= row.bound*4/5
		}
		if !low || !high {
			t.Errorf("after %d tries pauses do not fill 0 to %v", row.tries, row.bound)
		}
	}
}
