package promql_test

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	oracle "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	upstream "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
)

// pair is our engine and upstream's over the same samples.
type pair struct {
	ours   *promql.Engine
	theirs *oracle.Engine
	reader storage.Reader
	q      upstream.Queryable
}

func newPair(tb testing.TB, q upstream.Queryable, r storage.Reader, o promql.Options) *pair {
	theirs := oracle.NewEngine(oracle.EngineOpts{
		MaxSamples: 100_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		EnableDelayedNameRemoval: o.DelayedNameRemoval, UseStartTimestamps: o.StartTimestamps, EnableTypeAndUnitLabels: o.TypeAndUnitLabels, Parser: promql.NewParser(),
	})
	return &pair{ours: newEngine(tb, o), theirs: theirs, reader: r, q: q}
}

// when is a query's times: one instant if step is 0.
type when struct {
	start, end time.Time
	step       time.Duration
}

func (w when) String() string {
	if w.step == 0 {
		return fmt.Sprintf("at %d", w.start.UnixMilli())
	}
	return fmt.Sprintf("from %d to %d step %v", w.start.UnixMilli(), w.end.UnixMilli(), w.step)
}

func (p *pair) ask(expr string, w when) (*promql.Result, error) {
	if w.step == 0 {
		return p.ours.Instant(context.Background(), p.reader, tenant.Default, promql.Query{Expr: expr, Time: w.start})
	}
	return p.ours.Range(context.Background(), p.reader, tenant.Default, promql.Query{Expr: expr, Start: w.start, End: w.end, Step: w.step})
}

func (p *pair) askTheirs(expr string, w when) *oracle.Result {
	var q oracle.Query
	var err error
	if w.step == 0 {
		q, err = p.theirs.NewInstantQuery(context.Background(), p.q, nil, expr, w.start)
	} else {
		q, err = p.theirs.NewRangeQuery(context.Background(), p.q, nil, expr, w.start, w.end, w.step)
	}
	if err != nil {
		return &oracle.Result{Err: err}
	}
	return q.Exec(context.Background())
}

// compare asks both engines and returns what they disagree about, "" for
// nothing. answered: our engine gave an answer and not NotSupportedError.
func (p *pair) compare(expr string, w when) (difference string, answered bool) {
	got, err := p.ask(expr, w)
	if isNotSupported(err) {
		return "", false
	}
	want := p.askTheirs(expr, w)
	switch {
	case err != nil && want.Err != nil:
		if !sameError(err.Error(), want.Err.Error()) {
			return fmt.Sprintf("error %q, want %q", err, want.Err), true
		}
		return "", true
	case err != nil:
		return fmt.Sprintf("error %q, want none", err), true
	case want.Err != nil:
		return fmt.Sprintf("no error, want %q", want.Err), true
	}
	if d := differentAnnotations(expr, got.Warnings, want.Warnings); d != "" {
		return d, true
	}
	return differentValues(toUpstream(got).Value, want.Value, ordered(expr)), true
}

// namedSeries is what upstream's error about duplicates names: which of several
// depends on the iteration of a map.
var namedSeries = regexp.MustCompile(`match group \{.*?\} on|\[.*\]`)

func sameError(got, want string) bool {
	return namedSeries.ReplaceAllString(got, "") == namedSeries.ReplaceAllString(want, "")
}

// ordered: the order of an instant query's answer is part of it, and follows
// from the data alone: equal values stand in the order of their input.
var orderedAnswer = regexp.MustCompile(`^(sort|sort_desc|sort_by_label|sort_by_label_desc|topk|bottomk)\(([0-9.]+, )?[a-z_]+(\{[^}]*\})?(, ".*")?\)$`)

func ordered(expr string) bool { return orderedAnswer.MatchString(expr) }

// mergedCount is the number of samples in upstream's info about forced
// monotonicity. In range queries upstream adds each step's count to itself
// again, until it overflows; ours is the number of samples.
var mergedCount = regexp.MustCompile(`over -?\d+ samples`)

// lastKinds: of the pairs of a step that an operator cannot combine upstream
// names the kinds of the last, whose order may be a map's.
var lastKinds = regexp.MustCompile(`(binary operator "[^"]+"): (float|histogram) \S+ (float|histogram)`)

// fixedSubquery is a subquery at a fixed time. Below functions that look at the
// time of the step, upstream evaluates it up to the end of the range, and remarks
// on steps that no window sees. Of remarks that differ in a value alone, one is
// kept, which may be that of such a step.
var fixedSubquery = regexp.MustCompile(`predict_linear.*\].* @ `)

var remarkedValue = regexp.MustCompile(`, got \S+`)

func differentAnnotations(expr string, got, want annotations.Annotations) string {
	text := func(a annotations.Annotations) string {
		warnings, infos := a.AsStrings(expr, 0, 0)
		all := append(warnings, infos...)
		for i, s := range all {
			all[i] = lastKinds.ReplaceAllString(s, "$1")
		}
		slices.Sort(all)
		all = slices.Compact(all)
		return mergedCount.ReplaceAllString(strings.Join(all, "\n"), "over some samples")
	}
	g, w := text(got), text(want)
	if fixedSubquery.MatchString(expr) { // theirs may have more
		g, w = remarkedValue.ReplaceAllString(g, ""), remarkedValue.ReplaceAllString(w, "")
		theirs := strings.Split(w, "\n")
		w = strings.Join(slices.DeleteFunc(theirs, func(line string) bool { return !strings.Contains("\n"+g+"\n", "\n"+line+"\n") }), "\n")
	}
	if g != w {
		return fmt.Sprintf("annotations\n%s\nwant\n%s", g, w)
	}
	return ""
}

func differentValues(got, want parser.Value, ordered bool) string {
	if got.Type() != want.Type() {
		return fmt.Sprintf("type %s, want %s", got.Type(), want.Type())
	}
	switch want := want.(type) {
	case oracle.Scalar:
		if g := got.(oracle.Scalar); g.T != want.T || !same(g.V, want.V) {
			return fmt.Sprintf("%v, want %v", g, want)
		}
	case oracle.String:
		if got.(oracle.String) != want {
			return fmt.Sprintf("%v, want %v", got, want)
		}
	case oracle.Vector:
		return differentVectors(got.(oracle.Vector), want, ordered)
	case oracle.Matrix:
		return differentMatrices(got.(oracle.Matrix), want)
	}
	return ""
}

func differentVectors(got, want oracle.Vector, ordered bool) string {
	if !ordered {
		byLabels := func(a, b oracle.Sample) int { return labels.Compare(a.Metric, b.Metric) }
		got, want = slices.Clone(got), slices.Clone(want)
		slices.SortStableFunc(got, byLabels)
		slices.SortStableFunc(want, byLabels)
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d samples, want %d:\n%v\nwant\n%v", len(got), len(want), got, want)
	}
	for i, w := range want {
		if g := got[i]; !labels.Equal(g.Metric, w.Metric) || g.T != w.T || !same(g.F, w.F) || differentHistograms(g.H, w.H) {
			return fmt.Sprintf("sample %d: %v, want %v", i, g, w)
		}
	}
	return ""
}

func differentMatrices(got, want oracle.Matrix) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d series, want %d:\n%v\nwant\n%v", len(got), len(want), got, want)
	}
	for i, w := range want {
		g := got[i]
		if !labels.Equal(g.Metric, w.Metric) {
			return fmt.Sprintf("series %d: %s, want %s", i, g.Metric, w.Metric)
		}
		if len(g.Histograms) != len(w.Histograms) {
			return fmt.Sprintf("series %s: %d histograms, want %d", w.Metric, len(g.Histograms), len(w.Histograms))
		}
		hists := histogramsOf(g)
		for _, p := range w.Histograms {
			if differentHistograms(hists[p.T], p.H) {
				return fmt.Sprintf("series %s at %d: %v, want %v", w.Metric, p.T, hists[p.T], p.H)
			}
		}
		if len(g.Floats) != len(w.Floats) {
			return fmt.Sprintf("series %s: %d points, want %d", w.Metric, len(g.Floats), len(w.Floats))
		}
		for j, p := range w.Floats {
			if q := g.Floats[j]; q.T != p.T || !same(q.F, p.F) {
				return fmt.Sprintf("series %s, point %d: %v (%x), want %v (%x)", w.Metric, j, q, math.Float64bits(q.F), p, math.Float64bits(p.F))
			}
		}
	}
	return ""
}

// same: equal, or so near that only the order of additions can be the reason.
func same(a, b float64) bool {
	if a == b || (math.IsNaN(a) && math.IsNaN(b)) {
		return true
	}
	return math.Abs(a-b) <= 1e-12*math.Max(math.Abs(a), math.Abs(b))
}
