//go:build !amd64

package simd

// avx2 is what other processors do not have: Go code does all.
const avx2 = false

func addEachAVX2(_, _, _ *float64, _ int) {}

func deltasAVX2(_ *float64, _ int, acc, _, _ uint64, _ float64) uint64 { return acc }

func offsetsAVX2(_ *float64, _ int, _, _ uint64, _ float64) {}

func addBitsAVX2(_, _ *float64, _ int, _, _ uint64) {}

func spreadAVX2(_ *float64, _ *byte, i, j int, _ *[16][8]uint32) (iLeft, jLeft int) { return i, j }

func nextFallAVX2(_ *float64, from, _ int) int { return from }

func risesAVX2(_, _ *float64, _, _ *int32, _, _ *float64, _ int) int { return 0 }

func lastsAVX2(_, _ *float64, _, _ *int32, _ int) int { return 0 }

func fillAVX2(_ *float64, _ int, _ float64) {}

func addToAVX2(_ *float64, _ int, _ float64) {}

func maxAVX2(_ *float64, _ int) float64 { return 0 }

func minAVX2(_ *float64, _ int) float64 { return 0 }

func fieldsAVX2(_ *float64, _ *byte, _, _ int) {}
