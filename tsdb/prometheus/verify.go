package prometheus

import (
	"context"
	"fmt"
	"math"
	"math/bits"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// digest is a number for the samples of a series, by which those that were read
// and those that stand in a block are compared.
type digest uint64

func (d *digest) mix(x uint64) {
	// The odd constants are those of splitmix64's finalizer.
	h := (uint64(*d) ^ x) * 0xbf58476d1ce4e5b9
	*d = digest((h ^ bits.RotateLeft64(h, 29)) * 0x94d049bb133111eb)
}

// float adds a float without a start timestamp.
func (d *digest) float(t int64, v float64) {
	d.mix(uint64(t)*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(math.Float64bits(v), 32))
}

// sample adds a sample. A stale histogram is a stale float.
func (d *digest) sample(x column.Sample) {
	if x.IsStale() {
		x.V, x.H, x.Start = math.Float64frombits(value.StaleNaN), column.Histogram{}, 0
	}
	d.float(x.T, x.V)
	if x.Start != 0 {
		d.mix(uint64(x.Start))
	}
	switch h := x.H; {
	case h.Int != nil:
		d.mix(uint64(h.Int.Schema)<<8 | uint64(h.Int.CounterResetHint))
		d.floats(h.Int.ZeroThreshold, h.Int.Sum)
		d.mix(h.Int.Count)
		d.mix(h.Int.ZeroCount)
		for _, list := range [][]int64{h.Int.PositiveBuckets, h.Int.NegativeBuckets} {
			for _, n := range list {
				d.mix(uint64(n))
			}
		}
		d.layout(h.Int.PositiveSpans, h.Int.NegativeSpans, h.Int.CustomValues)
	case h.Float != nil:
		d.mix(uint64(h.Float.Schema)<<8 | uint64(h.Float.CounterResetHint) | 1<<63)
		d.floats(h.Float.ZeroThreshold, h.Float.Sum, h.Float.Count, h.Float.ZeroCount)
		d.floats(h.Float.PositiveBuckets...)
		d.floats(h.Float.NegativeBuckets...)
		d.layout(h.Float.PositiveSpans, h.Float.NegativeSpans, h.Float.CustomValues)
	}
}

func (d *digest) floats(list ...float64) {
	for _, v := range list {
		d.mix(math.Float64bits(v))
	}
}

func (d *digest) layout(positive, negative []histogram.Span, bounds []float64) {
	for i, spans := range [][]histogram.Span{positive, negative} {
		d.mix(uint64(i))
		for _, s := range spans {
			d.mix(uint64(uint32(s.Offset))<<32 | uint64(s.Length))
		}
	}
	d.floats(bounds...)
}

// digestOf returns the digest of samples.
func digestOf(s *samples) (d digest) {
	if len(s.hists) == 0 && len(s.starts) == 0 {
		for i, t := range s.times {
			d.float(t, s.values[i])
		}
		return d
	}
	for i := range s.times {
		d.sample(s.at(i))
	}
	return d
}

// verifyBlock reads the block that was written, and compares it with what was
// read from the source (I2): the counts, and every series by its digest.
func verifyBlock(ctx context.Context, n tsdb.NewBlock, t tally) error {
	report, err := block.Verify(ctx, n.Bucket, n.Tenant, n.ID)
	if err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return fmt.Errorf("verify block %s: %s", n.ID, report.Problems[0])
	}
	if report.Series != t.series || report.Samples != t.samples {
		return fmt.Errorf("verify block %s: it has %d series with %d samples, read were %d with %d", n.ID, report.Series, report.Samples, t.series, t.samples)
	}
	b, err := block.Open(ctx, n.Bucket, n.Tenant, n.ID, nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = b.Release() }() // it was only read
	v := blockDigester{block: b}
	for i, d := range t.digests {
		if i%cancelEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		got, err := v.series(part.Ref(i))
		if err != nil {
			return fmt.Errorf("verify block %s: %w", n.ID, err)
		}
		if got != d {
			sb := labels.NewScratchBuilder(16)
			b.Labels(part.Ref(i), &sb)
			return fmt.Errorf("verify block %s: series %s has other samples than were read", n.ID, sb.Labels())
		}
	}
	return nil
}

// blockDigester computes the digests of the series of a block.
type blockDigester struct {
	block  *block.Block
	pieces []part.Piece
	values storage.Values
	buf    []column.Sample
}

func (b *blockDigester) series(ref part.Ref) (d digest, err error) {
	if b.pieces, err = b.block.Pieces(ref, math.MinInt64, math.MaxInt64, b.pieces[:0]); err != nil {
		return 0, err
	}
	for i := range b.pieces {
		p := &b.pieces[i]
		times, err := b.block.Column(p.Column)
		if err != nil {
			return 0, err
		}
		times = times[p.From:p.To]
		if err := b.values.Decode(&p.Chunk, len(times)); err != nil {
			return 0, err
		}
		if len(p.Chunk.Runs) == 0 && b.values.Histograms == nil && b.values.Starts == nil {
			for k, t := range times {
				d.float(t, b.values.Floats[k])
			}
			continue
		}
		b.buf = b.values.AppendSamples(b.buf[:0], times, p.Chunk.Runs)
		for _, x := range b.buf {
			d.sample(x)
		}
	}
	return d, nil
}
