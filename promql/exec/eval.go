package exec

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// Query is what a run needs besides the plan.
type Query struct {
	View   storage.View
	Budget *Budget
	// Cores bounds the goroutines of all queries that work at one time; nil does
	// not.
	Cores *Cores
	// Workers is the number of goroutines that read one scan, at least 1.
	Workers int
	// StepsMax bounds the grid of a subquery.
	StepsMax int
	// Partial is passed on to storage.
	Partial bool
	// DelayedNames removes the labels that name a metric at the end of the query
	// and not where a function or operator makes them wrong.
	DelayedNames bool
	// StartTimestamps makes rates and resets look at the start timestamps of
	// samples, and start_timestamp answer.
	StartTimestamps bool
	// TypeAndUnitLabels: what a counter is can be seen from its labels.
	TypeAndUnitLabels bool
	// Traces, if not nil, gets what every operator does.
	Traces Traces
}

// Stats count what a run did: the series of its selections, those that were
// read, and the samples decoded.
type Stats struct {
	SeriesSelected, SeriesRead, SamplesRead int64
}

// Run is one execution of a plan. Its methods are used by one goroutine; Stats
// by any.
type Run struct {
	q    Query
	core core

	mu    sync.Mutex // guards annos and notes
	annos annotations.Annotations
	notes int // how often something was noted

	kept     map[*plan.Sharing]*keptMatrix
	together togetherness

	seriesSelected, seriesRead, samplesRead atomic.Int64
}

// NewRun prepares a run.
func NewRun(q Query) *Run { return &Run{q: q, core: core{of: q.Cores}} }

// Begin waits for one of the query's Cores until ctx ends. It is called before
// all else, and End after it, whatever it returned.
func (r *Run) Begin(ctx context.Context) error { return r.core.take(ctx) }

// End gives up what Begin took.
func (r *Run) End() {
	r.together.close(r.q.Budget)
	r.core.give()
}

// Annotations returns the warnings and infos of what was evaluated so far.
func (r *Run) Annotations() annotations.Annotations { return r.annos }

// Stats returns what was done so far.
func (r *Run) Stats() Stats {
	return Stats{SeriesSelected: r.seriesSelected.Load(), SeriesRead: r.seriesRead.Load(), SamplesRead: r.samplesRead.Load()}
}

func (r *Run) annotate(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.annos.Add(err)
	r.notes++
}

func (r *Run) merge(a annotations.Annotations) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.annos.Merge(a)
	r.notes += len(a)
}

// Eval computes n, which is neither a string nor a range, on a grid. Of a
// scalar it returns the matrix of one row without labels.
func (r *Run) Eval(ctx context.Context, n plan.Node, g function.Grid) (Matrix, error) {
	m, err := r.eval(ctx, n, g)
	if err != nil {
		return Matrix{}, err
	}
	return r.finish(m)
}

// finish removes the names whose removal was delayed.
func (r *Run) finish(m Matrix) (Matrix, error) {
	if !r.q.DelayedNames {
		return m, nil
	}
	for i := range m.Rows {
		if m.Rows[i].DropName {
			m.Rows[i].Labels = dropNames(m.Rows[i].Labels)
		}
	}
	var err error
	m.Rows, err = mergeRows(m.Rows)
	return m, err
}

func (r *Run) eval(ctx context.Context, n plan.Node, g function.Grid) (Matrix, error) {
	if err := r.core.pause(ctx); err != nil {
		return Matrix{}, err
	}
	if g.Steps < 1 {
		return Matrix{Grid: g}, nil
	}
	if r.q.Traces != nil {
		return r.traced(ctx, n, g)
	}
	return r.evalNode(ctx, n, g)
}

func (r *Run) evalNode(ctx context.Context, n plan.Node, g function.Grid) (Matrix, error) {
	if of := plan.MergedOf(n); of != nil {
		if m, ok, err := r.merged(ctx, n, of, g); ok || err != nil {
			return m, err
		}
	}
	switch n := n.(type) {
	case *plan.Const:
		return r.constant(n, g)
	case *plan.Instant:
		return r.instant(ctx, n, g)
	case *plan.Call:
		return r.call(ctx, n, g)
	case *plan.Info:
		return r.info(ctx, n, g)
	case *plan.Aggregate:
		return r.aggregate(ctx, n, g)
	case *plan.Binary:
		return r.binary(ctx, n, g)
	case *plan.Unary:
		return r.unary(ctx, n, g)
	case *plan.StepInvariant:
		return r.invariant(ctx, n, g)
	case *plan.Shared:
		return r.shared(ctx, n, g)
	}
	return Matrix{}, fmt.Errorf("evaluate a %T: not a vector or scalar", n)
}

// hold counts a finished matrix and returns it.
func (r *Run) hold(m Matrix, where string) (Matrix, error) {
	points, bytes := int64(0), int64(0)
	for i := range m.Rows {
		points += int64(len(m.Rows[i].V)) + histogramPoints(m.Rows[i].H)
		bytes += m.Rows[i].ownBytes()
	}
	if err := r.q.Budget.takePoints(points, where); err != nil {
		return Matrix{}, err
	}
	m.held += points
	return m, r.holdBytes(&m, bytes, where)
}

// holdBytes counts what rows of a matrix take beside their points.
func (r *Run) holdBytes(m *Matrix, n int64, where string) error {
	if err := r.q.Budget.takeBytes(n, where); err != nil {
		return err
	}
	m.heldBytes += n
	return nil
}

// release gives a matrix up that was held.
func (r *Run) release(m Matrix) {
	r.q.Budget.givePoints(m.held)
	r.q.Budget.giveBytes(m.heldBytes)
}

func (r *Run) constant(n *plan.Const, g function.Grid) (Matrix, error) {
	m := Matrix{Grid: g, held: int64(g.Steps)}
	if err := r.q.Budget.takePoints(m.held, "a number"); err != nil {
		return Matrix{}, err
	}
	v := make([]float64, g.Steps)
	for i := range v {
		v[i] = n.Value
	}
	m.Rows = []Row{constantRow(v)}
	return m, nil
}

// scalar evaluates a node of type scalar to one value a step.
func (r *Run) scalar(ctx context.Context, n plan.Node, g function.Grid) ([]float64, error) {
	m, err := r.eval(ctx, n, g)
	if err != nil {
		return nil, err
	}
	defer r.release(m)
	if len(m.Rows) != 1 || len(m.Rows[0].V) != g.Steps {
		return nil, fmt.Errorf("a scalar has %d series", len(m.Rows))
	}
	return m.Rows[0].V, nil
}

func (r *Run) unary(ctx context.Context, n *plan.Unary, g function.Grid) (Matrix, error) {
	m, err := r.eval(ctx, n.Input, g)
	if err != nil || !n.Minus {
		return m, err
	}
	for i := range m.Rows {
		row := &m.Rows[i]
		r.loseName(row)
		for j, v := range row.V {
			row.V[j] = -v
			if h := row.histogram(j); h != nil {
				row.H[j] = h.Copy().Mul(-1)
			}
		}
	}
	if !r.q.DelayedNames {
		m.Rows, err = mergeRows(m.Rows)
	}
	return m, err
}

// loseName removes what names the metric from a row, or notes that it is to be.
func (r *Run) loseName(row *Row) {
	row.DropName = true
	if !r.q.DelayedNames {
		row.Labels = dropNames(row.Labels)
	}
}

func (r *Run) invariant(ctx context.Context, n *plan.StepInvariant, g function.Grid) (Matrix, error) {
	once := function.NewGrid(g.Start, g.Start, g.Step)
	m, err := r.eval(ctx, n.Input, once)
	if err != nil || g.Steps == 1 {
		return m, err
	}
	more := int64(len(m.Rows)) * int64(g.Steps-1)
	for i := range m.Rows {
		more += histogramPoints(m.Rows[i].H) * int64(g.Steps-1)
	}
	if err := r.q.Budget.takePoints(more, "a part that is the same at every step"); err != nil {
		return Matrix{}, err
	}
	m.held += more
	m.Grid = g
	for i := range m.Rows {
		row := &m.Rows[i]
		v := make([]float64, g.Steps)
		for j := range v {
			v[j] = row.V[0]
		}
		if h := row.histogram(0); h != nil {
			row.H = slices.Repeat(row.H[:1], g.Steps)
		}
		row.V, row.Present, row.First = v, nil, 0
	}
	return m, nil
}
