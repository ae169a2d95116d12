package prometheus

import (
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// columnIterator goes through the samples of one series of a batch, for
// Prometheus' encoders: they never seek.
type columnIterator struct {
	chunkenc.Iterator // of nothing: for what is not used

	values  storage.Values
	buf     []column.Sample
	samples []column.Sample
	at      int // samples[at-1] is the one at hand
}

var _ chunkenc.Iterator = (*columnIterator)(nil)

func newColumnIterator() *columnIterator {
	return &columnIterator{Iterator: chunkenc.NewNopIterator()}
}

// load takes the samples of the i-th series in [from, to).
func (c *columnIterator) load(b *storage.ColumnBatch, i int, from, to int64) (err error) {
	c.at = 0
	if c.buf, err = appendBatch(c.buf[:0], &c.values, b, i); err != nil {
		return err
	}
	first := sort.Search(len(c.buf), func(k int) bool { return c.buf[k].T >= from })
	last := sort.Search(len(c.buf), func(k int) bool { return c.buf[k].T >= to })
	c.samples = c.buf[first:last]
	return nil
}

func (c *columnIterator) len() int { return len(c.samples) }

// Next implements chunkenc.Iterator.
func (c *columnIterator) Next() chunkenc.ValueType {
	if c.at >= len(c.samples) {
		return chunkenc.ValNone
	}
	c.at++
	switch h := c.samples[c.at-1].H; {
	case h.Int != nil:
		return chunkenc.ValHistogram
	case h.Float != nil:
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (c *columnIterator) At() (int64, float64) {
	s := c.samples[c.at-1]
	return s.T, s.V
}

// AtHistogram implements chunkenc.Iterator. The histogram is not the caller's.
func (c *columnIterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	s := c.samples[c.at-1]
	return s.T, s.H.Int
}

// AtFloatHistogram implements chunkenc.Iterator, of float histograms alone. The
// histogram is not the caller's.
func (c *columnIterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	s := c.samples[c.at-1]
	return s.T, s.H.Float
}

// AtST implements chunkenc.Iterator.
func (c *columnIterator) AtST() int64 { return c.samples[c.at-1].Start }

// AtT implements chunkenc.Iterator.
func (c *columnIterator) AtT() int64 { return c.samples[c.at-1].T }

// Err implements chunkenc.Iterator.
func (c *columnIterator) Err() error { return nil }
