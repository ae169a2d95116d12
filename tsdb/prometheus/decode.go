package prometheus

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/tombstones"
)

// errHistograms: the source has native histograms, and nobody said to leave
// them out.
var errHistograms = errors.New("there are native histograms, which blocks do not hold yet: leave them out with --skip-histograms")

// samples are float samples of one series in order of time, by columns.
type samples struct {
	times  []int64
	values []float64
}

func (s *samples) reset() { s.times, s.values = s.times[:0], s.values[:0] }

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
	dst.reset()
	for i := range s.pieces {
		p := &s.pieces[i]
		if len(dst.times) == 0 || dst.times[len(dst.times)-1] < p.chunks[0].MinTime {
			if err := d.appendPiece(dst, p); err != nil {
				return fmt.Errorf("series %s: %w", s.labels, err)
			}
			continue
		}
		d.of.reset()
		if err := d.appendPiece(&d.of, p); err != nil {
			return fmt.Errorf("series %s: %w", s.labels, err)
		}
		d.counts.Conflicts += mergeSamples(&d.merged, dst, &d.of)
		dst.times, d.merged.times = d.merged.times, dst.times
		dst.values, d.merged.values = d.merged.values, dst.values
	}
	return nil
}

// appendPiece appends the samples of one part.
func (d *decoder) appendPiece(dst *samples, p *sourcePiece) error {
	part := d.parts[p.part]
	for i := range p.chunks {
		m := &p.chunks[i]
		before := len(dst.times)
		chunk, iterable, err := part.chunks.ChunkOrIterable(*m)
		if err == nil {
			if chunk != nil {
				d.iterator = chunk.Iterator(d.iterator)
			} else {
				d.iterator = iterable.Iterator(d.iterator)
			}
			err = d.appendChunk(dst, m.MinTime >= d.from && m.MaxTime < d.to, p.deleted)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errHistograms) {
			return err
		}
		if !d.skipDamaged {
			return &DamageError{Part: part.name, Err: err}
		}
		dst.times, dst.values = dst.times[:before], dst.values[:before]
		d.counts.Chunks++
	}
	return nil
}

// appendChunk appends the samples of the iterator at hand. inside tells that
// all of them are in the range.
func (d *decoder) appendChunk(dst *samples, inside bool, deleted tombstones.Intervals) error {
	it := d.iterator
	last := int64(math.MinInt64)
	if n := len(dst.times); n > 0 {
		last = dst.times[n-1]
	}
	for {
		switch it.Next() {
		case chunkenc.ValNone:
			return it.Err()
		case chunkenc.ValFloat:
		default:
			if t := it.AtT(); t < d.from || t >= d.to || isDeleted(deleted, t) {
				continue
			}
			if !d.skipHistograms {
				return errHistograms
			}
			d.counts.Histograms++
			continue
		}
		t, v := it.At()
		if t <= last {
			return fmt.Errorf("a sample at %d follows one at %d", t, last)
		}
		last = t
		if !inside && (t < d.from || t >= d.to) || len(deleted) > 0 && isDeleted(deleted, t) {
			continue
		}
		dst.times = append(dst.times, t)
		dst.values = append(dst.values, v)
	}
}

func isDeleted(deleted tombstones.Intervals, t int64) bool {
	for _, i := range deleted {
		if i.InBounds(t) {
			return true
		}
	}
	return false
}

// mergeSamples overwrites dst with the union of two sorted lists; where both
// have a timestamp, first's value stays, and a different one is counted.
func mergeSamples(dst, first, second *samples) (conflicts uint64) {
	dst.reset()
	i, k := 0, 0
	for i < len(first.times) && k < len(second.times) {
		switch a, b := first.times[i], second.times[k]; {
		case a < b:
			dst.times, dst.values = append(dst.times, a), append(dst.values, first.values[i])
			i++
		case b < a:
			dst.times, dst.values = append(dst.times, b), append(dst.values, second.values[k])
			k++
		default:
			if math.Float64bits(first.values[i]) != math.Float64bits(second.values[k]) {
				conflicts++
			}
			dst.times, dst.values = append(dst.times, a), append(dst.values, first.values[i])
			i, k = i+1, k+1
		}
	}
	dst.times = append(append(dst.times, first.times[i:]...), second.times[k:]...)
	dst.values = append(append(dst.values, first.values[i:]...), second.values[k:]...)
	return conflicts
}
