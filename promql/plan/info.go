package plan

import (
	"fmt"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// targetInfo is the info metric that info joins with when none is asked for.
const targetInfo = "target_info"

// Info adds labels of info metrics to the series of Input.
type Info struct {
	base
	// When says relative to what info series are looked for: where Input's
	// selectors look, if that is one place, else at the evaluation time.
	When
	// Uniform: it is one place.
	Uniform bool
	Input   Node
	// Names select info metrics: at least one of them is positive.
	Names []*labels.Matcher
	// Data are the matchers on the labels that are wanted; without any, all are.
	Data     []*labels.Matcher
	Lookback int64
	// MinTime and MaxTime (ms, both included) bound the samples that any step can
	// need. The rule "times" sets them.
	MinTime, MaxTime int64
}

// Type returns vector.
func (*Info) Type() parser.ValueType { return parser.ValueTypeVector }

// Inputs returns what is enriched.
func (n *Info) Inputs() []Node { return []Node{n.Input} }

func (n *Info) describe() string {
	var parts []string
	for _, m := range append(n.Names[:len(n.Names):len(n.Names)], n.Data...) {
		parts = append(parts, m.String())
	}
	s := "Info {" + strings.Join(parts, ",") + "}" + n.When.describe()
	if n.MinTime != 0 || n.MaxTime != 0 {
		s += fmt.Sprintf(" times %d..%d", n.MinTime, n.MaxTime)
	}
	return s
}

func (b *builder) info(e *parser.Call, depth int) Node {
	n := &Info{base: at(e), Input: b.build(e.Args[0], depth), Lookback: b.p.Lookback}
	if len(e.Args) > 1 {
		sel, ok := e.Args[1].(*parser.VectorSelector)
		if !ok {
			return b.fail(&NotSupportedError{What: "a second argument of info that is not a selector"})
		}
		for _, m := range sel.LabelMatchers {
			if m.Name == model.MetricNameLabel {
				n.Names = append(n.Names, m)
			} else {
				n.Data = append(n.Data, m)
			}
		}
	}
	n.Names = infoNames(n.Names)
	if n.When, n.Uniform = reference(n.Input); !n.Uniform {
		n.When = When{}
	}
	return n
}

// infoNames completes matchers on the name of info metrics: without any it is
// target_info, with negative ones alone all that end like an info metric.
func infoNames(ms []*labels.Matcher) []*labels.Matcher {
	for _, m := range ms {
		if m.Type == labels.MatchEqual || m.Type == labels.MatchRegexp {
			return ms
		}
	}
	if len(ms) == 0 {
		return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, targetInfo)}
	}
	return append([]*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, ".+_info")}, ms...)
}

// reference is where all selectors below n look from; uniform is false when
// that is not one place, or when a part of n has no selector and stands at the
// evaluation time.
func reference(n Node) (w When, uniform bool) {
	var r referenceFinder
	r.visit(n, nil)
	return r.first, r.found && !r.differs && !r.without
}

type referenceFinder struct {
	first                   When
	found, differs, without bool
}

// visit reports whether there is a selector in n, a vector or range. outer are
// the subqueries around it.
func (r *referenceFinder) visit(n Node, outer []When) bool {
	if t := n.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeMatrix {
		return false
	}
	switch n := n.(type) {
	case *Instant:
		r.see(n.When, outer)
		return true
	case *Window:
		if n.Scan != nil {
			r.see(n.When, outer)
			return true
		}
	case *Subquery:
		outer = append(outer[:len(outer):len(outer)], n.When)
	}
	some := false
	for _, in := range n.Inputs() {
		some = r.visit(in, outer) || some
	}
	r.without = r.without || !some
	return some
}

// see takes a selector: the offsets of subqueries around it add up until a time
// is fixed.
func (r *referenceFinder) see(w When, outer []When) {
	for i := len(outer) - 1; i >= 0 && !w.Fixed; i-- {
		w.Offset += outer[i].Offset
		w.At, w.Fixed = outer[i].At, outer[i].Fixed
	}
	same := w.Fixed == r.first.Fixed && w.Reference(0) == r.first.Reference(0)
	switch {
	case !r.found:
		r.first, r.found = w, true
	case !same:
		r.differs = true
	}
}
