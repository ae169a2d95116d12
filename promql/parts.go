package promql

import (
	"context"
	"errors"
	"math"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/exec"
	"github.com/nilometer/nilometer/promql/frontend"
	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// keeps tells whether a query's answer may be kept and found.
func (e *Engine) keeps(q *prepared) bool { return e.cache != nil && q.parted && !q.NoCache }

// key names the answers that q's may be a part of.
func (q *prepared) key(id tenant.ID) frontend.Key {
	phase := q.start % q.step
	if phase < 0 {
		phase += q.step
	}
	return frontend.Key{Tenant: id, Expr: q.Expr, Step: q.step, Phase: phase, Lookback: q.params.Lookback, SubqueryStep: q.params.SubqueryStep}
}

// frontendGrid are q's steps; the last one may be before q.end.
func (q *prepared) frontendGrid() frontend.Grid {
	return frontend.Grid{Start: q.start, End: q.grid.At(q.grid.Steps - 1), Step: q.step}
}

// known is what there is of a query's answer before it is evaluated.
type known struct {
	number uint64 // of the last change before the view
	// extent holds from its start up to last, if it is not nil.
	extent *frontend.Extent
	last   int64
}

// start is the extent's first step.
func (k *known) start() int64 { return k.extent.Matrix.Grid.Start }

// known looks for what the cache has, and for what of it holds.
func (e *Engine) known(r storage.Reader, id tenant.ID, q *prepared) (k known) {
	if !e.keeps(q) {
		return k
	}
	x := e.cache.Get(q.key(id))
	if x == nil {
		k.number, _ = r.Changed(id, 0, math.MaxInt64)
		return k
	}
	g := x.Matrix.Grid
	var changed int64
	k.number, changed = r.Changed(id, x.Number, g.Start-q.reach.Behind)
	if last, ok := frontend.Valid(g.Start, g.At(g.Steps-1), g.Step, q.reach.Ahead, changed); ok {
		k.extent, k.last = x, last
	}
	return k
}

// piece is a part of a query's steps: what the cache has, or what node gives.
type piece struct {
	grid function.Grid
	node plan.Node
	kept bool
}

// cut returns the parts of a query's answer, in order, and what they are expected
// to cost. A query that would go over a limit is refused.
func (e *Engine) cut(ctx context.Context, view storage.View, q *prepared, k *known) ([]piece, Cost, error) {
	split := max(0, e.options.SplitInterval.Milliseconds())
	pieces, err := e.pieces(q, k, split)
	if err != nil {
		return nil, Cost{}, err
	}
	cost, err := e.estimate(ctx, view, q, pieces)
	if err != nil {
		return nil, cost, err
	}
	if split > 0 {
		if shorter := e.shorter(q, pieces, &cost); shorter > 0 {
			if pieces, err = e.pieces(q, k, shorter); err != nil {
				return nil, cost, err
			}
		}
	}
	return pieces, cost, cost.check(&e.options)
}

// What a piece is at least, for it to be worth the samples that it reads again:
// steps, and times what each step looks at.
const (
	pieceSteps   = 64
	pieceReaches = 8
)

// shorter returns the length, in ms, of pieces of which less is in memory at one
// time, where the rows that a query holds are below aggregations: what it answers
// is small. It returns 0 when the pieces are to stay, and else makes the cost that
// of the shorter ones.
func (e *Engine) shorter(q *prepared, pieces []piece, c *Cost) int64 {
	if !q.parted || c.Points <= e.options.HeldPoints || !plan.Folds(q.node) {
		return 0
	}
	longest := int64(0)
	for _, p := range pieces {
		if !p.kept {
			longest = max(longest, p.grid.End-p.grid.Start)
		}
	}
	n := (c.Points + e.options.HeldPoints - 1) / e.options.HeldPoints
	length := max(longest/n, pieceSteps*q.step, pieceReaches*(q.reach.Behind+q.reach.Ahead))
	if length >= longest {
		return 0
	}
	c.Points = int64(float64(c.Points) * float64(length) / float64(longest))
	return length
}

// pieces are the parts of a query's answer, in order, each of at most split ms; 0
// does not split.
func (e *Engine) pieces(q *prepared, k *known, split int64) ([]piece, error) {
	if !q.parted {
		return []piece{{grid: q.grid, node: q.node}}, nil
	}
	from, to := int64(math.MaxInt64), int64(math.MinInt64)
	if k.extent != nil {
		from, to = k.start(), k.last
	}
	all := frontend.Plan(q.frontendGrid(), from, to, split)
	out := make([]piece, len(all))
	for i, p := range all {
		out[i] = piece{grid: function.NewGrid(p.Start, p.End, q.step), kept: p.Kept}
		switch {
		case p.Kept:
		case len(all) == 1:
			out[i] = piece{grid: q.grid, node: q.node}
		default:
			params := q.params
			params.Start, params.End = p.Start, p.End
			node, err := build(q.expr, params)
			if err != nil {
				return nil, err
			}
			out[i].node = plan.Optimize(node, params)
		}
	}
	return out, nil
}

// execution is the evaluation of the pieces of one query, over one view and with
// one budget.
type execution struct {
	engine *Engine
	listed *entry
	budget *exec.Budget
	query  exec.Query

	warnings  annotations.Annotations
	stats     exec.Stats
	stepsKept int
}

// run gives f a run, and adds up what it did.
func (x *execution) run(ctx context.Context, f func(*exec.Run) error) error {
	run := exec.NewRun(x.query)
	x.engine.active.follow(x.listed, run, x.budget)
	defer run.End()
	if err := run.Begin(ctx); err != nil {
		return err
	}
	if err := f(run); err != nil {
		return err
	}
	x.warnings.Merge(run.Annotations())
	s := run.Stats()
	x.stats.SeriesSelected += s.SeriesSelected
	x.stats.SamplesRead += s.SamplesRead
	return nil
}

// matrix puts the pieces together. Remarks and errors are of the whole range: a
// query that comes to one is evaluated at once.
func (x *execution) matrix(ctx context.Context, q *prepared, pieces []piece, k *known) (exec.Matrix, error) {
	parts, err := x.parts(ctx, pieces, k)
	var failed *plan.ExecutionError
	if len(pieces) > 1 && (err == nil && len(x.warnings) > 0 || errors.As(err, &failed)) {
		x.warnings, x.stepsKept = nil, 0
		x.budget.Restart()
		parts, err = x.parts(ctx, []piece{{grid: q.grid, node: q.node}}, k)
		if limit := (*LimitError)(nil); failed != nil && errors.As(err, &limit) {
			err = failed // too much at once, but wrong in any case
		}
	}
	if err != nil {
		return exec.Matrix{}, err
	}
	if !q.instant {
		x.engine.metrics.steps.Add(float64(q.grid.Steps))
		x.engine.metrics.stepsKept.Add(float64(x.stepsKept))
	}
	return exec.Join(x.budget, q.grid, parts)
}

// parts evaluates pieces one after another, up to the first of several that comes
// with a remark.
func (x *execution) parts(ctx context.Context, pieces []piece, k *known) ([]exec.Matrix, error) {
	parts := make([]exec.Matrix, 0, len(pieces))
	for _, p := range pieces {
		if p.kept {
			x.stepsKept += p.grid.Steps
			parts = append(parts, k.extent.Matrix.Cut(p.grid.Start, p.grid.End))
			continue
		}
		x.budget.NextPart()
		err := x.run(ctx, func(run *exec.Run) error {
			m, err := run.Eval(ctx, p.node, p.grid)
			parts = append(parts, m)
			return err
		})
		if err != nil || len(x.warnings) > 0 && len(pieces) > 1 {
			return parts, err
		}
	}
	return parts, nil
}

// keptStepsMax bounds the steps of an answer that is kept: somewhat more than the
// API lets a query have.
const keptStepsMax = 12_000

// keep puts an answer into the cache, with what was there of the steps around it.
// What came with a remark is not kept: remarks are of the whole range.
func (e *Engine) keep(q *prepared, id tenant.ID, k *known, m exec.Matrix, warnings annotations.Annotations) {
	if !e.keeps(q) || len(warnings) > 0 {
		return
	}
	g := q.frontendGrid()
	m.Grid = function.NewGrid(g.Start, g.End, g.Step) // it ends at a step
	parts := []exec.Matrix{m}
	if k.extent != nil && k.start() <= g.End+g.Step && k.last >= g.Start-g.Step {
		if k.start() <= g.Start && k.last >= g.End {
			return // all was known
		}
		switch room := int64(keptStepsMax - q.grid.Steps); {
		case room <= 0:
		case k.start() < g.Start:
			parts = []exec.Matrix{k.extent.Matrix.Cut(max(k.start(), g.Start-room*g.Step), g.Start-g.Step), m}
		case k.last > g.End:
			parts = append(parts, k.extent.Matrix.Cut(g.End+g.Step, min(k.last, g.End+room*g.Step)))
		}
	}
	points := int64(0)
	for i := range parts {
		points += parts[i].Points()
	}
	if q.grid.Steps > keptStepsMax || !e.cache.Room(points*8) {
		return
	}
	last := parts[len(parts)-1].Grid
	whole, err := exec.Join(nil, function.NewGrid(parts[0].Grid.Start, last.At(last.Steps-1), g.Step), parts)
	if err != nil {
		return
	}
	x := &frontend.Extent{Matrix: whole.Own(), Number: k.number}
	x.Bytes = x.Matrix.Bytes()
	e.cache.Put(q.key(id), x)
}
