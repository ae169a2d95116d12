// Package limits decides which new series come in. It implements
// storage.Admitter: the engine asks it about label sets that a tenant does not
// have yet, and about no others, so that a limit sheds new series and never
// touches known ones.
//
// It owns the limits' values and the counting of refusals. It keeps no labels.
//
// Invariants:
//
//   - I1: a known series is never refused here, whatever the limits are set to.
//   - I2: limits are soft: after a look at the number of active series at most
//     as many are admitted as were free then, until the next look.
//   - I3: Admit does no I/O and waits for nobody but another Admit.
package limits

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Defaults of Options: far over what sane exporters have, far under what hurts.
const (
	LabelsMaxDefault    = 128
	NameSizeMaxDefault  = 1 << 10 // bytes
	ValueSizeMaxDefault = 32 << 10
)

// Options are the limits of every tenant. They can be changed while the server
// runs (Apply).
type Options struct {
	// SeriesMax is the number of active series over which a tenant gets no new
	// ones; 0: no limit.
	SeriesMax uint64
	// LabelsMax bounds the labels of a series, its name included. 0 means 128.
	LabelsMax int
	// NameSizeMax and ValueSizeMax bound a label's name and value, in bytes. 0
	// means 1 KiB and 32 KiB.
	NameSizeMax, ValueSizeMax int
}

// Validate reports every problem of o at once.
func (o Options) Validate() error {
	var errs []error
	for name, v := range map[string]int{"labels": o.LabelsMax, "label name size": o.NameSizeMax, "label value size": o.ValueSizeMax} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("the limit of %s is %d; 0 means the default", name, v))
		}
	}
	return errors.Join(errs...)
}

func (o Options) withDefaults() Options {
	o.LabelsMax = cmp.Or(o.LabelsMax, LabelsMaxDefault)
	o.NameSizeMax = cmp.Or(o.NameSizeMax, NameSizeMaxDefault)
	o.ValueSizeMax = cmp.Or(o.ValueSizeMax, ValueSizeMaxDefault)
	return o
}

// lookEvery is how often the number of active series is asked for at most.
const lookEvery = time.Second

// Limits admits new series. Its methods are safe for concurrent use.
type Limits struct {
	refused *prometheus.CounterVec // by reason

	mu      sync.Mutex // guards what follows
	options Options
	active  func(tenant.ID) uint64 // nil until Follow
	tenants map[tenant.ID]*usage
}

// usage is one tenant's number of series, as far as is known.
type usage struct {
	looked   time.Time
	active   uint64 // at that time
	admitted uint64 // since
}

var _ storage.Admitter = (*Limits)(nil)

// New returns Limits. reg may be nil.
func New(o Options, reg prometheus.Registerer) (*Limits, error) {
	l := &Limits{
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "nilometer", Subsystem: "limits", Name: "series_refused_total",
			Help: "New series that were not admitted, by reason.",
		}, []string{"reason"}),
		tenants: map[tenant.ID]*usage{},
	}
	if err := l.Apply(o); err != nil {
		return nil, err
	}
	for _, r := range []storage.Reason{storage.ReasonSeriesLimit, storage.ReasonInvalidLabels} {
		l.refused.WithLabelValues(r.String())
	}
	if reg != nil {
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "nilometer", Subsystem: "limits", Name: "series_max",
			Help: "Active series over which a tenant gets no new ones; 0: no limit.",
		}, func() float64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			return float64(l.options.SeriesMax)
		})
		for _, c := range []prometheus.Collector{l.refused, gauge} {
			if err := reg.Register(c); err != nil {
				return nil, fmt.Errorf("register limits' metrics: %w", err)
			}
		}
	}
	return l, nil
}

// Apply takes over new limits; known series stay whatever they say.
func (l *Limits) Apply(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.options = o.withDefaults()
	return nil
}

// Follow says where the number of a tenant's active series is known. active is
// called at most once a second and tenant, and must be quick. Before it, only
// what was admitted is counted.
func (l *Limits) Follow(active func(tenant.ID) uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active = active
	clear(l.tenants)
}

// Admit says whether a series that id does not have yet may come in.
func (l *Limits) Admit(id tenant.ID, _ series.Key, lset labels.Labels) storage.Reason {
	l.mu.Lock()
	reason := shape(l.options, lset)
	if reason == storage.ReasonNone {
		reason = l.countLocked(id, time.Now())
	}
	l.mu.Unlock()
	if reason != storage.ReasonNone {
		l.refused.WithLabelValues(reason.String()).Inc()
	}
	return reason
}

// shape checks a label set by itself.
func shape(o Options, lset labels.Labels) storage.Reason {
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

// countLocked takes one of the tenant's free places.
func (l *Limits) countLocked(id tenant.ID, now time.Time) storage.Reason {
	if l.options.SeriesMax == 0 {
		return storage.ReasonNone
	}
	u := l.tenants[id]
	if u == nil {
		u = &usage{}
		l.tenants[id] = u
	}
	if l.active != nil && now.Sub(u.looked) >= lookEvery {
		*u = usage{looked: now, active: l.active(id)}
	}
	if u.active+u.admitted >= l.options.SeriesMax {
		return storage.ReasonSeriesLimit
	}
	u.admitted++
	return storage.ReasonNone
}
