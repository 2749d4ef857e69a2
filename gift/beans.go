package gift

// BeansPerYuan is how many beans one yuan (100 fen) buys. One bean is not a whole number of fen.
const BeansPerYuan = 7

// Currency is the currency that beans are bought in, ISO 4217.
const Currency = "CNY"

// ppm is the whole in parts per million.
const ppm = 1_000_000

// Price returns what beans cost, in fen: beans × 100 ÷ 7, rounded up. Multiples of 7 are exact;
// beans must not be negative.
func Price(beans int64) int64 { return (beans*100 + BeansPerYuan - 1) / BeansPerYuan }

// Split divides the beans of a tip: the host's share of hostPPM parts per million is rounded down,
// the fee is the rest, so nothing is lost or made. A tip's beans are below 10⁹, far from overflow.
func Split(beans, hostPPM int64) (host, fee int64) {
	host = beans * hostPPM / ppm
	return host, beans - host
}
