package cart

import "math/bits"

// share returns what part of whole is of an amount, rounded down, for 0 <= part <= whole and
// amount >= 0; of a whole of 0 it is 0. The product has 128 bits, so nothing overflows.
//
// The refunds of an order are differences of shares: after pieces worth g of the lines' sum t were
// refunded, share(amount, g, t) has gone back. So they always add up to the amount when g reaches t,
// whatever a reprice took off and in whatever steps the pieces come.
func share(amount, part, whole int64) int64 {
	if whole == 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(amount), uint64(part))
	quotient, _ := bits.Div64(hi, lo, uint64(whole))
	return int64(quotient)
}

// splitRefund splits an amount over parts by their weights; unless all of those are 0 the split
// adds up to the amount exactly.
func splitRefund(amount int64, weights []int64) []int64 {
	var whole int64
	for _, w := range weights {
		whole += w
	}
	split := make([]int64, len(weights))
	var part, given int64
	for i, w := range weights {
		part += w
		total := share(amount, part, whole)
		split[i] = total - given
		given = total
	}
	return split
}
