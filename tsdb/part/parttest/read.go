package parttest

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Series is one series of a part, sample by sample.
type Series struct {
	Labels  labels.Labels
	Samples []column.Sample
}

// Read returns every sample of the series that match, in label order, stale
// markers with StaleNaN's bits. Series without samples are left out. It checks
// the part's invariants on the way: the order of label sets and samples,
// hashes, that pieces lie on their columns, and that a walk finds the same ones.
func Read(ctx context.Context, p part.Part, ms ...*labels.Matcher) ([]Series, error) {
	refs, err := p.Select(ctx, ms...)
	if err != nil {
		return nil, err
	}
	if err := CheckWalk(p, refs, math.MinInt64, math.MaxInt64); err != nil {
		return nil, err
	}
	var out []Series
	b := labels.NewScratchBuilder(8)
	for i, ref := range refs {
		p.Labels(ref, &b)
		s := Series{Labels: b.Labels()}
		if want, _ := series.HashOf(s.Labels, nil); p.Hash(ref) != want {
			return nil, fmt.Errorf("%s: hash of %s is %x, want %x", p.Name(), s.Labels, p.Hash(ref), want)
		}
		if i > 0 && len(out) > 0 && labels.Compare(out[len(out)-1].Labels, s.Labels) >= 0 {
			return nil, fmt.Errorf("%s: %s follows %s", p.Name(), s.Labels, out[len(out)-1].Labels)
		}
		if s.Samples, err = Samples(p, ref, math.MinInt64, math.MaxInt64); err != nil {
			return nil, fmt.Errorf("series %s: %w", s.Labels, err)
		}
		if len(s.Samples) > 0 {
			out = append(out, s)
		}
	}
	return out, nil
}

// Samples returns the samples of the pieces of one series that overlap
// [minTime, maxTime].
func Samples(p part.Part, ref part.Ref, minTime, maxTime int64) ([]column.Sample, error) {
	pieces, err := p.Pieces(ref, minTime, maxTime, nil)
	if err != nil {
		return nil, err
	}
	var out []column.Sample
	for _, piece := range pieces {
		times, err := p.Column(piece.Column)
		if err != nil {
			return nil, err
		}
		if piece.From >= piece.To || int(piece.To) > len(times) {
			return nil, fmt.Errorf("%s: a piece from %d to %d on a column of %d", p.Name(), piece.From, piece.To, len(times))
		}
		n := int(piece.To - piece.From)
		if err := column.ValidateRuns(piece.Chunk.Runs, n); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		if piece.Chunk.Kind == storage.None {
			continue
		}
		var values storage.Values
		if err := values.Decode(&piece.Chunk, n); err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name(), err)
		}
		was := len(out)
		out = values.AppendSamples(out, times[piece.From:piece.To], piece.Chunk.Runs)
		if was > 0 && len(out) > was && out[was].T <= out[was-1].T {
			return nil, fmt.Errorf("%s: a piece begins at %d, the one before ends at %d", p.Name(), out[was].T, out[was-1].T)
		}
	}
	return out, nil
}

// Diff describes the first difference of two readings, "" when they are equal
// bit for bit.
func Diff(got, want []Series) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return fmt.Sprintf("series %s is missing", want[i].Labels)
		case i >= len(want):
			return fmt.Sprintf("series %s is too many", got[i].Labels)
		}
		g, w := got[i], want[i]
		if !labels.Equal(g.Labels, w.Labels) {
			return fmt.Sprintf("series %d is %s, want %s", i, g.Labels, w.Labels)
		}
		for k := range max(len(g.Samples), len(w.Samples)) {
			switch {
			case k >= len(g.Samples):
				return fmt.Sprintf("series %s: %d samples, want %d; %v is missing", g.Labels, len(g.Samples), len(w.Samples), w.Samples[k])
			case k >= len(w.Samples):
				return fmt.Sprintf("series %s: %d samples, want %d; %v is too many", g.Labels, len(g.Samples), len(w.Samples), g.Samples[k])
			case g.Samples[k].T != w.Samples[k].T || g.Samples[k].Start != w.Samples[k].Start || !g.Samples[k].SameValue(w.Samples[k]):
				return fmt.Sprintf("series %s: sample %d is %v (%#x), want %v (%#x)", g.Labels, k,
					g.Samples[k], math.Float64bits(g.Samples[k].V), w.Samples[k], math.Float64bits(w.Samples[k].V))
			}
		}
	}
	return ""
}

// Union returns the samples of both; where both have a timestamp, first's
// value stays (N1).
func Union(first, second []Series) []Series {
	var out []Series
	for len(first) > 0 || len(second) > 0 {
		switch c := compareHeads(first, second); {
		case c < 0:
			out, first = append(out, first[0]), first[1:]
		case c > 0:
			out, second = append(out, second[0]), second[1:]
		default:
			out = append(out, Series{Labels: first[0].Labels, Samples: unionSamples(first[0].Samples, second[0].Samples)})
			first, second = first[1:], second[1:]
		}
	}
	return out
}

func compareHeads(a, b []Series) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return labels.Compare(a[0].Labels, b[0].Labels)
}

func unionSamples(first, second []column.Sample) []column.Sample {
	at := make(map[int64]bool, len(first))
	out := append([]column.Sample{}, first...)
	for _, s := range first {
		at[s.T] = true
	}
	for _, s := range second {
		if !at[s.T] {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].T < out[j].T })
	return out
}
