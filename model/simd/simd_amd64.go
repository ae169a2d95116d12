package simd

import "golang.org/x/sys/cpu"

// avx2 tells whether the processor, and the system, has the vectors of 256 bits.
// Tests switch it off.
var avx2 = cpu.X86.HasAVX2 && cpu.X86.HasPOPCNT

// The functions below are in simd_amd64.s. n is a multiple of four, above zero, and
// scale is below 2^32.

//go:noescape
func addEachAVX2(sum, c, x *float64, n int)

//go:noescape
func deltasAVX2(v *float64, n int, acc, base, scale uint64, divisor float64) uint64

//go:noescape
func offsetsAVX2(v *float64, n int, from, scale uint64, divisor float64)

//go:noescape
func addBitsAVX2(v, x *float64, n int, base, scale uint64)

// spreadAVX2 goes on as long as there are eight values below, and returns where spread
// has to.
//
//go:noescape
func spreadAVX2(out *float64, bitmap *byte, i, j int, table *[16][8]uint32) (iLeft, jLeft int)

// nextFallAVX2 returns to if there is none; to-from is a multiple of four.
//
//go:noescape
func nextFallAVX2(v *float64, from, to int) int

//go:noescape
func risesAVX2(dst, v *float64, lo, hi *int32, factor, clamp *float64, n int) int

//go:noescape
func lastsAVX2(dst, v *float64, lo, hi *int32, n int) int

//go:noescape
func fillAVX2(dst *float64, n int, x float64)

//go:noescape
func addToAVX2(dst *float64, n int, x float64)

//go:noescape
func maxAVX2(v *float64, n int) float64

//go:noescape
func minAVX2(v *float64, n int) float64

//go:noescape
func fieldsAVX2(dst *float64, src *byte, octets, w int)
