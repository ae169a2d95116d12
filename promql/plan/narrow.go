package plan

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql/function"
)

// selectors returns selectors below n that can be narrowed by a matcher on the
// label, so that n loses the series that do not match and nothing else happens:
// the label goes through as it is, series do not depend on those that go, and
// those neither fail nor are remarked on.
func (p propagator) selectors(n Node, label string) ([]*Scan, bool) {
	switch n := n.(type) {
	case *Instant:
		return []*Scan{n.Scan}, !n.Smoothed
	case *Unary:
		return p.renamed(n.Input, label)
	case *StepInvariant:
		return p.selectors(n.Input, label)
	case *Aggregate:
		if slices.Contains(n.Grouping, label) == n.Without || !silentAggregate(n) {
			return nil, false
		}
		return p.selectors(n.Input, label)
	case *Call:
		return p.ofCall(n, label)
	case *Binary:
		return p.ofBinary(n, label)
	}
	return nil, false
}

// renamed is selectors of what loses its name: two series that differ in
// nothing else would fail.
func (p propagator) renamed(n Node, label string) ([]*Scan, bool) {
	if !oneName(n) {
		return nil, false
	}
	return p.selectors(n, label)
}

// silentAggregate: every series of a group has the values of the labels that it
// is grouped by, and nothing is remarked on a group.
func silentAggregate(n *Aggregate) bool {
	switch n.Op {
	case parser.COUNT, parser.GROUP:
		return true
	case parser.SUM, parser.AVG, parser.MIN, parser.MAX, parser.STDDEV, parser.STDVAR:
		return floats(n.Input)
	case parser.QUANTILE:
		return floats(n.Input) && isQuantile(n.Param)
	}
	return false
}

func isQuantile(n Node) bool {
	c, ok := n.(*Const)
	return ok && c.Value >= 0 && c.Value <= 1
}

func (p propagator) ofCall(n *Call, label string) ([]*Scan, bool) {
	if n.Window >= 0 {
		return p.ofRange(n, label)
	}
	if len(n.Args) > 0 && mapsValues(n.Func.Name) {
		return p.renamed(n.Args[0], label)
	}
	return nil, false
}

// ofRange handles a range function.
func (p propagator) ofRange(n *Call, label string) ([]*Scan, bool) {
	w := n.Args[n.Window].(*Window)
	name := n.Func.Name
	fn, ok := function.Range(name)
	switch {
	case !ok || name == "absent_over_time" || w.Anchored || w.Smoothed || fn.Check != nil:
		return nil, false
	case name == "quantile_over_time" && !isQuantile(n.Args[0]):
		return nil, false // said of a step at which there is a series
	case fn.Kinds && !floats(w):
		return nil, false
	case p.counterRemarks && (fn.Counter || fn.Resets || name == "irate"):
		return nil, false
	case fn.Counter && (w.Scan == nil || !w.Scan.NameFixed || !counterName(w.Scan.Name)):
		return nil, false // remarks that it might not be a counter
	case !fn.KeepsName && !oneName(w):
		return nil, false
	case w.Scan != nil:
		return []*Scan{w.Scan}, true
	}
	return p.selectors(w.Subquery.Input, label)
}

// ofBinary handles operators.
func (p propagator) ofBinary(n *Binary, label string) ([]*Scan, bool) {
	if n.Matching == nil {
		return p.ofScalar(n, label)
	}
	if !joins(n) {
		return nil, false
	}
	matched := matchedBy(n.Matching, label)
	switch n.Op {
	case parser.LOR:
		return p.both(n.Left, n.Right, label)
	case parser.LAND:
		if matched {
			return p.either(n.Left, n.Right, label)
		}
		return p.selectors(n.Left, label)
	case parser.LUNLESS:
		left, ok := p.selectors(n.Left, label)
		if right, also := p.selectors(n.Right, label); ok && also && matched {
			left = append(left, right...)
		}
		return left, ok
	}
	if !floats(n.Left) || !floats(n.Right) || !uniquely(oneSide(n), n.Matching) || !matchesOnce(n) {
		return nil, false
	}
	switch {
	case matched:
		return p.either(n.Left, n.Right, label)
	case n.Matching.Card == parser.CardOneToOne:
		return nil, false // its result does not have the label
	}
	return p.selectors(manySide(n), label)
}

// matchesOnce: no two series of the other side, the many side, come to the same
// result, which would fail.
func matchesOnce(n *Binary) bool {
	if n.Matching.Card == parser.CardOneToOne {
		return uniquely(n.Left, n.Matching)
	}
	return len(n.Matching.Include) == 0 && oneName(manySide(n))
}

// ofScalar handles an operator of a vector and a scalar.
func (p propagator) ofScalar(n *Binary, label string) ([]*Scan, bool) {
	v := vectorOf(n)
	if v == nil || trims(n.Op) || !floats(v) {
		return nil, false
	}
	return p.renamed(v, label)
}

// vectorOf returns the vector beside a scalar, nil if both are scalars.
func vectorOf(n *Binary) Node {
	switch {
	case n.Left.Type() == parser.ValueTypeVector:
		return n.Left
	case n.Right.Type() == parser.ValueTypeVector:
		return n.Right
	}
	return nil
}

func (p propagator) both(a, b Node, label string) ([]*Scan, bool) {
	left, ok := p.selectors(a, label)
	right, also := p.selectors(b, label)
	return append(left, right...), ok && also
}

func (p propagator) either(a, b Node, label string) (out []*Scan, ok bool) {
	for _, n := range []Node{a, b} {
		if scans, can := p.selectors(n, label); can {
			out, ok = append(out, scans...), true
		}
	}
	return out, ok
}

// mapsValues: the function computes a value of each value of its first argument,
// and changes no label but those that describe the metric.
func mapsValues(name string) bool {
	switch name {
	case "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "clamp", "clamp_min", "clamp_max",
		"sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "deg", "rad",
		"timestamp", "minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year",
		"histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar":
		return true
	}
	return false
}

// counterName: nothing is remarked when a function of counters meets the name.
func counterName(name string) bool {
	for _, suffix := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
