// Package plan turns a parsed PromQL expression into a logical plan, and
// improves it.
//
// It is pure: no clock, storage, goroutine. The plan says what is to be
// computed and at which times; promql/exec says how. A plan is a tree of
// Nodes, built once by Build and then changed only by rules (Rules), each of
// which is a function from a plan to a plan that computes the same. Explain
// prints a plan at any stage.
//
// Invariants:
//
//   - I1: Build and the rules never panic, whatever the parser accepts.
//   - I2: a rule never changes an answer, an error or an annotation.
//   - I3: positions of nodes are those of the text: annotations name them.
//   - I4: every duration and time of a plan is in milliseconds, and resolved:
//     start(), end(), step(), range() and duration expressions are numbers.
package plan
