package promql

import (
	"context"
	"fmt"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// Cost is what a query is expected to take, from the index alone.
type Cost struct {
	// Series, Samples and Bytes (of encoded chunks) are what its selections read.
	Series  int64 `json:"series"`
	Samples int64 `json:"samples"`
	Bytes   int64 `json:"bytes"`
	// Points is what the rows of its operators hold at one time, at least about
	// half of it.
	Points int64 `json:"points"`

	nodes map[plan.Node]plan.Estimate
}

// cost estimates a query over a view. It reads no sample.
func (e *Engine) cost(ctx context.Context, view storage.View, q *prepared) (Cost, error) {
	c := Cost{nodes: map[plan.Node]plan.Estimate{}}
	p := plan.Params{Start: q.start, End: q.end, Step: q.step}
	for _, s := range plan.Selections(q.node, p) {
		est, err := view.Estimate(ctx, storage.Selection{Matchers: s.Matchers, MinTime: s.MinTime, MaxTime: s.MaxTime, Partial: q.Partial})
		if err != nil {
			return c, fmt.Errorf("estimate the cost: %w", err)
		}
		c.Series += est.Series
		c.Samples += est.Samples
		c.Bytes += est.Bytes
		c.Points += s.Points(est.Series, est.Samples)
		c.nodes[s.Node] = plan.Estimate{Series: est.Series, Samples: est.Samples, Bytes: est.Bytes}
	}
	return c, nil
}

// doubt is by how much an estimate may be too large: a query is refused when
// even that part of it is over a limit.
const doubt = 2

// check refuses a query that is expected to go over a limit, before it has read
// anything.
func (c *Cost) check(o *Options) error {
	if n := c.Samples / doubt; n > o.ReadSamplesMax {
		return &LimitError{
			Limit: "samples to read", Max: o.ReadSamplesMax, Seen: c.Samples, Where: "the query, by an estimate", Estimate: true,
			Remedy: "ask for less (series, range), or raise nilometer.query.read_samples_max",
		}
	}
	if n := c.Points / doubt; n > o.SamplesMax {
		return &LimitError{
			Limit: "samples in memory", Max: o.SamplesMax, Seen: c.Points, Where: "the query, by an estimate", Estimate: true,
			Remedy: "ask for less (series, range, resolution), aggregate, or raise nilometer.query.samples_max",
		}
	}
	return nil
}

// A query is worth an estimate, which looks its series up once more, when it
// spans a long time or has many steps.
const (
	estimateSpanMs = 3600_000
	estimateSteps  = 256
)

// estimate is the cost of what of a query is to be evaluated, where that is worth
// it.
func (e *Engine) estimate(ctx context.Context, view storage.View, q *prepared, pieces []piece) (Cost, error) {
	var total Cost
	for _, p := range pieces {
		part := *q
		part.node, part.start, part.end = p.node, p.grid.Start, p.grid.End
		if p.kept || !q.Trace && !part.worthEstimating(storage.IsEssential(ctx)) {
			continue
		}
		// It may match expensive regular expressions: with a core, as all work is.
		err := e.cores.Do(ctx, func() error {
			c, err := e.cost(ctx, view, &part)
			total.add(c)
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// add adds the cost of another part: what one has in memory the next one has
// again.
func (c *Cost) add(o Cost) {
	c.Series = max(c.Series, o.Series)
	c.Samples += o.Samples
	c.Bytes += o.Bytes
	c.Points = max(c.Points, o.Points)
	c.nodes = o.nodes
}

// worthEstimating tells whether a query's cost is estimated before it begins.
// Rules are few, small and not to wait.
func (q *prepared) worthEstimating(essential bool) bool {
	if essential {
		return false
	}
	for _, s := range plan.Selections(q.node, plan.Params{Start: q.start, End: q.end, Step: q.step}) {
		if s.MaxTime-s.MinTime > estimateSpanMs || s.Steps > estimateSteps {
			return true
		}
	}
	return false
}

// Explanation is what a query would do.
type Explanation struct {
	// Plan is the plan with what its selections are expected to read; Text is
	// the same, one operator a line.
	Plan *plan.Tree `json:"plan"`
	Text string     `json:"text"`
	// Estimate is the cost of all, Refusal why the query would not be begun.
	Estimate Cost   `json:"estimate"`
	Refusal  string `json:"refusal,omitempty"`
}

// Plan tells what a query would do over what tenant id has in r. It reads no
// sample. A query without a Step is an instant one.
func (e *Engine) Plan(ctx context.Context, r storage.Reader, id tenant.ID, q Query) (*Explanation, error) {
	at := q.Time.UnixMilli()
	ev := evaluation{start: at, end: at, step: 1, instant: true}
	if q.Step > 0 {
		ev = evaluation{start: q.Start.UnixMilli(), end: q.End.UnixMilli(), step: q.Step.Milliseconds()}
	}
	ctx, cancel := context.WithTimeout(ctx, e.options.Timeout)
	defer cancel()
	p, err := e.prepare(ctx, q, ev)
	if err != nil {
		return nil, typed(ctx, err)
	}
	view, err := r.View(ctx, id)
	if err != nil {
		return nil, typed(ctx, fmt.Errorf("open a view of tenant %s: %w", id, err))
	}
	defer view.Close()
	c, err := e.cost(ctx, view, &p)
	if err != nil {
		return nil, typed(ctx, err)
	}
	if e.options.SplitInterval > 0 {
		e.shorter(&p, []piece{{grid: p.grid}}, &c)
	}
	out := &Explanation{Plan: plan.TreeOf(p.node, c.nodes, nil), Estimate: c}
	if err := c.check(&e.options); err != nil {
		out.Refusal = err.Error()
	}
	out.Text = out.Plan.Text()
	return out, nil
}
