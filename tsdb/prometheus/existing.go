package prometheus

import (
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

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
	have, err := e.samples(ctx, b.have[:0], s.labels)
	b.have = have
	if err != nil {
		return fmt.Errorf("series %s: read what is there already: %w", s.labels, err)
	}
	if len(have) == 0 {
		return nil
	}
	b.kept.truncate(0)
	left, k := false, 0
	for i, t := range got.times {
		for k < len(have) && have[k].T < t {
			k++
		}
		x := got.at(i)
		if k < len(have) && have[k].T == t {
			b.present++
			if !have[k].SameValue(x) {
				b.differ++
			}
			left = true
			continue
		}
		if left {
			loosen(x.H)
		}
		left = false
		b.kept.add(x)
	}
	*got, b.kept = b.kept, *got
	return nil
}

// samples appends to out the samples of exactly one label set, in order of time.
func (e *existing) samples(ctx context.Context, out []column.Sample, lset labels.Labels) ([]column.Sample, error) {
	sel := storage.Selection{MinTime: e.from, MaxTime: e.to - 1}
	lset.Range(func(l labels.Label) {
		sel.Matchers = append(sel.Matchers, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	scan, err := e.view.Select(ctx, sel)
	if err != nil {
		return out, err
	}
	defer scan.Close()
	var b storage.ColumnBatch
	var v storage.Values
	for {
		ok, err := scan.Next(ctx, &b)
		if err != nil {
			return out, err
		}
		if !ok {
			break
		}
		for i, rank := range b.Ranks {
			// Series with more labels match too.
			if !labels.Equal(scan.Labels(rank), lset) {
				continue
			}
			if out, err = appendBatch(out, &v, &b, i); err != nil {
				return out, err
			}
		}
	}
	if errs := scan.Warnings().AsErrors(); len(errs) > 0 {
		return out, fmt.Errorf("the database is damaged: %w", errs[0])
	}
	return out, nil
}

// appendBatch appends the samples of the i-th series of a batch. v is memory to
// use.
func appendBatch(dst []column.Sample, v *storage.Values, b *storage.ColumnBatch, i int) ([]column.Sample, error) {
	chunks := b.Series(i)
	for k := range chunks {
		if chunks[k].Kind == storage.None {
			continue
		}
		tile := b.Tiles[k]
		if err := v.Decode(&chunks[k], tile.Len()); err != nil {
			return dst, err
		}
		dst = v.AppendSamples(dst, b.Times[tile.From:tile.To], chunks[k].Runs)
	}
	return dst, nil
}
