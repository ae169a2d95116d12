package exec

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/promql/plan"
)

// Limits bound one query.
type Limits struct {
	// SamplesMax bounds the points in memory at one time.
	SamplesMax int64
	// BytesMax bounds the memory held at one time.
	BytesMax int64
	// SeriesMax bounds the series that all selections together find.
	SeriesMax int64
	// ResultBytesMax bounds the answer.
	ResultBytesMax int64
	// Essential says that the pool's reserve may be used.
	Essential bool
}

// Budget counts what a query holds. It is safe for concurrent use.
type Budget struct {
	limits         Limits
	pool           *Pool
	samples, bytes atomic.Int64
	series, result atomic.Int64
	peak           atomic.Int64

	granted atomic.Int64 // what the pool gave; bytes is at most that, but for refusals under way
	mu      sync.Mutex   // held while granted changes
}

// NewBudget returns a budget that takes its memory from pool. It is closed
// when the query and its result are done with.
func NewBudget(l Limits, pool *Pool) *Budget { return &Budget{limits: l, pool: pool} }

// Bytes is the number of bytes held now.
func (b *Budget) Bytes() int64 { return b.bytes.Load() }

// PeakBytes is the largest number of bytes held at one time.
func (b *Budget) PeakBytes() int64 { return b.peak.Load() }

// pointBytes is what a point of a row takes: its value and, rounded up, its
// presence.
const pointBytes = 9

// histogramPoints is what histograms count for, as points: one for every 16
// bytes, as upstream counts them.
func histogramPoints(hs []*histogram.FloatHistogram) int64 {
	n := int64(0)
	for _, h := range hs {
		if h != nil {
			n += int64(h.Size()+8) / 16
		}
	}
	return n
}

// rowBytes is a row's own size, values and labels aside.
const rowBytes = 112

// ownBytes is what a row takes beside its points.
func (r *Row) ownBytes() int64 { return rowBytes + int64(r.Labels.ByteSize()) }

// takeSeries counts the series of a selection.
func (b *Budget) takeSeries(n int64, where string) error {
	if s := b.series.Add(n); s > b.limits.SeriesMax {
		return &plan.LimitError{
			Limit: "series", Max: b.limits.SeriesMax, Seen: s, Where: where,
			Remedy: "select fewer series, or raise nilometer.query.series_max",
		}
	}
	return nil
}

// giveSeries undoes takeSeries, also one that was refused.
func (b *Budget) giveSeries(n int64) { b.series.Add(-n) }

// takePoints counts n points of a matrix.
func (b *Budget) takePoints(n int64, where string) error {
	if s := b.samples.Add(n); s > b.limits.SamplesMax {
		b.samples.Add(-n)
		return &plan.LimitError{
			Limit: "samples in memory", Max: b.limits.SamplesMax, Seen: s, Where: where,
			Remedy: "ask for less (series, range, resolution), aggregate, or raise nilometer.query.samples_max (--query.max-samples)",
		}
	}
	if err := b.takeBytes(n*pointBytes, where); err != nil {
		b.samples.Add(-n)
		return err
	}
	return nil
}

// givePoints takes takePoints back.
func (b *Budget) givePoints(n int64) {
	b.samples.Add(-n)
	b.giveBytes(n * pointBytes)
}

// takeBytes counts a buffer.
func (b *Budget) takeBytes(n int64, where string) error {
	s := b.bytes.Add(n)
	if s > b.limits.BytesMax {
		b.bytes.Add(-n)
		return &plan.LimitError{
			Limit: "bytes of memory", Max: b.limits.BytesMax, Seen: s, Where: where,
			Remedy: "ask for less (series, range, resolution), aggregate, or raise nilometer.query.query_memory_max",
		}
	}
	if s > b.granted.Load() {
		if err := b.grant(where); err != nil {
			b.bytes.Add(-n)
			return err
		}
	}
	for {
		p := b.peak.Load()
		if s <= p || b.peak.CompareAndSwap(p, s) {
			return nil
		}
	}
}

// grant takes from the pool what is missing, and somewhat more.
func (b *Budget) grant(where string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	missing := b.bytes.Load() - b.granted.Load()
	if missing <= 0 { // another goroutine got it
		return nil
	}
	n, err := b.pool.take(missing, missing+b.pool.step, b.limits.Essential, where)
	b.granted.Add(n)
	return err
}

func (b *Budget) giveBytes(n int64) {
	b.bytes.Add(-n)
	if b.granted.Load()-b.bytes.Load() > 4*b.pool.step {
		b.shrink(b.pool.step)
	}
}

// shrink gives the pool back what is more than slack over what is held.
func (b *Budget) shrink(slack int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	// bytes may grow meanwhile: then it takes again.
	if n := b.granted.Load() - b.bytes.Load() - slack; n > 0 {
		b.granted.Add(-n)
		b.pool.give(n, b.limits.Essential)
	}
}

// TakeResult counts a part of the answer.
func (b *Budget) TakeResult(n int64) error {
	if err := b.KeepResult(n); err != nil {
		return err
	}
	return b.takeBytes(n, theResult)
}

// KeepResult makes n bytes that are held already a part of the answer.
func (b *Budget) KeepResult(n int64) error {
	if s := b.result.Add(n); s > b.limits.ResultBytesMax {
		return &plan.LimitError{
			Limit: "bytes", Max: b.limits.ResultBytesMax, Seen: s, Where: theResult,
			Remedy: "ask for fewer series or a longer step, or raise nilometer.query.result_size_max",
		}
	}
	return nil
}

// theResult is where what a whole answer takes is too much.
const theResult = "the result"

// NextPart says that another part of the same query begins: the limit on series
// is for each.
func (b *Budget) NextPart() { b.series.Store(0) }

// Restart gives up all that was held: the query begins again.
func (b *Budget) Restart() {
	b.samples.Store(0)
	b.bytes.Store(0)
	b.NextPart()
}

// Settle ends the query's own use of memory: what stays counted until Close is
// the result.
func (b *Budget) Settle() {
	b.bytes.Store(b.result.Load())
	b.shrink(0)
}

// Close gives everything back. It may be called more than once.
func (b *Budget) Close() {
	b.bytes.Store(0)
	b.shrink(0)
}
