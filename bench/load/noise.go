package load

import "math"

// mix hashes two words into one (the finaliser of splitmix64 over their sum):
// draws need independence between neighbours, not cryptography.
func mix(a, b uint64) uint64 {
	z := a + (b+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit draws from [0, 1).
func unit(a, b uint64) float64 { return float64(mix(a, b)>>11) * 0x1p-53 }

// logBetween draws log-uniformly from [low, high).
func logBetween(key, salt uint64, low, high float64) float64 {
	return low * math.Exp(unit(key, salt)*math.Log(high/low))
}

// Draws of one noise are told apart by the scale they belong to.
const (
	saltFine   = 0x11 << 40
	saltMiddle = 0x22 << 40
	saltCoarse = 0x33 << 40
)

// progress is a strictly increasing function of n ≥ 0 with slope 1 in the
// mean: how far something with irregular speed has come. Its speed varies over
// 1, 8 and 64 ticks, as traffic does. Reading it anywhere costs five draws.
func progress(key uint64, n int64) float64 {
	fine := float64(n) + 0.9*unit(key, saltFine+uint64(n))
	return 0.4*fine + 0.3*stride(key, saltMiddle, n, 8) + 0.3*stride(key, saltCoarse, n, 64)
}

// stride interpolates between irregular milestones every scale ticks. Draws
// below 0.9 keep the slope positive, so that rounding cannot turn it around.
func stride(key, salt uint64, n, scale int64) float64 {
	cell := n / scale
	from := float64(cell) + 0.9*unit(key, salt+uint64(cell))
	to := float64(cell+1) + 0.9*unit(key, salt+uint64(cell+1))
	return float64(scale) * (from + (to-from)*(float64(n%scale)/float64(scale)))
}

// wander is a value in [0, 1) that drifts over 16 and 256 ticks and trembles
// at each.
func wander(key uint64, n int64) float64 {
	return 0.15*unit(key, saltFine+uint64(n)) + 0.35*drift(key, saltMiddle, n, 16) + 0.5*drift(key, saltCoarse, n, 256)
}

func drift(key, salt uint64, n, scale int64) float64 {
	cell := n / scale
	from, to := unit(key, salt+uint64(cell)), unit(key, salt+uint64(cell+1))
	return from + (to-from)*(float64(n%scale)/float64(scale))
}
