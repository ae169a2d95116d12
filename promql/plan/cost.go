package plan

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Selection is one selection of a plan, and what is made of it.
type Selection struct {
	// Node is the operator that selects.
	Node Node
	// Matchers and times (ms, both included) are what is selected. The info
	// series of info are selected by the targets that its input has, which
	// nobody knows before: their matchers name the metrics alone.
	Matchers         []*labels.Matcher
	MinTime, MaxTime int64
	// Steps is the number of evaluation times, WindowMs how far each looks back,
	// StepMs the distance between two.
	Steps, WindowMs, StepMs int64
	under                   *Sharing
	// Kept: a row of each series is held in memory. Otherwise rows flow into
	// groups.
	Kept bool
}

// Selections returns the selections of a plan that was optimized for p, in the
// order in which they are made.
func Selections(n Node, p Params) []Selection {
	var out []Selection
	step := max(p.Step, 1)
	collectSelections(&out, n, nil, steps(p.Start, p.End, step), step)
	return out
}

func steps(start, end, step int64) int64 { return (end-start)/step + 1 }

// collectSelections visits n below parent, evaluated at that many times.
func collectSelections(out *[]Selection, n, parent Node, count, step int64) {
	kept := true
	if a, ok := parent.(*Aggregate); ok {
		kept = !a.Fused
	}
	add := func(node Node, s *Scan, window int64) {
		*out = append(*out, Selection{
			Node: node, Matchers: s.Matchers, MinTime: s.MinTime, MaxTime: s.MaxTime,
			Steps: count, WindowMs: window, StepMs: step, Kept: kept,
		})
	}
	switch n := n.(type) {
	case *Instant:
		add(n, n.Scan, n.Lookback)
		return
	case *Window:
		if n.Scan != nil {
			add(n, n.Scan, n.RangeMs+n.Behind()+n.Ahead())
			return
		}
	case *Shared:
		for _, s := range *out {
			if s.under == n.Group && s.Steps == count && s.StepMs == step {
				return // it is evaluated once
			}
		}
		from := len(*out)
		collectSelections(out, n.Input, parent, count, step)
		for i := range (*out)[from:] {
			(*out)[from+i].under = n.Group
		}
		return
	case *StepInvariant:
		count = 1
	case *Subquery:
		// Its own grid covers the windows of all steps.
		span := n.RangeMs
		if !n.Fixed {
			span += (count - 1) * step
		}
		count, step = span/n.Step+1, n.Step
	case *Info:
		add(n, &Scan{Matchers: append(n.Names[:len(n.Names):len(n.Names)], n.Data...), MinTime: n.MinTime, MaxTime: n.MaxTime}, n.Lookback)
	}
	for _, in := range n.Inputs() {
		above := n
		if _, ok := in.(*Window); ok {
			above = parent // a range function hands its rows to its own parent
		}
		if a, ok := parent.(*Aggregate); ok && a.Fused && Compared(n) != nil {
			above = parent // and so does a comparison that rows flow through
		}
		collectSelections(out, in, above, count, step)
	}
}

// Points is about how many points the rows of a selection hold at one time, when
// it finds that many series and samples: each sample is seen by the steps of one
// window.
func (s *Selection) Points(series, samples int64) int64 {
	if !s.Kept {
		return 0
	}
	return min(series*s.Steps, samples*(s.WindowMs/s.StepMs+1))
}

// Folds tells whether all that a plan reads goes into aggregations, which leave
// little of it.
func Folds(n Node) bool {
	switch n := n.(type) {
	case *Aggregate:
		return n.Op != parser.LIMIT_RATIO && n.Op != parser.COUNT_VALUES
	case *Instant, *Window:
		return false
	}
	for _, in := range n.Inputs() {
		if !Folds(in) {
			return false
		}
	}
	return true
}

// Tree is a plan for who shows it.
type Tree struct {
	// Operator is the operator's name, Detail what it does.
	Operator string `json:"operator"`
	Detail   string `json:"detail,omitempty"`
	// Estimate is what a selection is expected to read; nil for other operators.
	Estimate *Estimate `json:"estimate,omitempty"`
	// Trace is what the operator did; nil where it was not evaluated on its own.
	Trace  *Trace  `json:"trace,omitempty"`
	Inputs []*Tree `json:"inputs,omitempty"`
}

// Estimate is what a selection is expected to read.
type Estimate struct {
	Series  int64 `json:"series"`
	Samples int64 `json:"samples"`
	Bytes   int64 `json:"bytes"`
}

// Trace is what an operator did, its inputs included.
type Trace struct {
	// Seconds is the time it took.
	Seconds float64 `json:"seconds"`
	// Evaluations is how often it was evaluated.
	Evaluations int64 `json:"evaluations"`
	// Series and Points are what it returned.
	Series int64 `json:"series"`
	Points int64 `json:"points"`
	// SeriesSelected and SamplesRead are what was read for it.
	SeriesSelected int64 `json:"seriesSelected"`
	SamplesRead    int64 `json:"samplesRead"`
	// PeakBytes is the most memory that the query has held up to its end.
	PeakBytes int64 `json:"peakBytes"`
}

// TreeOf describes a plan. estimates and traces have what is known of its nodes.
func TreeOf(n Node, estimates map[Node]Estimate, traces map[Node]*Trace) *Tree {
	name, detail := describe(n)
	t := &Tree{Operator: name, Detail: detail, Trace: traces[n]}
	if e, ok := estimates[n]; ok {
		t.Estimate = &e
	}
	for _, in := range n.Inputs() {
		t.Inputs = append(t.Inputs, TreeOf(in, estimates, traces))
	}
	return t
}
