package tsdb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Analysis says what the samples of a tenant cost, and by what.
type Analysis struct {
	Tenant tenant.ID
	// MinTime and MaxTime bound the samples, ms; without any MinTime is the
	// greater.
	MinTime, MaxTime int64
	Series, Samples  uint64
	// ChunkBytes are the chunks as they are encoded each on its own: before they
	// refer to others and pages are compressed.
	ChunkBytes uint64
	Metrics    []MetricUse // by ChunkBytes, the largest first
	Names      []NameUse   // by cardinality, the largest first
	Pairs      []PairUse   // by series, the most first
	// PairsTruncated tells that there were more pairs than are counted.
	PairsTruncated bool
}

// MetricUse is what one metric name brings.
type MetricUse struct {
	Name            string
	Series, Samples uint64
	ChunkBytes      uint64
	// Churned counts the series that began after the first ten minutes of the
	// data or ended before the last ten.
	Churned uint64
}

// NameUse is what one label name brings.
type NameUse struct {
	Name string
	// Values is the number of distinct values, ValueBytes their total length.
	Values, ValueBytes uint64
	// Series is the number of series that have the label.
	Series uint64
}

// PairUse is what one label with its value brings.
type PairUse struct {
	Name, Value     string
	Series, Churned uint64
}

// Limits of what an analysis keeps.
const (
	valuesMax   = 20_000_000 // distinct pairs that are told apart, 8 bytes each
	pairsMax    = 1_000_000  // pairs that are counted
	churnEdgeMs = 10 * 60 * 1000
)

// Analyze reads everything that a tenant has.
func (s *Still) Analyze(ctx context.Context, id tenant.ID, warn func(error)) (Analysis, error) {
	parts, err := s.parts(ctx, id)
	if err != nil {
		return Analysis{}, fmt.Errorf("analyze tenant %s: %w", id, err)
	}
	a := &analyst{
		Analysis: Analysis{Tenant: id, MinTime: math.MaxInt64, MaxTime: math.MinInt64}, parts: parts, warn: warn,
		metrics: map[string]*MetricUse{}, names: map[string]*NameUse{}, pairs: map[labels.Label]*PairUse{}, seen: map[uint64]struct{}{},
	}
	for _, p := range parts {
		a.bound(p)
	}
	w, err := newWalk(ctx, parts, nil, warn)
	if err != nil {
		return Analysis{}, fmt.Errorf("analyze tenant %s: %w", id, err)
	}
	var members []member
	for {
		lset, found, ok := w.next(members[:0])
		if !ok {
			break
		}
		if ctx.Err() != nil {
			return Analysis{}, context.Cause(ctx)
		}
		members = found
		a.series(lset, members)
	}
	a.finish()
	return a.Analysis, nil
}

// analyst is an analysis under way.
type analyst struct {
	Analysis
	parts   []part.Part
	warn    func(error)
	pieces  []part.Piece
	metrics map[string]*MetricUse
	names   map[string]*NameUse
	pairs   map[labels.Label]*PairUse
	seen    map[uint64]struct{} // hashes of pairs
	sizes   sizer

	from, to int64 // of all data, as the parts say it
	known    bool
}

// bound widens the range of all data, by which churn is told. A head says
// bounds that it need not reach, and does not count.
func (a *analyst) bound(p part.Part) {
	from, to := p.Range()
	if from <= noHorizon || to >= endOfTime-1 || from > to {
		return
	}
	if !a.known {
		a.from, a.to, a.known = from, to, true
	}
	a.from, a.to = min(a.from, from), max(a.to, to)
}

// life is what is known of one series.
type life struct {
	samples, bytes uint64
	first, last    int64
}

// sizer tells what chunks take.
type sizer struct {
	enc format.Encoder
	buf []byte
}

// of is the size of a chunk: where it came decoded, as those do that refer to
// others, of what it is encoded to.
func (z *sizer) of(c *storage.Chunk) int {
	if c.Kind == storage.Decoded && len(c.Values) > 0 {
		z.buf = z.enc.Append(z.buf[:0], c.Values)
		return len(z.buf) + len(c.StartData)
	}
	return len(c.Data) + len(c.StartData)
}

func (a *analyst) series(lset labels.Labels, members []member) {
	l := life{first: math.MaxInt64, last: math.MinInt64}
	for _, m := range members {
		p := a.parts[m.part]
		var err error
		if a.pieces, err = p.Pieces(m.ref, math.MinInt64, math.MaxInt64, a.pieces[:0]); err != nil {
			a.warn(fmt.Errorf("series %s: %w", lset, err))
		}
		for i := range a.pieces {
			if err := l.add(p, &a.pieces[i], &a.sizes); err != nil {
				a.warn(fmt.Errorf("%s: series %s: %w", p.Name(), lset, err))
			}
		}
	}
	if l.samples == 0 {
		return
	}
	a.Series++
	a.Samples += l.samples
	a.ChunkBytes += l.bytes
	a.MinTime, a.MaxTime = min(a.MinTime, l.first), max(a.MaxTime, l.last)
	var churned uint64
	if a.known && (l.first > a.from+churnEdgeMs || l.last < a.to-churnEdgeMs) {
		churned = 1
	}
	name := lset.Get(model.MetricNameLabel)
	m := a.metrics[name]
	if m == nil {
		m = &MetricUse{Name: name}
		a.metrics[name] = m
	}
	m.Series++
	m.Samples += l.samples
	m.ChunkBytes += l.bytes
	m.Churned += churned
	lset.Range(func(x labels.Label) { a.label(x, churned) })
}

// add counts a piece.
func (l *life) add(p part.Part, x *part.Piece, sizes *sizer) error {
	n := uint64(column.SampleCount(x.Chunk.Runs, int(x.To-x.From)))
	if n == 0 {
		return nil
	}
	times, err := p.Column(x.Column)
	if err != nil {
		return err
	}
	l.samples += n
	l.bytes += uint64(sizes.of(&x.Chunk))
	l.first, l.last = min(l.first, times[x.From]), max(l.last, times[x.To-1])
	return nil
}

func (a *analyst) label(x labels.Label, churned uint64) {
	n := a.names[x.Name]
	if n == nil {
		n = &NameUse{Name: x.Name}
		a.names[x.Name] = n
	}
	n.Series++
	h := xxhash.New()
	_, _ = h.WriteString(x.Name)
	_, _ = h.Write([]byte{0xff})
	_, _ = h.WriteString(x.Value)
	if _, ok := a.seen[h.Sum64()]; !ok && len(a.seen) < valuesMax {
		a.seen[h.Sum64()] = struct{}{}
		n.Values++
		n.ValueBytes += uint64(len(x.Value))
	}
	p := a.pairs[x]
	if p == nil {
		if len(a.pairs) == pairsMax {
			a.PairsTruncated = true
			return
		}
		p = &PairUse{Name: x.Name, Value: x.Value}
		a.pairs[x] = p
	}
	p.Series++
	p.Churned += churned
}

// finish puts what was counted in order.
func (a *analyst) finish() {
	for _, m := range a.metrics {
		a.Metrics = append(a.Metrics, *m)
	}
	slices.SortFunc(a.Metrics, func(x, y MetricUse) int {
		return cmp.Or(cmp.Compare(y.ChunkBytes, x.ChunkBytes), cmp.Compare(x.Name, y.Name))
	})
	for _, n := range a.names {
		a.Names = append(a.Names, *n)
	}
	slices.SortFunc(a.Names, func(x, y NameUse) int {
		return cmp.Or(cmp.Compare(y.Values, x.Values), cmp.Compare(x.Name, y.Name))
	})
	for p := range maps.Values(a.pairs) {
		a.Pairs = append(a.Pairs, *p)
	}
	slices.SortFunc(a.Pairs, func(x, y PairUse) int {
		return cmp.Or(cmp.Compare(y.Series, x.Series), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
	})
}
