package limits

import (
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// The bounds of what the controller remembers.
const (
	sketchesMax = 4096    // 1 KiB each
	metricCells = 1 << 15 // 2 rows of 4 bytes: 256 KiB
	targetCells = 1 << 17 // 1 MiB
	// refillEvery is how often a sketch is made anew from the index, lest values
	// that ended count for ever.
	refillEvery = time.Hour
	// halveEvery is how often counts of new series are halved.
	halveEvery = 2 * time.Hour
	// evictEvery bounds how often a sketch makes room for another.
	evictEvery = time.Second
)

// watched is a label of a scope: of a metric, or of a metric of one target.
type watched struct {
	scope
	label string
}

// values is what is known about the values of a watched label.
type values struct {
	sketch *sketch
	refill time.Time
	// Of those that were too many, since the label was first seen over its limit:
	since   time.Time
	series  uint64
	max     uint64
	policy  Policy
	example string
	job     string    // of the series with the example
	told    time.Time // when an event last said so
}

// controller watches how many values labels have. What is not counted by
// counters is guarded by the mutex of its Limits.
type controller struct {
	metrics, targets counter      // new series, by hash of the scope
	halved           atomic.Int64 // when they were, ns since the Unix epoch
	values           map[watched]*values
	evicted          time.Time
}

func newController() *controller {
	return &controller{metrics: newCounter(metricCells), targets: newCounter(targetCells), values: map[watched]*values{}}
}

// key is the hash of a scope.
func (x scope) key() uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, s := range [...]string{string(x.tenant), x.metric, x.job, x.instance} {
		_, _ = d.WriteString(s) // a Digest never fails
		_, _ = d.Write([]byte{0xff})
	}
	return d.Sum64()
}

// isWatched tells whether values of a label are counted: job and instance are
// what a target is, and not what it says.
func isWatched(name string) bool {
	switch name {
	case model.MetricNameLabel, model.JobLabel, model.InstanceLabel:
		return false
	}
	return true
}

// watches counts a new series, and tells whether the labels of its metric, and
// those of its metric and target, may have so many values that they are looked at.
// Nearly every series stops here, without a lock.
func (l *Limits) watches(p place, s *Scoped, now time.Time) (metric, target bool) {
	if p.metric == "" {
		return false, false
	}
	c := l.controller
	if was := c.halved.Load(); now.UnixNano()-was >= int64(halveEvery) && c.halved.CompareAndSwap(was, now.UnixNano()) {
		c.metrics.halve()
		c.targets.halve()
	}
	metric = l.isMany(&c.metrics, scope{tenant: p.tenant, metric: p.metric}, s.ValuesMax)
	target = p.instance != "" && l.isMany(&c.targets, scope(p), s.TargetValuesMax)
	return metric, target
}

// isMany counts a new series of a scope, and tells whether there are half as many
// as may have values of their own.
func (l *Limits) isMany(counts *counter, x scope, most uint64) bool {
	key := x.key()
	n := counts.add(key, 1)
	if n == 1 { // what was there before this process counts, too
		l.mu.Lock()
		if l.index != nil {
			n = counts.add(key, uint32(l.index.CountSeries(x.tenant, int(min(most, 1<<31)), x.labels()...)))
		}
		l.mu.Unlock()
	}
	return uint64(n)*2 >= most
}

// tooManyLocked appends the labels of a new series whose value is one too many, in
// the scopes that are watched.
func (l *Limits) tooManyLocked(dst []string, p place, lset labels.Labels, pending iter.Seq[labels.Labels], metric, target bool, s *Scoped, now time.Time) []string {
	var buf [16]sighting
	seen := buf[:0]
	if target {
		dst, seen = l.tooManyOfLocked(dst, seen, scope(p), s.TargetValuesMax, lset, pending, s, now)
	}
	if metric {
		dst, seen = l.tooManyOfLocked(dst, seen, scope{tenant: p.tenant, metric: p.metric}, s.ValuesMax, lset, pending, s, now)
	}
	for _, x := range seen {
		if s.Policy == Report || !slices.Contains(dst, x.name) {
			x.values.sketch.add(x.hash)
		}
	}
	return dst
}

// sighting is a value of a watched label that counts there if it comes in.
type sighting struct {
	name   string
	hash   uint64
	values *values
}

// tooManyOfLocked is tooManyLocked within one scope. It looks at no labels of
// dst, whose values do not come in for a narrower scope's limit: a target over
// its own limit must not use up the metric's.
func (l *Limits) tooManyOfLocked(dst []string, seen []sighting, x scope, most uint64, lset labels.Labels, pending iter.Seq[labels.Labels], s *Scoped, now time.Time) ([]string, []sighting) {
	narrower := dst
	if s.Policy == Report {
		narrower = nil // they do come in
	}
	lset.Range(func(label labels.Label) {
		if !isWatched(label.Name) || slices.Contains(narrower, label.Name) {
			return
		}
		v := l.valuesLocked(watched{x, label.Name}, pending, now)
		if v == nil {
			return
		}
		seen = append(seen, sighting{label.Name, xxhash.Sum64String(label.Value), v})
		if v.sketch.estimate() >= most && !l.knownLocked(x, label) {
			dst = append(dst, label.Name)
			v.note(l.logger, watched{x, label.Name}, lset.Get(model.JobLabel), label.Value, most, s.Policy, now)
		}
	})
	return dst, seen
}

// knownLocked tells whether a series of the scope has the value.
func (l *Limits) knownLocked(x scope, label labels.Label) bool {
	return l.index != nil && l.index.CountSeries(x.tenant, 1, append(x.labels(), label)...) > 0
}

// valuesLocked returns what is known about a label, made and filled from the
// index when it is time to; nil when there is no room for it now.
func (l *Limits) valuesLocked(w watched, pending iter.Seq[labels.Labels], now time.Time) *values {
	c := l.controller
	v := c.values[w]
	if v == nil {
		if len(c.values) >= sketchesMax && !c.makeRoom(now) {
			return nil
		}
		v = &values{}
		c.values[w.clone()] = v
	}
	if !now.Before(v.refill) {
		v.sketch, v.refill = newSketch(), now.Add(refillEvery)
		if l.index != nil {
			l.index.LabelValues(w.tenant, w.label, func(value string) { v.sketch.add(xxhash.Sum64String(value)) }, w.labels()...)
		}
		v.sketch.addPending(w, pending)
	}
	return v
}

// apartMax is how many label sets of others end the look at pending ones: those
// of a metric come together.
const apartMax = 1024

// addPending takes the values that were let in and are in no index yet: those of
// the scrape that brings the new series.
func (s *sketch) addPending(w watched, pending iter.Seq[labels.Labels]) {
	if pending == nil {
		return
	}
	apart := 0
	for lset := range pending {
		if !w.scope.has(lset) {
			if apart++; apart == apartMax {
				return
			}
			continue
		}
		apart = 0
		if value := lset.Get(w.label); value != "" {
			s.add(xxhash.Sum64String(value))
		}
	}
}

// has tells whether a series is of the scope.
func (x scope) has(lset labels.Labels) bool {
	is := func(name, want string) bool { return want == "" || lset.Get(name) == want }
	return is(model.MetricNameLabel, x.metric) && is(model.InstanceLabel, x.instance) && is(model.JobLabel, x.job)
}

// makeRoom gives up the label with the fewest values.
func (c *controller) makeRoom(now time.Time) bool {
	if now.Sub(c.evicted) < evictEvery {
		return false
	}
	c.evicted = now
	var least watched
	fewest := ^uint64(0)
	for w, v := range c.values {
		if n := v.sketch.estimate(); n < fewest {
			least, fewest = w, n
		}
	}
	delete(c.values, least)
	return true
}

// clone returns w with strings of its own: those of a label set are the
// caller's.
func (w watched) clone() watched {
	return watched{w.scope.clone(), strings.Clone(w.label)}
}

func (x scope) clone() scope {
	return scope{tenant.ID(strings.Clone(string(x.tenant))), strings.Clone(x.metric), strings.Clone(x.job), strings.Clone(x.instance)}
}

// exampleMax bounds the part of a value that is kept, in bytes.
const exampleMax = 200

// note counts a series with a value too many.
func (v *values) note(logger *slog.Logger, w watched, job, value string, most uint64, p Policy, now time.Time) {
	v.series++
	v.tell(logger, w, job, value, most, p, now)
}

// tell remembers that the label is over its limit, and says so once in a while.
func (v *values) tell(logger *slog.Logger, w watched, job, value string, most uint64, p Policy, now time.Time) {
	if v.since.IsZero() {
		v.since = now
	}
	v.max, v.policy = most, p
	if now.Sub(v.told) < refillEvery {
		return
	}
	v.told, v.example, v.job = now, strings.ToValidUTF8(value[:min(len(value), exampleMax)], ""), strings.Clone(job)
	logger.Warn("a label has more values than its limit", "tenant", string(w.tenant), "metric", w.metric, "label", w.label,
		"job", v.job, "instance", w.instance, "values", v.sketch.estimate(), "limit", most, "policy", string(p), "example", v.example)
}

// Excess is a label that has more values than it may have.
type Excess struct {
	Tenant tenant.ID
	Metric string
	// Job is that of the series that Example is of. Instance is set where it is the
	// limit of one target.
	Job, Instance string
	Label         string
	// Values is about how many there are, Max how many there may be.
	Values, Max uint64
	// Series counts new series with a value too many since Since; what became of
	// them is Policy's.
	Series  uint64
	Policy  Policy
	Since   time.Time
	Example string // such a value, or its beginning
}

func (w watched) excess(v *values) Excess {
	return Excess{
		Tenant: w.tenant, Metric: w.metric, Job: v.job, Instance: w.instance, Label: w.label, Values: v.sketch.estimate(), Max: v.max,
		Series: v.series, Policy: v.policy, Since: v.since, Example: v.example,
	}
}

// Excesses returns the labels of a tenant that have as many values as they may,
// and were asked to have more or had more when they were surveyed, in no order.
func (l *Limits) Excesses(id tenant.ID) []Excess {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []Excess
	for w, v := range maps.All(l.controller.values) {
		if w.tenant == id && !v.since.IsZero() {
			out = append(out, w.excess(v))
		}
	}
	return out
}

var _ storage.Shaper = (*Limits)(nil)

// Sketches is the number of labels whose values are estimated: at most 4,096.
func (l *Limits) Sketches() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.controller.values)
}
