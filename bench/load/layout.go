package load

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// layout is what the targets of one job have in common: families, items,
// labels and the text around the values. It is read-only once made.
type layout struct {
	job   string
	items []item
	// series are in order of exposition; an item's series are consecutive.
	series []seriesLayout
	// tail is the text after the last value that can move.
	tail []byte
}

// seriesLayout is one series as exposed, without the target's labels.
type seriesLayout struct {
	// lead is the text before the value, from the value of the series before
	// that can move. For a churning series it ends where the generation stands,
	// and rest follows it. Empty for a series that is folded into a later lead.
	lead, rest []byte
	folded     bool
	// labels are the series' own, sorted; the churn label holds podPrefix.
	labels []labels.Label
}

// churnLabel is the label whose value changes with an item's generation.
const churnLabel = "pod"

// family is one entry of the recipe that a layout cycles through: about half
// of the series are buckets, a third counters, the rest gauges, as exposed by
// services in the field.
type family struct {
	name, unit, help string
	kind             kind
	instances        int
	dimensions       []dimension
}

type dimension struct {
	name   string
	values []string
}

func recipe() []family {
	handlers := dimension{"handler", []string{"/", "/api/v1/orders", "/api/v1/users/:id", "/api/v1/search", "/login", "/static/*", "/healthz", "/metrics"}}
	methods := dimension{"method", []string{"GET", "POST", "PUT"}}
	codes := dimension{"code", []string{"200", "404", "500"}}
	devices := dimension{"device", []string{"eth0", "lo", "docker0", "wlan0"}}
	directions := dimension{"direction", []string{"receive", "transmit"}}
	cpus := dimension{"cpu", []string{"0", "1", "2", "3"}}
	modes := dimension{"mode", []string{"user", "system", "idle", "iowait"}}
	pools := dimension{"pool", []string{"main", "background", "io"}}
	regions := dimension{"region", []string{"heap", "stack", "mmap", "cache"}}
	return []family{
		{"http_request_duration", "_seconds", "Time from the first byte of the request to the last of the answer.", kindHistogram, 3, []dimension{handlers, methods}},
		{"http_requests", "_total", "Requests answered.", kindCounter, 12, []dimension{codes, handlers, methods}},
		{"memory_usage", "_bytes", "Memory in use.", kindBytes, 6, []dimension{regions, pools}},
		{"network", "_bytes_total", "Bytes on the wire.", kindCounter, 8, []dimension{devices, directions}},
		{"cpu", "_seconds_total", "Processor time spent.", kindSeconds, 8, []dimension{cpus, modes}},
		{"rpc_duration", "_seconds", "Time of a remote call.", kindHistogram, 3, []dimension{pools, methods}},
		{"pool_usage", "_percent", "Share of the pool in use.", kindPercent, 3, []dimension{pools}},
		{"build", "_info", "What is running.", kindInfo, 1, nil},
		{"queue_saturation", "_ratio", "Share of time in which the queue was full.", kindRatio, 3, []dimension{pools, directions}},
	}
}

func subsystems() []string {
	return []string{"", "auth", "cart", "cache", "db", "feed", "geo", "image", "mail", "payment", "search", "session", "stock", "user"}
}

// newLayout draws the families of one job.
func newLayout(o Options, job string, key uint64) *layout {
	b := layoutBuilder{opts: o, key: key, layout: &layout{job: job}}
	recipe, systems := recipe(), subsystems()
	for round := 0; len(b.layout.series) < o.Series; round++ {
		system := systems[round%len(systems)]
		if round >= len(systems) {
			system = fmt.Sprintf("%spart%d", system, round/len(systems))
		}
		for i, f := range recipe {
			// The first families always move: queries of benchmarks name them.
			b.family(f, system, round == 0 && i < 3)
		}
	}
	b.layout.tail = b.text
	return b.layout
}

type layoutBuilder struct {
	opts   Options
	key    uint64
	layout *layout
	// text has gathered since the last value that can move.
	text []byte
}

// family adds as many instances of a family as the target has room for.
func (b *layoutBuilder) family(f family, system string, moves bool) {
	name := f.name + f.unit
	if system != "" {
		name = system + "_" + name
	}
	for i := range f.instances {
		room := b.opts.Series - len(b.layout.series)
		if f.kind == kindHistogram && room < histogramSeries {
			return // smaller families fill the rest
		}
		if room == 0 {
			return
		}
		if i == 0 {
			b.text = fmt.Appendf(b.text, "# HELP %s %s\n# TYPE %s %s\n", name, f.help, name, f.kind.exposed())
		}
		key := mix(b.key, uint64(len(b.layout.items)))
		it := b.item(f.kind, key, moves)
		b.layout.items = append(b.layout.items, it)
		own := instanceLabels(f, i)
		own = append(own, labels.Label{Name: "namespace", Value: b.layout.job}, labels.Label{Name: "component", Value: b.layout.job + "-server"})
		own = append(own, labels.Label{Name: churnLabel, Value: podPrefix(b.layout.job, key)})
		b.series(&it, name, own)
	}
}

// item draws how an item behaves.
func (b *layoutBuilder) item(k kind, key uint64, moves bool) item {
	it := item{kind: k, key: key}
	perTick := b.opts.Tick.Seconds()
	everything := b.opts.Changing >= 1
	switch draw := unit(key, 1); {
	case k == kindInfo && !everything:
	case moves && b.opts.Changing > 0 || draw < b.opts.Changing:
		it.pace = paceActive
	case b.opts.Changing > 0 && draw < b.opts.Changing+(1-b.opts.Changing)*slowShare:
		it.pace = paceSlow
		perTick /= 1000 // every few minutes
	}
	it.hold = max(1, int64(logBetween(key, 2, 60, 1800)/b.opts.Tick.Seconds()))
	switch k {
	case kindCounter:
		it.rate = perTick * logBetween(key, 3, 2, 1e6)
		if it.pace == paceSlow {
			it.rate = perTick * logBetween(key, 3, 0.5, 20)
		}
	case kindSeconds:
		it.rate = perTick * logBetween(key, 3, 2, 100)
	case kindHistogram:
		it.rate = perTick * logBetween(key, 3, 2, 500)
		if everything {
			it.rate = perTick * logBetween(key, 3, 2000, 5000)
		}
		it.drawBuckets()
	case kindBytes:
		it.rate = logBetween(key, 3, 1e3, 1e6)
	case kindRatio:
		it.rate = 1
	}
	if k == kindInfo && everything {
		it.kind = kindRatio
		it.rate = 1
	}
	b.churn(&it)
	return it
}

const (
	// slowShare of what does not move all the time moves now and then.
	slowShare = 0.1
	// churnShare of the items have the lifetime that makes the churn asked for.
	churnShare = 0.4
)

func (b *layoutBuilder) churn(it *item) {
	if b.opts.Churn <= 0 || unit(it.key, 4) >= churnShare {
		return
	}
	lifetime := time.Duration(float64(time.Hour) * churnShare / b.opts.Churn)
	it.lifetime = max(2, int64(lifetime/b.opts.Tick))
	it.phase = int64(mix(it.key, 5) % uint64(it.lifetime))
}

// drawBuckets gives a latency distribution: a hump somewhere in the buckets.
func (it *item) drawBuckets() {
	centre, width := 2+6*unit(it.key, 20), 1+2*unit(it.key, 21)
	var total float64
	for i := range it.weights {
		d := (float64(i) - centre) / width
		it.weights[i] = math.Exp(-d*d/2) + 0.002
		total += it.weights[i]
	}
	bounds := bucketBounds()
	for i := range it.weights {
		it.weights[i] /= total
		low, high := 0.0, 2*bounds[finiteBuckets-1]
		if i > 0 {
			low = bounds[i-1]
		}
		if i < finiteBuckets {
			high = bounds[i]
		}
		it.meanNs[i] = int64((low + (high-low)*(0.2+0.6*unit(it.key, 22+uint64(i)))) * 1e9)
	}
}

// bucketBounds are the upper bounds of the finite buckets, in seconds. They are
// exposed as 1.0, not 1: scrapers differ in whether they make one of the other.
func bucketBounds() [finiteBuckets]float64 {
	return [finiteBuckets]float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// instanceLabels spells the i-th combination of a family's dimensions; their
// product is at least the number of instances.
func instanceLabels(f family, i int) []labels.Label {
	var out []labels.Label
	for _, d := range f.dimensions {
		out = append(out, labels.Label{Name: d.name, Value: d.values[i%len(d.values)]})
		i /= len(d.values)
	}
	return out
}

func podPrefix(job string, key uint64) string {
	return fmt.Sprintf("%s-%05x-", job, key>>44)
}

// series adds the text and labels of an item's series.
func (b *layoutBuilder) series(it *item, name string, own []labels.Label) {
	if it.kind != kindHistogram {
		b.line(it, 0, name, own)
		return
	}
	for i, bound := range bucketBounds() {
		b.line(it, i, name+"_bucket", append(slices.Clip(own), labels.Label{Name: labels.BucketLabel, Value: labels.FormatOpenMetricsFloat(bound)}))
	}
	b.line(it, finiteBuckets, name+"_bucket", append(slices.Clip(own), labels.Label{Name: labels.BucketLabel, Value: "+Inf"}))
	b.line(it, finiteBuckets+1, name+"_sum", own)
	b.line(it, finiteBuckets+2, name+"_count", own)
}

// line adds one series: the position-th of its item.
func (b *layoutBuilder) line(it *item, position int, name string, own []labels.Label) {
	s := seriesLayout{labels: append(slices.Clone(own), labels.Label{Name: model.MetricNameLabel, Value: name})}
	sort.Slice(s.labels, func(i, j int) bool { return s.labels[i].Name < s.labels[j].Name })
	b.text = append(append(b.text, name...), '{')
	for i, l := range own {
		if i > 0 {
			b.text = append(b.text, ',')
		}
		b.text = append(append(b.text, l.Name...), '=', '"')
		b.text = append(b.text, l.Value...)
		if l.Name == churnLabel {
			if it.lifetime > 0 {
				s.lead, b.text = b.text, nil
			} else {
				b.text = append(b.text, '0')
			}
		}
		b.text = append(b.text, '"')
	}
	b.text = append(b.text, '}', ' ')
	switch {
	case it.lifetime > 0:
		s.rest, b.text = b.text, []byte{'\n'}
	case it.pace == paceIdle:
		var values [histogramSeries]float64
		it.values(&values, it.key, 0, 1)
		b.text = append(appendValue(b.text, values[position]), '\n')
		s.folded = true
	default:
		s.lead, b.text = b.text, []byte{'\n'}
	}
	b.layout.series = append(b.layout.series, s)
}

func (k kind) exposed() string {
	switch k {
	case kindCounter, kindSeconds:
		return "counter"
	case kindHistogram:
		return "histogram"
	}
	return "gauge"
}

// appendValue writes a value as exporters do.
func appendValue(dst []byte, v float64) []byte {
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}
