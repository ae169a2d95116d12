// Package limits decides which new series come in. It implements
// storage.Admitter: the engine asks it about label sets that a tenant does not
// have yet, and about no others, so that a limit sheds new series and never
// touches known ones.
//
// It owns the limits' values, the counting of refusals, and the controller of
// cardinality, which estimates how many values labels have and gives new series
// other labels where they are too many (Shape). What it remembers is bounded:
// 4,096 sketches of 1 KiB and their names, 1.3 MiB of counters, 65,536 scopes.
//
// Invariants:
//
//   - I1: a known series is never refused here, whatever the limits are set to.
//   - I2: limits are soft: after a look at the number of a scope's series at most
//     as many are admitted as were free then, until the next look.
//   - I3: a series is refused for a value of a label, or gets another one, only
//     where no series of the metric (and of the target, for its limit) has it.
//   - I4: Admit and Shape do no I/O and wait for nobody but each other.
package limits

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Limits admits new series. Its methods are safe for concurrent use.
type Limits struct {
	refused *prometheus.CounterVec // by reason
	over    *prometheus.CounterVec // by policy
	logger  *slog.Logger

	options    atomic.Pointer[Options] // never changed, only replaced
	controller *controller

	mu     sync.Mutex // guards what follows, and parts of the controller
	index  Index      // nil until Follow
	scopes map[scope]*usage
}

var _ storage.Admitter = (*Limits)(nil)

// reasons are those that are counted.
var reasons = [...]storage.Reason{
	storage.ReasonSeriesLimit, storage.ReasonJobLimit, storage.ReasonTargetLimit, storage.ReasonMetricLimit,
	storage.ReasonCardinality, storage.ReasonInvalidLabels,
}

// Deps are what Limits tell others by; both may be nil.
type Deps struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// New returns Limits.
func New(o Options, d Deps) (*Limits, error) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Limits{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "nilometer", Subsystem: "limits", Name: "series_refused_total",
			Help: "New series that were not admitted, by reason.",
		}, []string{"reason"}),
		over: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "nilometer", Subsystem: "limits", Name: "series_over_cardinality_total",
			Help: "New series with a value of a label that is one too many, by what became of them.",
		}, []string{"policy"}),
		logger: d.Logger, scopes: map[scope]*usage{}, controller: newController(),
	}
	if err := l.Apply(o); err != nil {
		return nil, err
	}
	for _, r := range reasons {
		l.refused.WithLabelValues(r.String())
	}
	for _, p := range Policies() {
		l.over.WithLabelValues(string(p))
	}
	if d.Registerer == nil {
		return l, nil
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "nilometer", Subsystem: "limits", Name: name, Help: help}, func() float64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return value()
		})
	}
	for _, c := range []prometheus.Collector{
		l.refused, l.over, newCulprits(l),
		gauge("series_max", "Active series over which a tenant gets no new ones; 0: no limit.", func() float64 { return float64(l.options.Load().SeriesMax) }),
		gauge("sketches", "Labels whose values are estimated, 1 KiB each.", func() float64 { return float64(len(l.controller.values)) }),
		gauge("sketches_max", "Labels whose values may be estimated at one time.", func() float64 { return sketchesMax }),
	} {
		if err := d.Registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register limits' metrics: %w", err)
		}
	}
	return l, nil
}

// Apply takes over new limits; known series stay whatever they say.
func (l *Limits) Apply(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	o = o.withDefaults()
	l.options.Store(&o)
	return nil
}

// Follow says where it is known which series there are. Before it, only what
// was admitted is counted.
func (l *Limits) Follow(index Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.index = index
	clear(l.scopes)
}

// Admit says whether a series that id does not have yet may come in.
func (l *Limits) Admit(id tenant.ID, _ series.Key, lset labels.Labels) storage.Reason {
	o := l.options.Load()
	reason := shape(o, lset)
	if reason == storage.ReasonNone {
		var buf [4]limit
		if ls := o.limitsOf(buf[:0], placeOf(id, lset)); len(ls) > 0 {
			l.mu.Lock()
			reason = l.countLocked(ls, time.Now())
			l.mu.Unlock()
		}
	}
	if reason != storage.ReasonNone {
		l.refused.WithLabelValues(reason.String()).Inc()
	}
	return reason
}

// shape checks a label set by itself.
func shape(o *Options, lset labels.Labels) storage.Reason {
	n, ok := 0, true
	lset.Range(func(x labels.Label) {
		n++
		ok = ok && len(x.Name) <= o.NameSizeMax && len(x.Value) <= o.ValueSizeMax && utf8.ValidString(x.Name) && utf8.ValidString(x.Value)
	})
	if !ok || n > o.LabelsMax {
		return storage.ReasonInvalidLabels
	}
	return storage.ReasonNone
}
