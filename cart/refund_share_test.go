package cart

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestShareIsExact(t *testing.T) {
	const most = int64(MaxLines * MaxQuantity * MaxPrice)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 10_000 {
		whole := 1 + r.Int64N(most)
		amount, part := r.Int64N(most+1), r.Int64N(whole+1)
		want := new(big.Int).Mul(big.NewInt(amount), big.NewInt(part))
		want.Quo(want, big.NewInt(whole))
		if got := share(amount, part, whole); got != want.Int64() {
			t.Fatalf("seed %d: %d × %d ÷ %d is %d, want %d", seed, amount, part, whole, got, want)
		}
	}
	if got := share(most, most, most); got != most {
		t.Errorf("all of the most is %d", got)
	}
	if got := share(0, 0, 0); got != 0 {
		t.Errorf("nothing of nothing is %d", got)
	}
}

// TestRefundsAddUp refunds orders of random lines and discounts in random steps.
func TestRefundsAddUp(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	for range 2_000 {
		lines := make([]line, 1+r.IntN(5))
		var sum int64
		for i := range lines {
			lines[i] = line{quantity: 1 + r.Int32N(9), unitPrice: 1 + r.Int64N(999)}
			sum += int64(lines[i].quantity) * lines[i].unitPrice
		}
		amount := 1 + r.Int64N(sum)
		var given, gross int64
		for gross < sum {
			weights := make([]int64, len(lines))
			for i := range lines {
				n := r.Int32N(lines[i].toRefund() + 1)
				lines[i].refunded += n
				weights[i] = int64(n) * lines[i].unitPrice
				gross += weights[i]
			}
			step := share(amount, gross, sum) - given
			given += step
			var split, weight int64
			for i, part := range splitRefund(step, weights) {
				if part < 0 || weights[i] == 0 && part != 0 {
					t.Fatalf("seed %d: %v splits into %d for %d", seed, weights, part, weights[i])
				}
				split += part
				weight += weights[i]
			}
			if step < 0 || weight > 0 && split != step {
				t.Fatalf("seed %d: a step of %d is split into %d", seed, step, split)
			}
		}
		if given != amount {
			t.Fatalf("seed %d: %d came back of %d", seed, given, amount)
		}
	}
}
