package prometheus

import (
	"context"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	formatcolumn "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// existing is what the database had before an import (I3). nil: nothing in the
// range. Its methods are safe for concurrent use.
type existing struct {
	view     storage.View
	from, to int64
}

// existingIn returns what a view has in a range, nil for nothing.
func existingIn(ctx context.Context, view storage.View, s span) (*existing, error) {
	e, err := view.Estimate(ctx, storage.Selection{MinTime: s.From, MaxTime: s.To - 1})
	if err != nil {
		return nil, fmt.Errorf("look for samples that are there already: %w", err)
	}
	if e.Series == 0 {
		return nil, nil
	}
	return &existing{view: view, from: s.From, to: s.To}, nil
}

// leaveOut removes from got the samples at timestamps at which the database has
// one of the same series, and counts them in b.
func (e *existing) leaveOut(ctx context.Context, b *batch, s *sourceSeries, got *samples) error {
	if e == nil || len(got.times) == 0 {
		return nil
	}
	have, err := e.samples(ctx, s.labels)
	if err != nil {
		return fmt.Errorf("series %s: read what is there already: %w", s.labels, err)
	}
	if len(have) == 0 {
		return nil
	}
	n, k := 0, 0
	for i, t := range got.times {
		for k < len(have) && have[k].T < t {
			k++
		}
		if k < len(have) && have[k].T == t {
			b.present++
			if math.Float64bits(have[k].V) != math.Float64bits(got.values[i]) {
				b.differ++
			}
			continue
		}
		got.times[n], got.values[n] = t, got.values[i]
		n++
	}
	got.times, got.values = got.times[:n], got.values[:n]
	return nil
}

// samples returns the samples of exactly one label set, in order of time.
func (e *existing) samples(ctx context.Context, lset labels.Labels) (out []column.Sample, err error) {
	sel := storage.Selection{MinTime: e.from, MaxTime: e.to - 1}
	lset.Range(func(l labels.Label) {
		sel.Matchers = append(sel.Matchers, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	scan, err := e.view.Select(ctx, sel)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	var b storage.ColumnBatch
	for {
		ok, err := scan.Next(ctx, &b)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		for i, rank := range b.Ranks {
			// Series with more labels match too.
			if !labels.Equal(scan.Labels(rank), lset) {
				continue
			}
			if out, err = appendBatch(out, &b, i); err != nil {
				return nil, err
			}
		}
	}
	if err := scan.Warnings().AsErrors(); len(err) > 0 {
		return nil, fmt.Errorf("the database is damaged: %w", err[0])
	}
	return out, nil
}

// appendBatch appends the float samples of the i-th series of a batch.
func appendBatch(dst []column.Sample, b *storage.ColumnBatch, i int) ([]column.Sample, error) {
	for k, c := range b.Series(i) {
		tile := b.Tiles[k]
		n := column.PresentCount(c.Runs, tile.Len())
		values := c.Values
		switch c.Kind {
		case storage.None:
			continue
		case storage.Encoded:
			if n == 0 {
				break
			}
			var err error
			if values, err = formatcolumn.Decode(nil, c.Data, n); err != nil {
				return nil, err
			}
		case storage.Decoded:
		default:
			return nil, fmt.Errorf("a chunk of kind %d: %w", c.Kind, storage.ErrUnsupported)
		}
		dst = column.Materialize(dst, b.Times[tile.From:tile.To], values, c.Runs)
	}
	return dst, nil
}
