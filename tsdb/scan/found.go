package scan

import (
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Found is the series of several parts that match, merged: what an estimate and a
// scan have in common, and most of what an estimate costs.
type Found struct {
	parts    []part.Part // all that were asked
	matchers []*labels.Matcher
	// minTime and maxTime choose among the parts.
	minTime, maxTime int64

	merger   *merger // over the parts that overlap the range
	entries  []entry
	warnings warnings
}

// Find looks the series up that match in the parts that overlap the selection's
// range.
func Find(ctx context.Context, parts []part.Part, sel storage.Selection) (*Found, error) {
	f := &Found{parts: parts, matchers: sel.Matchers, minTime: sel.MinTime, maxTime: sel.MaxTime}
	var err error
	f.merger, f.entries, err = mergeParts(ctx, overlapping(parts, sel.MinTime, sel.MaxTime), sel.Matchers, &f.warnings)
	return f, err
}

// Of tells whether this is what Find finds for a selection in the parts.
func (f *Found) Of(parts []part.Part, sel storage.Selection) bool {
	if f.minTime != sel.MinTime || f.maxTime != sel.MaxTime || len(f.matchers) != len(sel.Matchers) || !slices.Equal(f.parts, parts) {
		return false
	}
	for i, m := range f.matchers {
		if o := sel.Matchers[i]; m != o && (m.Type != o.Type || m.Name != o.Name || m.Value != o.Value) {
			return false
		}
	}
	return true
}

// Series is the number of series found.
func (f *Found) Series() int { return len(f.entries) }

// Scan returns the columns of the series; sel is what they were found for. f is
// given up.
func (f *Found) Scan(ctx context.Context, sel storage.Selection) (*Scan, error) {
	s := &Scan{
		parts: f.merger.parts, members: f.merger.members, minTime: sel.MinTime, maxTime: sel.MaxTime, timesOnly: sel.TimesOnly,
		warnings: &f.warnings, scratch: map[*storage.ColumnBatch]*scratch{},
	}
	if err := s.layOut(ctx, f.entries); err != nil {
		return nil, err
	}
	return s, nil
}

// bytesPerSample is what Estimate assumes of a part that cannot tell.
const bytesPerSample = 2

// Estimate says what a scan of the series would touch. A part that is no
// part.Estimator counts with one full tile a series.
func (f *Found) Estimate(ctx context.Context) (storage.Estimate, error) {
	m, parts := f.merger, f.merger.parts
	e := storage.Estimate{Series: int64(len(f.entries))}
	// Of many series some speak for the others: an estimate is to be quick.
	every := len(m.members)/estimatedMax + 1
	asked := 0
	for i := 0; i < len(m.members); i += every {
		x := m.members[i]
		if asked++; asked%checkEvery == 0 && ctx.Err() != nil {
			return storage.Estimate{}, ctx.Err()
		}
		samples, bytes := int64(column.TilePositions), int64(column.TilePositions*bytesPerSample)
		if p, ok := parts[x.part].(part.Estimator); ok {
			samples, bytes = p.EstimateSeries(x.ref, f.minTime, f.maxTime)
		}
		e.Samples += samples
		e.Bytes += bytes
	}
	if asked > 0 && every > 1 {
		e.Samples = int64(float64(e.Samples) * float64(len(m.members)) / float64(asked))
		e.Bytes = int64(float64(e.Bytes) * float64(len(m.members)) / float64(asked))
	}
	return e, nil
}

// estimatedMax bounds the series of parts whose costs are looked at one by one.
const estimatedMax = 4096
