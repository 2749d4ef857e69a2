package gift

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestPrice(t *testing.T) {
	for _, tt := range []struct{ beans, fen int64 }{
		{0, 0}, {1, 15}, {6, 86}, {7, 100}, {8, 115}, {14, 200}, {70, 1000}, {MaxTopUp, 10_000_000},
	} {
		if got := Price(tt.beans); got != tt.fen {
			t.Errorf("Price(%d) = %d, want %d", tt.beans, got, tt.fen)
		}
	}
}

func TestPriceRoundsUpByLessThanOneFen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		beans := rapid.Int64Range(0, MaxTopUp).Draw(t, "beans")
		if over := Price(beans)*BeansPerYuan - beans*100; over < 0 || over >= BeansPerYuan {
			t.Fatalf("Price(%d) = %d is off by %d/7 fen", beans, Price(beans), over)
		}
	})
}

func TestSplitLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		beans := rapid.Int64Range(1, MaxPrice*MaxCount).Draw(t, "beans")
		share := rapid.Int64Range(0, MaxShare).Draw(t, "share")
		host, fee := Split(beans, share)
		if host+fee != beans || host < 0 || fee < 0 || host*MaxShare > beans*share || (host+1)*MaxShare <= beans*share {
			t.Fatalf("Split(%d, %d) = %d, %d", beans, share, host, fee)
		}
	})
}

func ExampleSplit() {
	host, fee := Split(33, 500_000)
	fmt.Println(host, fee)
	// Output: 16 17
}

func ExamplePrice() {
	fmt.Println(Price(7), Price(10))
	// Output: 100 143
}
