package plan

import (
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/function"
)

// fuse marks aggregations whose input's rows can flow into accumulators one
// by one, so that the input never exists at once.
func fuse(n Node, p Params) Node {
	replaceInputs(n, func(in Node) Node { return fuse(in, p) })
	if a, ok := n.(*Aggregate); ok {
		a.Fused = accumulates(a.Op) && flows(a.Input)
	}
	return n
}

// accumulates: the aggregation needs a constant amount of memory per group and
// step, and parts of it can be merged. (Variances can too, but not with
// upstream's rounding.)
func accumulates(op parser.ItemType) bool {
	switch op {
	case parser.SUM, parser.COUNT, parser.AVG, parser.MIN, parser.MAX, parser.GROUP:
		return true
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK: // labels of what is chosen alone
		return true
	}
	return false
}

// flows: the node is a selector, or a range function over one, whose rows come
// straight from the columns.
func flows(n Node) bool {
	switch n := n.(type) {
	case *Instant:
		return true
	case *Call:
		if n.Window < 0 || n.Func.Name == "absent_over_time" {
			return false
		}
		w, ok := n.Args[n.Window].(*Window)
		return ok && w.Scan != nil && function.IsRange(n.Func.Name)
	}
	return false
}
