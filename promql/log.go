package promql

import (
	"context"
	"time"
)

// Origin says where a query comes from.
type Origin struct {
	// ClientIP, Method and Path are those of an HTTP request.
	ClientIP, Method, Path string
	// File and Group name a group of rules.
	File, Group string
}

type originKey struct{}

// WithOrigin returns a context whose queries are logged with o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

func originOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// Finished is a query that was answered or has failed.
type Finished struct {
	// Query is what it was at its end, with the whole text.
	Query  ActiveQuery
	Origin Origin
	// Err is why it failed, nil when it was answered.
	Err error
	// Queued is the time spent waiting for admission, Total the time from the
	// call to the answer, Queued included.
	Queued, Total time.Duration
}

// SetLog makes the engine call f at the end of every query that could be
// planned, from the goroutine of its caller. nil ends that.
func (e *Engine) SetLog(f func(Finished)) {
	if f == nil {
		e.finished.Store(nil)
		return
	}
	e.finished.Store(&f)
}

// log tells SetLog's function, and the server's log of a slow query.
func (e *Engine) log(done Finished) {
	if f := e.finished.Load(); f != nil {
		(*f)(done)
	}
	if e.options.SlowLog == 0 || done.Total < e.options.SlowLog {
		return
	}
	e.metrics.slow.Inc()
	q := done.Query
	attrs := []any{
		"query", shorten(q.Expr), "kind", string(q.Kind), "tenant", string(q.Tenant), "start", q.Start, "end", q.End, "step", q.Step.String(),
		"duration_ms", done.Total.Milliseconds(), "queued_ms", done.Queued.Milliseconds(), "series", q.SeriesSelected,
		"samples", q.SamplesRead, "memory_bytes", q.MemoryPeakBytes, "client", done.Origin.ClientIP, "group", done.Origin.Group,
	}
	if done.Err != nil {
		attrs = append(attrs, "err", done.Err)
	}
	e.logger.Warn("slow query", attrs...)
}
