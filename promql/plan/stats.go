package plan

import (
	"github.com/prometheus/prometheus/promql/parser"
)

// reduceToStats marks the selectors of whose histograms nothing but count and
// sum reaches the result: they stand below histogram_count, histogram_sum or
// histogram_avg, and below nothing that needs buckets. A subquery does: its
// resets are found by buckets.
//
// Like the choice of what is invariant, this one can be seen from outside (no
// warning about layouts that do not go together), so it is upstream's.
func reduceToStats(n Node, _ Params) Node {
	markStats(n, false, false)
	return n
}

func markStats(n Node, wanted, blocked bool) {
	switch n := n.(type) {
	case *Instant:
		n.Scan.StatsOnly = wanted && !blocked
	case *Window:
		if n.Scan != nil {
			n.Scan.StatsOnly = wanted && !blocked
		} else {
			markStats(n.Subquery, wanted, blocked)
			return
		}
	case *Subquery:
		blocked = true
	case *Binary:
		blocked = blocked || n.Op == parser.TRIM_UPPER || n.Op == parser.TRIM_LOWER
	case *Call:
		switch n.Func.Name {
		case "histogram_count", "histogram_sum", "histogram_avg":
			wanted = true
		case "histogram_quantile", "histogram_quantiles", "histogram_fraction", "histogram_stddev", "histogram_stdvar":
			blocked = true
		}
	}
	for _, in := range n.Inputs() {
		markStats(in, wanted, blocked)
	}
}
