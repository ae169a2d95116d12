// Package function has the arithmetic of PromQL: what each function and
// operator computes from plain slices of floats, in upstream's order of
// operations, so that results agree bit for bit.
//
// It owns no labels, plans or storage; it is pure and keeps nothing between
// calls but the Scratch that callers hand in.
//
// Invariants:
//
//   - I1: a kernel writes every element of dst; what it writes for a step whose
//     window has fewer than RangeFunc.SamplesMin samples means nothing.
//   - I2: which steps have a result depends on the windows alone, never on
//     values, so that presence is shared by all series of a time column.
//   - I3: products that are added to something are rounded on their own first,
//     so that no platform fuses the two operations.
package function
