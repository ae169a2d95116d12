package promql

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/exec"
	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// prepared is a query that is planned: all that can be known without data.
type prepared struct {
	Query
	evaluation
	grid function.Grid
	expr parser.Expr
	node plan.Node
	// reach is set where the answer may be put together of parts: parted.
	reach  plan.Reach
	parted bool
	params plan.Params
}

// exprShort is the size of a text that is parsed at once: it takes a few
// milliseconds at most.
const exprShort = 4 << 10

// prepare parses and plans a query, and refuses what is wrong or too large by
// itself.
func (e *Engine) prepare(ctx context.Context, q Query, ev evaluation) (p prepared, err error) {
	defer e.survive(q.Expr, &err)
	if err := e.checkText(q.Expr); err != nil {
		return p, err
	}
	var expr parser.Expr
	parse := func() error {
		expr, err = e.parse(q.Expr)
		return err
	}
	if len(q.Expr) <= exprShort || storage.IsEssential(ctx) {
		err = parse()
	} else {
		err = e.cores.Do(ctx, parse)
	}
	if err != nil {
		return p, err
	}
	p = prepared{Query: q, evaluation: ev, expr: expr, params: e.params(q, ev)}
	if p.grid, err = e.grid(ev, expr); err != nil {
		return p, err
	}
	if p.node, err = build(expr, p.params); err != nil {
		return p, err
	}
	if p.grid.Steps > 1 && !q.Trace && !q.Partial && !storage.IsEssential(ctx) { // rules wait for nobody
		p.reach, p.parted = plan.ReachOf(expr, p.node, p.params, e.options.DelayedNameRemoval)
	}
	p.node = plan.Optimize(p.node, p.params)
	return p, err
}

// survive makes an error of a panic: a defect of ours in one query must not end
// the server that alerts. It is deferred.
func (e *Engine) survive(expr string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	stack := debug.Stack()
	if worker, ok := p.(*exec.Panic); ok {
		stack = worker.Stack
	}
	e.logger.Error("query panicked", "query", shorten(expr), "panic", fmt.Sprint(p), "stack", string(stack))
	*err = &ExecutionError{Text: fmt.Sprintf("unexpected error: %v", p)}
}

// evaluate runs one admitted query.
func (e *Engine) evaluate(ctx context.Context, r storage.Reader, id tenant.ID, q prepared, listed *entry) (answer *Result, err error) {
	defer e.survive(q.Expr, &err)
	node, grid := q.node, q.grid
	res := &Result{Type: node.Type()}
	if t, ok := node.(*plan.Text); ok {
		res.String = String{T: q.start, V: t.Value}
		return res, nil
	}
	known := e.known(r, id, &q) // before the view: what it says is in the view
	view, err := r.View(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("open a view of tenant %s: %w", id, err)
	}
	defer view.Close()
	pieces, cost, err := e.cut(ctx, view, &q, &known)
	if err != nil {
		return nil, err
	}
	budget := exec.NewBudget(exec.Limits{
		SamplesMax: e.options.SamplesMax, BytesMax: e.options.QueryMemoryMaxBytes, SeriesMax: e.options.SeriesMax,
		ResultBytesMax: e.options.ResultMaxBytes, Essential: storage.IsEssential(ctx),
	}, e.pool)
	defer func() {
		if answer == nil { // it panicked, too
			budget.Close()
		}
	}()
	cores := e.cores
	if storage.IsEssential(ctx) {
		cores = nil // rules wait for nobody
		defer e.cores.Essential()()
	}
	var traces exec.Traces
	if q.Trace {
		traces = exec.Traces{}
	}
	x := &execution{engine: e, listed: listed, budget: budget, query: exec.Query{
		Traces: traces,
		View:   view, Budget: budget, Cores: cores, Workers: e.options.Workers, StepsMax: e.options.StepsMax,
		Partial: q.Partial, DelayedNames: e.options.DelayedNameRemoval,
		StartTimestamps: e.options.StartTimestamps, TypeAndUnitLabels: e.options.TypeAndUnitLabels,
	}}
	if node.Type() == parser.ValueTypeMatrix {
		err = x.run(ctx, func(run *exec.Run) error { return e.ranges(ctx, run, node, grid, budget, res) })
	} else {
		var m exec.Matrix
		if m, err = x.matrix(ctx, &q, pieces, &known); err == nil {
			e.keep(&q, id, &known, m, x.warnings)
			err = res.fill(m, q.instant, budget)
		}
	}
	if err != nil {
		return nil, err
	}
	res.Warnings = x.warnings
	res.limit(q.Limit)
	if err := res.own(budget); err != nil {
		return nil, err
	}
	res.Stats = Stats{
		Steps: grid.Steps, StepsKept: x.stepsKept, SeriesSelected: x.stats.SeriesSelected, SamplesRead: x.stats.SamplesRead,
		MemoryPeakBytes: budget.PeakBytes(),
	}
	if q.Trace {
		res.Trace = plan.TreeOf(node, cost.nodes, traces)
	}
	res.hold(budget)
	return res, nil
}

// grid checks a query's times.
func (e *Engine) grid(ev evaluation, expr parser.Expr) (function.Grid, error) {
	steps := (ev.end-ev.start)/ev.step + 1
	if steps > int64(e.options.StepsMax) || steps < 1 {
		return function.Grid{}, &LimitError{
			Limit: "steps", Max: int64(e.options.StepsMax), Seen: steps, Where: "the query",
			Remedy: "make its range shorter or its step longer",
		}
	}
	if t := expr.Type(); !ev.instant && t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return function.Grid{}, &ParseError{Err: fmt.Errorf(
			"invalid expression type %q for range query, must be Scalar or instant Vector", parser.DocumentedType(t))}
	}
	return function.NewGrid(ev.start, ev.end, ev.step), nil
}

func build(expr parser.Expr, p plan.Params) (plan.Node, error) {
	node, err := plan.Build(expr, p)
	if err != nil {
		return nil, planError(err)
	}
	return node, nil
}

func (e *Engine) params(q Query, ev evaluation) plan.Params {
	lookback := e.options.LookbackDelta
	if q.LookbackDelta > 0 {
		lookback = q.LookbackDelta
	}
	p := plan.Params{
		Start: ev.start, End: ev.end, Step: ev.step,
		Lookback: lookback.Milliseconds(), SubqueryStep: e.subqueryStep.Load(),
		CounterRemarks: e.options.StartTimestamps || e.options.TypeAndUnitLabels,
	}
	if ev.instant {
		p.Step = 0
	}
	return p
}

// Explain returns the plan of a query, one operator a line, with its inputs
// indented below it: as built, and after the rewrite rules. It reads no data.
// A query without a Step is an instant one.
func (e *Engine) Explain(q Query) (built, optimized string, err error) {
	if err := e.checkText(q.Expr); err != nil {
		return "", "", err
	}
	expr, err := e.parse(q.Expr)
	if err != nil {
		return "", "", err
	}
	p := e.params(q, evaluation{start: q.Start.UnixMilli(), end: q.End.UnixMilli(), step: q.Step.Milliseconds()})
	if q.Step == 0 {
		at := q.Time.UnixMilli()
		p = e.params(q, evaluation{start: at, end: at, step: 1, instant: true})
	}
	node, err := plan.Build(expr, p)
	if err != nil {
		return "", "", planError(err)
	}
	built = plan.Explain(node)
	return built, plan.Explain(plan.Optimize(node, p)), nil
}

// planError: what the planner refuses without a type of its own is wrong in
// the text.
func planError(err error) error {
	switch err.(type) {
	case *LimitError, *NotSupportedError, *ExecutionError:
		return err
	}
	return &ParseError{Err: err}
}

// ranges answers an instant query whose expression is a range vector.
func (e *Engine) ranges(ctx context.Context, run *exec.Run, node plan.Node, grid function.Grid, budget *exec.Budget, res *Result) error {
	switch n := node.(type) {
	case *plan.Window:
		rows, err := run.Samples(ctx, n, grid)
		if err != nil {
			return err
		}
		for i := range rows {
			res.Matrix = append(res.Matrix, Series{Labels: rows[i].Labels, Points: rawPoints(&rows[i])})
		}
		return res.matrix(budget)
	case *plan.Subquery:
		m, err := run.EvalSubquery(ctx, n, grid)
		if err != nil {
			return err
		}
		return res.fill(m, false, budget)
	}
	return &NotSupportedError{What: fmt.Sprintf("evaluation of a %T", node)}
}

// What a series and a sample of a result take beside labels and points, in bytes.
const (
	seriesBytes = 56
	sampleBytes = 48
)

// matrix counts the series of an answer, whose points are counted already, and
// puts them in order.
func (res *Result) matrix(budget *exec.Budget) error {
	size := int64(0)
	for i := range res.Matrix {
		size += res.Matrix[i].Points.bytes()
	}
	err := budget.KeepResult(size)
	if err == nil {
		err = budget.TakeResult(int64(len(res.Matrix)) * seriesBytes)
	}
	sortSeries(res.Matrix)
	return err
}

// fill makes the matrix of a vector or scalar the answer.
func (res *Result) fill(m exec.Matrix, instant bool, budget *exec.Budget) error {
	if instant {
		if err := budget.TakeResult(int64(len(m.Rows)) * sampleBytes); err != nil {
			return err
		}
	}
	switch {
	case instant && res.Type == parser.ValueTypeScalar:
		res.Scalar = Point{T: m.Grid.Start, V: m.Rows[0].V[0]}
		return nil
	case instant:
		res.Vector = make([]Sample, 0, len(m.Rows))
		for i := range m.Rows {
			v, _ := m.Rows[i].At(0)
			h := m.Rows[i].Histogram(0)
			if h != nil {
				v = 0
			}
			res.Vector = append(res.Vector, Sample{Labels: m.Rows[i].Labels, T: m.Grid.Start, V: v, H: h})
		}
		return nil
	}
	res.Type = parser.ValueTypeMatrix
	res.Matrix = make([]Series, len(m.Rows))
	for i := range m.Rows {
		res.Matrix[i] = Series{Labels: m.Rows[i].Labels, Points: rowPoints(&m.Grid, &m.Rows[i])}
	}
	return res.matrix(budget)
}

func sortSeries(m []Series) {
	slices.SortStableFunc(m, func(a, b Series) int { return labels.Compare(a.Labels, b.Labels) })
}

// limit cuts the result to n series.
func (res *Result) limit(n int) {
	if n <= 0 || (len(res.Vector) <= n && len(res.Matrix) <= n) {
		return
	}
	res.Vector = res.Vector[:min(n, len(res.Vector))]
	res.Matrix = res.Matrix[:min(n, len(res.Matrix))]
	res.Warnings.Add(storage.ErrTruncated)
}
