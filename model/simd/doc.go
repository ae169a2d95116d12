// Package simd has the loops in which decoding and queries spend their time,
// four values at a time where the processor has AVX2.
//
// Every function computes the same bits on every machine: what the vector code
// does to an element is what the Go code does to it, operation by operation. The
// Go code is the definition, serves the other processors and the elements that do
// not fill a vector, and is what the tests compare with.
//
// It owns nothing and knows no format and no query: slices come in and are
// changed in place. Slices that belong together have the lengths that each
// function says, or it panics as an index out of range does.
package simd
