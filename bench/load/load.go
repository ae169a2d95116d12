package load

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Load is a set of simulated targets. Its methods are safe for concurrent use.
type Load struct {
	opts    Options
	layouts []*layout
	targets []Target
}

// Target is one simulated process to scrape.
type Target struct {
	// Index is the target's number, from 0.
	Index int
	// Labels are those that service discovery gives to all series of the target,
	// job and instance among them, sorted by name.
	Labels []labels.Label

	layout *layout
	key    uint64
	factor float64
	// phase shifts the target's restarts, in ticks.
	phase int64
}

// Sample is the state of one series of a target at a tick.
type Sample struct {
	// Labels are the series' own (those of the exposition), sorted by name.
	// They are valid until the next sample.
	Labels []labels.Label
	Value  float64
}

// New draws a load. It costs a few hundred bytes a series of each job.
func New(opts Options) (*Load, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("make load: %w", err)
	}
	l := &Load{opts: opts.withDefaults()}
	for job := range l.opts.Jobs {
		l.layouts = append(l.layouts, newLayout(l.opts, jobName(job), mix(l.opts.Seed, uint64(job))))
	}
	zones := [...]string{"eu-1a", "eu-1b", "us-2c"}
	restart := int64(l.opts.Restart / l.opts.Tick)
	for i := range l.opts.Targets {
		key := mix(l.opts.Seed^0x7461726765747321, uint64(i))
		layout := l.layouts[i%len(l.layouts)]
		l.targets = append(l.targets, Target{
			Index: i,
			Labels: []labels.Label{
				{Name: "cluster", Value: "bench"},
				{Name: "instance", Value: fmt.Sprintf("10.%d.%d.%d:9100", i>>14&0xff, i>>7&0x7f, i&0x7f)},
				{Name: "job", Value: layout.job},
				{Name: "zone", Value: zones[mix(key, 1)%uint64(len(zones))]},
			},
			layout: layout,
			key:    key,
			factor: logBetween(key, 2, 0.5, 2),
			phase:  int64(mix(key, 3) % uint64(restart)),
		})
	}
	return l, nil
}

func jobName(i int) string {
	names := [...]string{"api", "web", "worker", "store", "gateway", "billing", "search", "mail"}
	if i < len(names) {
		return names[i]
	}
	return names[i%len(names)] + strconv.Itoa(i/len(names))
}

// Options returns the options with their defaults filled in.
func (l *Load) Options() Options { return l.opts }

// Targets returns all targets; the slice is shared and read-only.
func (l *Load) Targets() []Target { return l.targets }

// Tick returns the tick that holds at t: ticks are counted from the Unix epoch.
func (l *Load) Tick(t time.Time) int64 { return t.UnixNano() / int64(l.opts.Tick) }

// AppendBody appends the text exposition of a target at a tick ≥ 0.
func (l *Load) AppendBody(dst []byte, target int, tick int64) []byte {
	t := &l.targets[target]
	var values [histogramSeries]float64
	series := t.layout.series
	for i := range t.layout.items {
		it := &t.layout.items[i]
		n := it.seriesCount()
		own := series[:n]
		series = series[n:]
		if own[0].folded {
			continue
		}
		generation := l.state(t, it, tick, &values)
		for j := range own {
			dst = append(dst, own[j].lead...)
			if it.lifetime > 0 {
				dst = appendGeneration(dst, generation)
				dst = append(dst, own[j].rest...)
			}
			dst = appendValue(dst, values[j])
		}
	}
	return append(dst, t.layout.tail...)
}

// Samples calls yield for each series of a target at a tick ≥ 0, in the order
// of the body, until it returns false: what a system that scraped the target
// at that tick holds, but for the labels of the target itself.
func (l *Load) Samples(target int, tick int64, yield func(Sample) bool) {
	t := &l.targets[target]
	var values [histogramSeries]float64
	var scratch []labels.Label
	series := t.layout.series
	for i := range t.layout.items {
		it := &t.layout.items[i]
		n := it.seriesCount()
		own := series[:n]
		series = series[n:]
		generation := l.state(t, it, tick, &values)
		for j := range own {
			scratch = append(scratch[:0], own[j].labels...)
			for k := range scratch {
				if scratch[k].Name == churnLabel {
					scratch[k].Value += string(appendGeneration(nil, generation))
				}
			}
			if !yield(Sample{Labels: scratch, Value: values[j]}) {
				return
			}
		}
	}
}

// state computes an item's values at a target and tick.
func (l *Load) state(t *Target, it *item, tick int64, values *[histogramSeries]float64) (generation int64) {
	restart := int64(l.opts.Restart / l.opts.Tick)
	run := (tick + t.phase) / restart
	since := run*restart - t.phase
	generation, began := it.generation(tick)
	since = max(since, began)
	key := mix(mix(t.key, it.key), uint64(since))
	if it.kind >= kindBytes {
		// Gauges know nothing of runs: their noise goes on.
		key, since = mix(t.key, it.key), 0
	}
	it.values(values, key, tick-max(since, math.MinInt64/2), t.factor)
	return generation
}

// appendGeneration spells a generation; 0 is what items without churn have.
func appendGeneration(dst []byte, generation int64) []byte {
	if generation == 0 {
		return append(dst, '0')
	}
	return strconv.AppendUint(dst, mix(uint64(generation), 12)>>40, 36)
}
