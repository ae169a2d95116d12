package exec

import (
	"sync/atomic"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/promql/plan"
)

// Budget counts what a query holds. It is safe for concurrent use.
type Budget struct {
	samplesMax, bytesMax int64
	samples, bytes       atomic.Int64
	peak                 atomic.Int64
}

// NewBudget returns a budget of points in memory, and of bytes.
func NewBudget(samplesMax, bytesMax int64) *Budget {
	return &Budget{samplesMax: samplesMax, bytesMax: bytesMax}
}

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

// rowBytes is a row's own size with a small slice header's worth of labels.
const rowBytes = 96

// takePoints counts n points of a matrix.
func (b *Budget) takePoints(n int64, where string) error {
	if s := b.samples.Add(n); s > b.samplesMax {
		b.samples.Add(-n)
		return &plan.LimitError{
			Limit: "samples in memory", Max: b.samplesMax, Seen: s, Where: where,
			Remedy: "ask for less (series, range, resolution), aggregate, or raise the limit on samples per query",
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
	if s > b.bytesMax {
		b.bytes.Add(-n)
		return &plan.LimitError{
			Limit: "bytes of memory", Max: b.bytesMax, Seen: s, Where: where,
			Remedy: "ask for less (series, range, resolution), aggregate, or raise the limit on memory per query",
		}
	}
	for {
		p := b.peak.Load()
		if s <= p || b.peak.CompareAndSwap(p, s) {
			return nil
		}
	}
}

// TakeBytes counts a buffer of the caller's, made for what where names. It is
// part of the query until the query ends.
func (b *Budget) TakeBytes(n int64, where string) error { return b.takeBytes(n, where) }

func (b *Budget) giveBytes(n int64) { b.bytes.Add(-n) }
