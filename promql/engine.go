package promql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/exec"
	"github.com/nilometer/nilometer/promql/frontend"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// Engine answers queries. It is safe for concurrent use and needs no closing.
type Engine struct {
	options Options
	parser  parser.Parser
	gate    *gate
	pool    *exec.Pool
	cores   *exec.Cores
	active  *registry
	cache   *frontend.Cache // nil: answers are not kept
	flights frontend.Flights
	metrics *metrics
	logger  *slog.Logger
	// subqueryStep is Options.SubqueryStep, which may change, in ms.
	subqueryStep atomic.Int64
	finished     atomic.Pointer[func(Finished)] // SetLog's; nil: there is none
}

// NewEngine checks the options and returns an engine with its metrics
// registered.
func NewEngine(o Options, d Deps) (*Engine, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("query engine options: %w", err)
	}
	o = o.withDefaults()
	pool := exec.NewPool(o.MemoryMaxBytes, o.RulesMemoryBytes)
	var cache *frontend.Cache
	if o.CacheMaxBytes >= cacheLeastBytes {
		cache = frontend.NewCache(o.CacheMaxBytes)
	}
	m, err := newMetrics(d.Registerer, o, pool, cache)
	if err != nil {
		return nil, fmt.Errorf("register query engine metrics: %w", err)
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{options: o, parser: NewParser(), gate: newGate(o, m), pool: pool, cores: exec.NewCores(o.Cores), active: newRegistry(), cache: cache, metrics: m, logger: d.Logger}
	e.SetSubqueryStep(o.SubqueryStep)
	return e, nil
}

// cacheLeastBytes is the smallest cache that is worth its bookkeeping.
const cacheLeastBytes = 64 << 10

// SetSubqueryStep changes Options.SubqueryStep for queries that begin later. It
// is at least 1 ms.
func (e *Engine) SetSubqueryStep(d time.Duration) { e.subqueryStep.Store(max(d.Milliseconds(), 1)) }

// NewParser returns upstream's parser with all of the language on, the
// experimental parts included: the one dialect of the whole server.
func NewParser() parser.Parser {
	return parser.NewParser(parser.Options{
		EnableExperimentalFunctions:  true,
		ExperimentalDurationExpr:     true,
		EnableExtendedRangeSelectors: true,
		EnableBinopFillModifiers:     true,
	})
}

// Instant evaluates q.Expr at q.Time over what tenant id has in r. The
// error is one of the families of errors.go.
func (e *Engine) Instant(ctx context.Context, r storage.Reader, id tenant.ID, q Query) (*Result, error) {
	at := q.Time.UnixMilli()
	return e.run(ctx, r, id, q, evaluation{start: at, end: at, step: 1, instant: true})
}

// Range evaluates q.Expr at q.Start, q.Start+q.Step … up to q.End. The result
// is a matrix, whatever the type of the expression; an expression that is a
// range vector or a string is refused with a ParseError.
func (e *Engine) Range(ctx context.Context, r storage.Reader, id tenant.ID, q Query) (*Result, error) {
	ev := evaluation{start: q.Start.UnixMilli(), end: q.End.UnixMilli(), step: q.Step.Milliseconds()}
	switch {
	case ev.step < 1:
		return nil, e.refuse(&ParseError{Err: fmt.Errorf("the step of a range query is %v: it must be at least 1ms", q.Step)})
	case ev.end < ev.start:
		return nil, e.refuse(&ParseError{Err: errors.New("the end of a range query is before its start")})
	}
	return e.run(ctx, r, id, q, ev)
}

// evaluation is the grid of a query's times, in ms.
type evaluation struct {
	start, end, step int64
	instant          bool
}

// describe is what the list of active queries says of an evaluation.
func (ev evaluation) describe(expr string, id tenant.ID, essential bool, arrived time.Time) ActiveQuery {
	q := ActiveQuery{
		Tenant: id, Kind: KindRange, Expr: expr, Arrived: arrived,
		Start: time.UnixMilli(ev.start).UTC(), End: time.UnixMilli(ev.end).UTC(), Step: time.Duration(ev.step) * time.Millisecond,
	}
	if ev.instant {
		q.Kind, q.Step = KindInstant, 0
	}
	if essential {
		q.Kind = KindRule
	}
	return q
}

func (e *Engine) refuse(err error) error {
	e.metrics.queries.WithLabelValues(outcome(err)).Inc()
	return err
}

// run wraps the evaluation with admission, timeout and accounting.
func (e *Engine) run(ctx context.Context, r storage.Reader, id tenant.ID, q Query, ev evaluation) (*Result, error) {
	begin := time.Now()
	timeout := e.options.Timeout
	if q.Timeout > 0 {
		timeout = min(timeout, q.Timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p, err := e.prepare(ctx, q, ev)
	if err != nil {
		return nil, e.refuse(typed(ctx, err))
	}
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	listed := e.active.add(ev.describe(q.Expr, id, storage.IsEssential(ctx), begin), kill)
	defer e.active.remove(listed)
	res, err := e.admit(ctx, r, id, p, listed)
	err = typed(ctx, err)
	e.finish(ctx, q.Expr, listed, res, err)
	if err != nil {
		return nil, err
	}
	return res, nil
}

// checkText refuses what takes too long to be parsed.
func (e *Engine) checkText(text string) error {
	if n := len(text); n > e.options.ExprBytesMax {
		return &LimitError{
			Limit: "bytes of text", Max: int64(e.options.ExprBytesMax), Seen: int64(n), Where: "the expression",
			Remedy: "split it, for example with recording rules, or raise nilometer.query.expression_size_max",
		}
	}
	return plan.CheckNesting(text)
}

// parse parses what checkText lets through.
func (e *Engine) parse(text string) (parser.Expr, error) {
	expr, err := e.parser.ParseExpr(text)
	if err != nil {
		return nil, &ParseError{Err: err}
	}
	return expr, nil
}

// admit evaluates a query when it has got a place.
func (e *Engine) admit(ctx context.Context, r storage.Reader, id tenant.ID, q prepared, listed *entry) (res *Result, err error) {
	if e.keeps(&q) {
		leave, err := e.flights.Enter(ctx, q.key(id), q.frontendGrid())
		if err != nil {
			return nil, err
		}
		defer func() { leave(err == nil) }()
	}
	ticket, err := e.gate.enter(ctx, id, storage.IsEssential(ctx))
	if err != nil {
		return nil, err
	}
	defer e.gate.leave(ticket)
	e.active.admitted(listed, time.Now())
	return e.evaluate(ctx, r, id, q, listed)
}

// finish counts and logs a query that has ended, with res or err.
func (e *Engine) finish(ctx context.Context, expr string, listed *entry, res *Result, err error) {
	end := time.Now()
	done := Finished{Query: e.active.show(listed), Origin: originOf(ctx), Err: err, Total: end.Sub(listed.Arrived), Queued: end.Sub(listed.Arrived)}
	done.Query.Expr = expr
	if !done.Query.Admitted.IsZero() {
		done.Queued = done.Query.Admitted.Sub(done.Query.Arrived)
	}
	if err == nil {
		res.Stats.Queued, res.Stats.Total = done.Queued, done.Total
	}
	e.metrics.queued.Observe(done.Queued.Seconds())
	e.metrics.duration.Observe(done.Total.Seconds())
	e.metrics.samples.Add(float64(done.Query.SamplesRead))
	e.metrics.queries.WithLabelValues(outcome(err)).Inc()
	e.log(done)
}
