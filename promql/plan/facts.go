package plan

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/schema"

	"github.com/nilometer/nilometer/promql/function"
)

// What can be known of the series of a part without data. Each of these
// functions says less than is true where it does not know better.

// known returns matchers that every series of n matches. They may not be
// changed.
func known(n Node) []*labels.Matcher {
	switch n := n.(type) {
	case *Instant:
		return n.Scan.Matchers
	case *Window:
		if n.Scan != nil {
			return n.Scan.Matchers
		}
		return known(n.Subquery.Input)
	case *Unary:
		return known(n.Input)
	case *StepInvariant:
		return known(n.Input)
	case *Aggregate:
		return knownOfGroups(n)
	case *Call:
		return knownOfCall(n)
	case *Binary:
		return knownOfBinary(n)
	}
	return nil
}

func knownOfGroups(n *Aggregate) []*labels.Matcher {
	if chooses(n.Op) {
		return known(n.Input)
	}
	if n.Op == parser.COUNT_VALUES {
		return nil // it may set any label
	}
	return only(known(n.Input), func(label string) bool { return slices.Contains(n.Grouping, label) != n.Without })
}

// chooses: the series of the aggregation are some of its input's.
func chooses(op parser.ItemType) bool {
	switch op {
	case parser.TOPK, parser.BOTTOMK, parser.LIMITK, parser.LIMIT_RATIO:
		return true
	}
	return false
}

func knownOfCall(n *Call) []*labels.Matcher {
	name := n.Func.Name
	switch {
	case n.Window >= 0 && name != "absent_over_time":
		return known(n.Args[n.Window])
	case len(n.Args) == 0:
		return nil
	case mapsValues(name) || strings.HasPrefix(name, "sort"):
		return known(n.Args[0])
	case name == "label_replace" || name == "label_join":
		set, ok := n.Args[1].(*Text)
		if !ok {
			return nil
		}
		return only(known(n.Args[0]), func(label string) bool { return label != set.Value })
	case name == "histogram_quantile":
		return only(known(n.Args[1]), func(label string) bool { return label != labels.BucketLabel })
	}
	return nil
}

func knownOfBinary(n *Binary) []*labels.Matcher {
	switch {
	case n.Matching == nil:
		if v := vectorOf(n); v != nil {
			return known(v)
		}
		return nil
	case !joins(n) || n.Op == parser.LOR:
		return nil
	case n.Op == parser.LUNLESS:
		return known(n.Left)
	case n.Op == parser.LAND:
		return union(known(n.Left), matchedOf(n, n.Right))
	case n.Matching.Card == parser.CardOneToOne:
		return union(matchedOf(n, n.Left), matchedOf(n, n.Right))
	}
	own := func(label string) bool { return !slices.Contains(n.Matching.Include, label) }
	return union(only(known(manySide(n)), own), only(matchedOf(n, oneSide(n)), own))
}

// matchedOf is what is known of a side's labels that are matched by.
func matchedOf(n *Binary, side Node) []*labels.Matcher {
	return only(known(side), func(label string) bool { return matchedBy(n.Matching, label) })
}

// only returns the matchers on labels that are wanted.
func only(ms []*labels.Matcher, wanted func(label string) bool) []*labels.Matcher {
	var out []*labels.Matcher
	for _, m := range ms {
		if wanted(m.Name) {
			out = append(out, m)
		}
	}
	return out
}

// union returns the matchers of both. Those that were propagated are the same
// ones in many selectors.
func union(a, b []*labels.Matcher) []*labels.Matcher {
	out := slices.Clip(a)
	for _, m := range b {
		if len(out) < knownMax && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// knownMax bounds what is remembered of an operator: planning would take a second
// for a hundred selectors with a hundred matchers.
const knownMax = 16

// fixes: every series of n has the same value of the label, if any.
func fixes(n Node, label string) bool {
	return slices.ContainsFunc(known(n), func(m *labels.Matcher) bool {
		return m.Name == label && m.Type == labels.MatchEqual
	})
}

// uniquely: no two series of n, over all steps, agree in what they are matched
// by.
func uniquely(n Node, m *parser.VectorMatching) bool {
	switch n := n.(type) {
	case *Instant:
		return n.Scan.NameFixed && ignoresFixed(n, m)
	case *Window:
		if n.Scan == nil {
			return uniquely(n.Subquery.Input, m)
		}
		return n.Scan.NameFixed && ignoresFixed(n, m)
	case *Unary:
		return uniquely(n.Input, m)
	case *StepInvariant:
		return uniquely(n.Input, m)
	case *Aggregate:
		return uniqueGroups(n, m)
	case *Call:
		switch name := n.Func.Name; {
		case name == "absent" || name == "absent_over_time" || name == "vector":
			return true // one series
		case n.Window >= 0:
			return uniquely(n.Args[n.Window], m)
		case len(n.Args) > 0 && (mapsValues(name) || strings.HasPrefix(name, "sort")):
			return uniquely(n.Args[0], m)
		}
	case *Binary:
		return uniquePairs(n, m)
	}
	return false
}

// ignoresFixed: the labels that are not matched by are few, and fixed.
func ignoresFixed(n Node, m *parser.VectorMatching) bool {
	return !m.On && all(m.MatchingLabels, func(label string) bool { return fixes(n, label) })
}

func uniqueGroups(n *Aggregate, m *parser.VectorMatching) bool {
	grouped := func(label string) bool { return slices.Contains(n.Grouping, label) }
	switch {
	case chooses(n.Op):
		return uniquely(n.Input, m)
	case n.Op == parser.COUNT_VALUES || slices.ContainsFunc(n.Grouping, schema.IsMetadataLabel):
		return false
	case n.Without:
		return !m.On && oneName(n.Input) && all(m.MatchingLabels, func(label string) bool { return grouped(label) || fixes(n, label) })
	}
	return all(n.Grouping, func(label string) bool { return matchedBy(m, label) || fixes(n, label) })
}

func uniquePairs(n *Binary, m *parser.VectorMatching) bool {
	inner := n.Matching
	switch {
	case inner == nil:
		v := vectorOf(n)
		return v != nil && uniquely(v, m)
	case !joins(n) || n.Op == parser.LOR:
		return false
	case n.Op.IsSetOperator():
		return uniquely(n.Left, m)
	case inner.Card != parser.CardOneToOne:
		return len(inner.Include) == 0 && uniquely(manySide(n), m)
	case inner.On:
		return all(inner.MatchingLabels, func(label string) bool { return matchedBy(m, label) || fixes(n, label) })
	}
	dropped := func(label string) bool { return slices.Contains(inner.MatchingLabels, label) || fixes(n, label) }
	return !m.On && oneName(n.Left) && all(m.MatchingLabels, dropped)
}

// all reports whether something holds for every element.
func all[T any](of []T, holds func(T) bool) bool {
	return !slices.ContainsFunc(of, func(x T) bool { return !holds(x) })
}

// oneName: no two series of n differ in the name of their metric.
func oneName(n Node) bool {
	switch n := n.(type) {
	case *Instant:
		return n.Scan.NameFixed
	case *Window:
		if n.Scan != nil {
			return n.Scan.NameFixed
		}
		return oneName(n.Subquery.Input)
	case *Info:
		return false
	case *Aggregate:
		if !chooses(n.Op) && !n.Without {
			return n.Op != parser.COUNT_VALUES && !slices.ContainsFunc(n.Grouping, schema.IsMetadataLabel)
		}
	case *Call:
		if n.Func.Name == "label_replace" || n.Func.Name == "label_join" {
			return false
		}
	case *Binary:
		if n.Op == parser.LOR {
			return false
		}
	}
	return all(n.Inputs(), oneName)
}

// floats: no value of n is a native histogram. Selectors say so by a name that
// only floats have by convention: those of counters, of the parts of classic
// histograms and summaries, and of info metrics.
func floats(n Node) bool {
	switch n := n.(type) {
	case *Const:
		return true
	case *Instant:
		return floatName(n.Scan)
	case *Window:
		if n.Scan != nil {
			return floatName(n.Scan)
		}
		return floats(n.Subquery.Input)
	case *Aggregate:
		return n.Op == parser.COUNT || n.Op == parser.GROUP || floats(n.Input)
	case *Call:
		name := n.Func.Name
		switch {
		case name == "timestamp" || name == "vector" || name == "absent" || n.Type() == parser.ValueTypeScalar:
			return true
		case n.Window >= 0:
			fn, ok := function.Range(name)
			return ok && !fn.Kinds && !fn.KeepsName || floats(n.Args[n.Window])
		}
		return len(n.Args) > 0 && mapsValues(name) && floats(n.Args[0])
	case *Info:
		return floats(n.Input)
	case *Unary, *Binary, *StepInvariant:
		return all(n.Inputs(), floats)
	}
	return false
}

func floatName(s *Scan) bool {
	return s.NameFixed && (counterName(s.Name) || strings.HasSuffix(s.Name, "_info") || s.Name == "up")
}
