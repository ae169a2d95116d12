package promql

import (
	"context"
	"sync/atomic"

	"github.com/nilometer/nilometer/promql/plan"
)

// admission bounds the queries that run, and those that wait. Who waits is
// served in the order of arrival as far as the runtime's channels are.
type admission struct {
	running  chan struct{} // one token a running query
	waiting  atomic.Int64
	queueMax int64
	m        *metrics
}

func newAdmission(o Options, m *metrics) *admission {
	return &admission{running: make(chan struct{}, o.ConcurrentMax), queueMax: int64(o.QueueMax), m: m}
}

// enter waits for a place until ctx ends. The caller calls leave if, and only
// if, it returns nil.
func (a *admission) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case a.running <- struct{}{}:
		a.m.running.Inc()
		return nil
	default:
	}
	defer a.waiting.Add(-1)
	if n := a.waiting.Add(1); n > a.queueMax {
		return &plan.LimitError{
			Limit: "queries waiting", Max: a.queueMax, Seen: n, Where: "the query queue",
			Remedy: "retry later, or raise the limits on concurrent or waiting queries",
		}
	}
	a.m.waiting.Inc()
	defer a.m.waiting.Dec()
	select {
	case a.running <- struct{}{}:
		a.m.running.Inc()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *admission) leave() {
	a.m.running.Dec()
	<-a.running
}
