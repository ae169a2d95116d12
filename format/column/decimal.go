package column

import "math"

// decimalExpMax is the largest power of ten that is a float64 exactly.
const decimalExpMax = 22

// exactIntMax bounds the integers that convert to float64 without rounding.
const exactIntMax = 1 << 53

// pow10 is 10^e. It is a table, never written.
var pow10 = [32]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// asInteger returns v as an int64, if the way back gives the same bits. -0,
// NaN, infinities and magnitudes from 2^63 do not.
func asInteger(v float64) (int64, bool) {
	if !(v >= -(1<<63) && v < 1<<63) {
		return 0, false
	}
	k := int64(v)
	return k, math.Float64bits(float64(k)) == math.Float64bits(v)
}

// asDecimal returns k with float64(k)/10^e == v to the bit. Dividing two
// exactly represented numbers rounds once, so that any decimal of up to 15
// digits is found as its parser made it.
func asDecimal(v float64, e int) (int64, bool) {
	if e == 0 {
		return asInteger(v)
	}
	s := v * pow10[e&31]
	if !(s > -exactIntMax && s < exactIntMax) {
		return 0, false
	}
	k := int64(math.RoundToEven(s))
	return k, math.Float64bits(float64(k)/pow10[e&31]) == math.Float64bits(v)
}

// nearDecimal returns k and the distance, in units of the last place, from
// float64(k)/10^e to v. It is not ok when v is out of range or the distance
// exceeds what a small correction should pay for. A float64 sum of decimals
// stays within some ulps of its exact value: that is what it finds.
func nearDecimal(v float64, e int, ulpMax int64) (k, ulp int64, ok bool) {
	s := v * pow10[e&31]
	if !(s > -exactIntMax && s < exactIntMax) {
		return 0, 0, false
	}
	k = int64(math.RoundToEven(s))
	ulp = int64(math.Float64bits(v) - math.Float64bits(float64(k)/pow10[e&31]))
	return k, ulp, ulp >= -ulpMax && ulp <= ulpMax
}

// Integers appends values[i] · 10^exp to dst, exp between 0 and 22. It is not
// ok when one of them is no such decimal to the bit (I1).
func Integers(dst []int64, values []float64, exp int) ([]int64, bool) {
	for _, v := range values {
		k, ok := asDecimal(v, exp)
		if !ok {
			return dst, false
		}
		dst = append(dst, k)
	}
	return dst, true
}
