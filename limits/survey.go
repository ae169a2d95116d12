package limits

import (
	"context"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
)

// surveyMax bounds how long one Survey takes.
const surveyMax = 10 * time.Second

// Suspects are what may have labels with too many values: metrics and targets
// with many series, names of labels with many values.
type Suspects struct {
	Metrics, Labels []string
	Targets         []Target
}

// Target is a job's instance.
type Target struct{ Job, Instance string }

// Survey looks at the series that id has for labels that have as many values as
// they may, or more, so that they are known before a new series comes: after a
// start. What it finds is told as by Shape, with no new series. It takes 10 s
// at most, waits between two looks as long as the last took, and returns what
// ended it before all was looked at.
func (l *Limits) Survey(ctx context.Context, id tenant.ID, s Suspects) error {
	ctx, cancel := context.WithTimeout(ctx, surveyMax)
	defer cancel()
	for _, metric := range s.Metrics {
		scope := scope{tenant: id, metric: metric}
		limits := l.options.Load().scoped(place(scope))
		for _, label := range s.Labels {
			if !isWatched(label) {
				continue
			}
			n, err := l.surveyed(ctx, watched{scope, label}, limits.ValuesMax, limits.TargetValuesMax)
			if err != nil {
				return err
			}
			for _, t := range s.Targets {
				if n < limits.TargetValuesMax {
					break // no target has more of them than all have
				}
				of := scope
				of.job, of.instance = t.Job, t.Instance
				own := l.options.Load().scoped(place(of)).TargetValuesMax
				if _, err := l.surveyed(ctx, watched{of, label}, own, own); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// surveyed returns about how many values a label has, and remembers it when they
// are most or more. It looks at none where there are fewer series than least.
func (l *Limits) surveyed(ctx context.Context, w watched, most, least uint64) (uint64, error) {
	begin := time.Now()
	n := l.lookAt(w, most, min(most, least))
	select {
	case <-ctx.Done():
		return n, context.Cause(ctx)
	case <-time.After(time.Since(begin)):
		return n, nil
	}
}

func (l *Limits) lookAt(w watched, most, least uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.index == nil || uint64(l.index.CountSeries(w.tenant, int(min(least, 1<<31)), w.labels()...)) < least {
		return 0
	}
	now, example := time.Now(), ""
	fresh := &values{sketch: newSketch(), refill: now.Add(refillEvery)}
	l.index.LabelValues(w.tenant, w.label, func(value string) {
		fresh.sketch.add(xxhash.Sum64String(value))
		example = value
	}, w.labels()...)
	n := fresh.sketch.estimate()
	if n < most || len(l.controller.values) >= sketchesMax && l.controller.values[w] == nil {
		return n
	}
	v := l.controller.values[w]
	if v == nil {
		v = fresh
		l.controller.values[w.clone()] = v
	}
	if !v.since.IsZero() {
		return n // Shape was here
	}
	v.tell(l.logger, w, l.jobOfLocked(w, example), example, most, l.options.Load().scoped(place(w.scope)).Policy, now)
	return n
}

// jobOfLocked is the job of a series that has the value.
func (l *Limits) jobOfLocked(w watched, value string) (job string) {
	l.index.LabelValues(w.tenant, model.JobLabel, func(of string) { job = strings.Clone(of) },
		append(w.labels(), labels.Label{Name: w.label, Value: value})...)
	return job
}
