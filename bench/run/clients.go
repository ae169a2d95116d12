package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nilometer/nilometer/bench/report"
)

// clients is the number of dashboards that are looked at together, visits how
// often each client asks every query.
const (
	clients = 8
	visits  = 3
)

// clientsAtOnce lets several clients ask the whole set, each in an order of its
// own, of each system but Prometheus, which takes minutes for it: once evaluated
// every time, and once as dashboards ask, with whatever is kept.
func (r *runner) clientsAtOnce(ctx context.Context, ps []*process, set []dashboardQuery, end time.Time) error {
	for _, mode := range []struct {
		title string
		kept  bool
	}{
		{"dashboards, 8 clients at once, every query evaluated (VictoriaMetrics and Nilometer)", false},
		{"dashboards, 8 clients at once, with what is kept", true},
	} {
		t := r.table(mode.title)
		worst, all := map[string]float64{}, map[string]float64{}
		for _, p := range ps {
			if p.system.name == prometheus {
				continue
			}
			extra := p.system.queryExtra
			if mode.kept {
				extra = "" // VictoriaMetrics leaves out its last 30 s then
			}
			times, err := p.storm(ctx, set, end, extra, visits)
			if err != nil {
				return err
			}
			var every []float64
			for _, of := range times {
				worst[p.system.name] = max(worst[p.system.name], report.Quantile(0.99, of))
				every = append(every, of...)
			}
			all[p.system.name] = report.Quantile(0.99, every)
		}
		t.Add("p99 of all answers", "ms", all)
		t.Add("p99 of the slowest query", "ms", worst)
	}
	return nil
}

// storm asks by several clients, and returns the times of each query, ms.
func (p *process) storm(ctx context.Context, set []dashboardQuery, end time.Time, extra string, visits int) ([][]float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	times := make([][]float64, len(set))
	var mu sync.Mutex // guards times
	var wait sync.WaitGroup
	for client := range clients {
		wait.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(client), 1))
			order := rnd.Perm(len(set))
			for range visits {
				for _, i := range order {
					w := window{from: end.Add(-set[i].span), to: end, step: set[i].step}
					began := time.Now()
					if err := p.take(ctx, set[i].query().path(w, extra)); err != nil {
						cancel(err)
						return
					}
					took := time.Since(began).Seconds() * 1000
					mu.Lock()
					times[i] = append(times[i], took)
					mu.Unlock()
				}
				slices.Reverse(order)
			}
		})
	}
	wait.Wait()
	return times, context.Cause(ctx)
}
