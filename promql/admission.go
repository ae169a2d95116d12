package promql

import (
	"context"
	"sync"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/admission"
	"github.com/nilometer/nilometer/promql/plan"
)

// gate lets queries begin in the order of an admission.Queue.
type gate struct {
	queueMax int64
	m        *metrics

	mu      sync.Mutex // guards all below
	queue   *admission.Queue
	answers map[*admission.Ticket]chan error // of those that wait; buffered
}

func newGate(o Options, m *metrics) *gate {
	return &gate{
		queueMax: int64(o.QueueMax), m: m, answers: map[*admission.Ticket]chan error{},
		queue: admission.New(admission.Limits{
			RunningMax: o.ConcurrentMax, TenantMax: o.TenantConcurrentMax, WaitingMax: o.QueueMax, EssentialMax: o.RulesConcurrentMax,
		}),
	}
}

// enter waits for a place until ctx ends. The caller calls leave if, and only
// if, it returns nil.
func (g *gate) enter(ctx context.Context, id tenant.ID, essential bool) (*admission.Ticket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := &admission.Ticket{Tenant: id, Essential: essential}
	answer := g.arrive(t)
	select {
	case err := <-answer:
		return t, err
	case <-ctx.Done():
	}
	g.mu.Lock()
	waited := g.queue.Cancel(t)
	delete(g.answers, t)
	g.countLocked()
	g.mu.Unlock()
	if !waited { // answered at the same moment
		if err := <-answer; err != nil {
			return nil, err
		}
		g.leave(t)
	}
	return nil, ctx.Err()
}

// arrive adds a ticket and returns where its answer comes.
func (g *gate) arrive(t *admission.Ticket) <-chan error {
	answer := make(chan error, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.countLocked()
	outcome, refused := g.queue.Arrive(t)
	if refused != nil {
		g.answerLocked(refused, g.fullError())
	}
	switch outcome {
	case admission.Admitted:
		answer <- nil
	case admission.Refused:
		answer <- g.fullError()
	case admission.Waiting:
		g.answers[t] = answer
	}
	return answer
}

func (g *gate) answerLocked(t *admission.Ticket, err error) {
	g.answers[t] <- err
	delete(g.answers, t)
}

func (g *gate) fullError() error {
	return &plan.LimitError{
		Limit: "queries waiting", Max: g.queueMax, Seen: g.queueMax + 1, Where: "the query queue", Transient: true,
		Remedy: "retry later, or raise nilometer.query.concurrency_max or nilometer.query.queue_max",
	}
}

func (g *gate) leave(t *admission.Ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if next := g.queue.Leave(t); next != nil {
		g.answerLocked(next, nil)
	}
	g.countLocked()
}

func (g *gate) countLocked() {
	ordinary, essential := g.queue.Running()
	g.m.running.Set(float64(ordinary))
	g.m.rulesRunning.Set(float64(essential))
	ordinary, essential = g.queue.Waiting()
	g.m.waiting.Set(float64(ordinary))
	g.m.rulesWaiting.Set(float64(essential))
}
