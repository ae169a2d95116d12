// Package exec runs plans (promql/plan) over the columns of a storage.View.
//
// It owns the physical operators. What is between two of them is a Matrix:
// rows (one a series) of float64 over the steps of a grid, with bits that say
// which steps have a value. Selectors, and range functions over them, are not
// materialised below an aggregation that can take row after row: their rows
// flow from the columns through a kernel (promql/function) into accumulators.
//
// Native histograms are a second kind of value, beside the floats of a row.
// Series that have them do not go through kernels but sample by sample (spans),
// and an aggregation that meets one while rows flow into accumulators begins
// again with materialised rows.
//
// Nodes that the plan has merged read one scan together: the first of them to be
// evaluated reads for all, with a worker for each on every batch, and keeps the
// rows of the others until it is their turn. What is remarked or refused, is then.
// When reading together fails, each reads by itself, so that an error is always
// that of the node that it belongs to.
//
// Invariants:
//
//   - I1: a result does not depend on the number of workers: the batches of a
//     scan are dealt to a fixed number of lanes, each lane adds its batches in
//     order, and lanes are merged in order.
//   - I2: rows of a matrix are never empty and have different labels, or the
//     query fails as upstream's does.
//   - I3: what grows with data is counted in the Budget before it is made.
//   - I4: cancellation is looked at once per batch and per operator.
package exec
