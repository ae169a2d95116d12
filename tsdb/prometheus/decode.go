package prometheus

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/tombstones"

	formathistogram "github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
)

// decodeCounts is what decoders saw.
type decodeCounts struct {
	Histograms uint64 // samples left out
	Conflicts  uint64 // timestamps for which two parts have different values
	Chunks     uint64 // chunks that cannot be read, and were left out
}

func (c *decodeCounts) add(o decodeCounts) {
	c.Histograms += o.Histograms
	c.Conflicts += o.Conflicts
	c.Chunks += o.Chunks
}

// decoder turns the chunks of a series into samples. One goroutine uses it.
type decoder struct {
	parts          []*openedPart
	from, to       int64
	skipHistograms bool
	skipDamaged    bool

	iterator   chunkenc.Iterator
	of, merged samples
	counts     decodeCounts
}

// decode overwrites dst with the samples of a series in [from, to). Where
// parts overlap, the first part that has a timestamp tells its value.
func (d *decoder) decode(dst *samples, s *sourceSeries) error {
	dst.truncate(0)
	for i := range s.pieces {
		p := &s.pieces[i]
		if n := dst.len(); n == 0 || dst.times[n-1] < p.chunks[0].MinTime {
			if err := d.appendPiece(dst, p); err != nil {
				return fmt.Errorf("series %s: %w", s.labels, err)
			}
			continue
		}
		d.of.truncate(0)
		if err := d.appendPiece(&d.of, p); err != nil {
			return fmt.Errorf("series %s: %w", s.labels, err)
		}
		d.counts.Conflicts += d.merged.merge(dst, &d.of)
		*dst, d.merged = d.merged, *dst
	}
	return nil
}

// appendPiece appends the samples of one part.
func (d *decoder) appendPiece(dst *samples, p *sourcePiece) error {
	part := d.parts[p.part]
	broken := false // what stood before the next sample is not there
	for i := range p.chunks {
		m := &p.chunks[i]
		before := dst.len()
		plain, err := d.iterate(part, m)
		if err == nil {
			err = d.appendChunk(dst, plain && m.MinTime >= d.from && m.MaxTime < d.to, p.deleted)
		}
		switch {
		case err == nil:
			if broken && len(dst.hists) > before {
				loosen(dst.hists[before])
			}
			broken = broken && dst.len() == before
		case !d.skipDamaged:
			return &DamageError{Part: part.name, Err: err}
		default:
			dst.truncate(before)
			d.counts.Chunks++
			broken = true
		}
	}
	return nil
}

// iterate begins a chunk. plain tells that it has floats alone and no start
// timestamps.
func (d *decoder) iterate(part *openedPart, m *chunks.Meta) (plain bool, err error) {
	chunk, iterable, err := part.chunks.ChunkOrIterable(*m)
	if err != nil {
		return false, err
	}
	if chunk == nil {
		d.iterator = iterable.Iterator(d.iterator)
		return false, nil
	}
	d.iterator = chunk.Iterator(d.iterator)
	return chunk.Encoding() == chunkenc.EncXOR, nil
}

// appendChunk appends the samples of the iterator at hand. whole tells that all
// of them are floats in the range.
func (d *decoder) appendChunk(dst *samples, whole bool, deleted tombstones.Intervals) error {
	it := d.iterator
	last := int64(math.MinInt64)
	if n := dst.len(); n > 0 {
		last = dst.times[n-1]
	}
	if whole && len(deleted) == 0 {
		return appendFloats(dst, it, last)
	}
	broken := false
	for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
		x := column.Sample{T: it.AtT(), Start: it.AtST()}
		if x.T <= last {
			return fmt.Errorf("a sample at %d follows one at %d", x.T, last)
		}
		last = x.T
		if x.T < d.from || x.T >= d.to {
			continue
		}
		if isDeleted(deleted, x.T) {
			broken = true
			continue
		}
		if kind == chunkenc.ValFloat {
			_, x.V = it.At()
		} else if ok, err := d.histogram(&x, kind); err != nil {
			return err
		} else if !ok {
			continue
		}
		if broken {
			loosen(x.H)
		}
		broken = false
		dst.add(x)
	}
	return it.Err()
}

// histogram takes the histogram that the iterator is at, unless they are left
// out.
func (d *decoder) histogram(x *column.Sample, kind chunkenc.ValueType) (ok bool, err error) {
	if d.skipHistograms {
		d.counts.Histograms++
		return false, nil
	}
	switch kind {
	case chunkenc.ValHistogram:
		_, x.H.Int = d.iterator.AtHistogram(nil)
	case chunkenc.ValFloatHistogram:
		_, x.H.Float = d.iterator.AtFloatHistogram(nil)
	default:
		return false, fmt.Errorf("a sample of the unknown type %d", kind)
	}
	if err := formathistogram.Check(x.H); err != nil {
		return false, fmt.Errorf("the histogram at %d is not one that blocks hold: %w: leave histograms out with --skip-histograms", x.T, err)
	}
	return true, nil
}

// appendFloats is appendChunk where nothing is left out.
func appendFloats(dst *samples, it chunkenc.Iterator, last int64) error {
	for it.Next() == chunkenc.ValFloat {
		t, v := it.At()
		if t <= last {
			return fmt.Errorf("a sample at %d follows one at %d", t, last)
		}
		last = t
		dst.addFloat(t, v)
	}
	return it.Err()
}

func isDeleted(deleted tombstones.Intervals, t int64) bool {
	for _, i := range deleted {
		if i.InBounds(t) {
			return true
		}
	}
	return false
}
