// Package promql answers PromQL: it parses an expression with upstream's
// parser, plans it (promql/plan), runs the plan over the columns of a
// storage.Reader (promql/exec, promql/function) and returns plain values.
//
// It owns the lifetime of a query: the list of those that wait and run, the
// limits on how many do, the timeout, the budgets, the processors they share,
// the workers, the metrics, the log. It promises upstream's
// answers: the same values from the same order of operations, the same
// errors, the same annotations, in the same order.
//
// Callers pass a context that ends when nobody wants the answer any more, made
// with storage.Essential for what alerting stands on, and close a Result when
// they have used it. An Engine is safe for
// concurrent use and has no goroutine of its own: what a query started has
// ended when its call returns.
//
// Invariants:
//
//   - I1: a query sees one storage.View, taken after it was admitted.
//   - I2: an answer does not depend on the number of workers, nor on how
//     storage cut the series into batches and tiles.
//   - I3: every buffer whose size depends on data is counted against the
//     query's budget before it is made; over it the query fails with a
//     LimitError and nothing else does.
//   - I4: all queries and the answers that are not closed yet have at most the
//     pool's memory, and rules have a part of it that others never get.
//   - I5: a query ends within the work of some milliseconds after its context
//     did, or it was killed; only single steps of very long windows, and what
//     storage does for a selection, take longer.
//   - I6: a failed query returns no values: a part of an answer is never
//     taken for the whole.
package promql
