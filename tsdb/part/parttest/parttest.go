// Package parttest has a part.Part built by hand from series and samples, and
// a way to read any part back sample by sample, for the tests of those who
// write or read parts.
//
// The part is slow and obvious: it matches by asking every matcher about
// every series.
package parttest

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Part is a part.Part in memory: fill it with AddColumn and AddSeries or Samples,
// then use it. Filling is not safe for concurrent use; reading is.
type Part struct {
	name     string
	columns  [][]int64
	series   []entry // in label order
	min, max int64
	damage   map[string]error
}

type entry struct {
	labels labels.Labels
	pieces []part.Piece
}

var (
	_ part.Part      = (*Part)(nil)
	_ part.Estimator = (*Part)(nil)
)

// New returns an empty part.
func New(name string) *Part { return &Part{name: name, min: 0, max: -1, damage: map[string]error{}} }

// Column returns the timestamps of a column.
func (p *Part) Column(id part.ColumnID) ([]int64, error) {
	if int(id) >= len(p.columns) {
		return nil, fmt.Errorf("%s: no column %d", p.name, id)
	}
	return p.columns[id], nil
}

// AddColumn adds a time column, which must be strictly increasing, and returns
// its id.
func (p *Part) AddColumn(times ...int64) part.ColumnID {
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			panic(fmt.Sprintf("parttest: column of %s: time %d at position %d follows %d", p.name, times[i], i, times[i-1]))
		}
	}
	p.columns = append(p.columns, times)
	return part.ColumnID(len(p.columns) - 1)
}

// Regular adds a column of n positions from start on, one every intervalMs.
func (p *Part) Regular(start, intervalMs int64, n int) part.ColumnID {
	times := make([]int64, n)
	for i := range times {
		times[i] = start + int64(i)*intervalMs
	}
	return p.AddColumn(times...)
}

// AddSeries appends pieces to a series, which is created when it is new. The
// pieces of one series are added in order of time.
func (p *Part) AddSeries(lset labels.Labels, pieces ...part.Piece) {
	i, found := slices.BinarySearchFunc(p.series, lset, func(e entry, l labels.Labels) int { return labels.Compare(e.labels, l) })
	if !found {
		p.series = slices.Insert(p.series, i, entry{labels: lset})
	}
	for _, piece := range pieces {
		if err := column.ValidateRuns(piece.Chunk.Runs, int(piece.To-piece.From)); err != nil {
			panic(fmt.Sprintf("parttest: series %s: %s", lset, err))
		}
		times := p.columns[piece.Column]
		if p.max < p.min {
			p.min, p.max = times[piece.From], times[piece.To-1]
		}
		p.min, p.max = min(p.min, times[piece.From]), max(p.max, times[piece.To-1])
	}
	p.series[i].pieces = append(p.series[i].pieces, pieces...)
}

// Samples adds a series on a column from its first to its last sample, cut
// into chunks at every multiple of column.TilePositions: positions without a
// sample are absent, a value with StaleNaN's bits is a stale marker. Every
// sample's time must be a position of the column. The chunks are decoded ones.
func (p *Part) Samples(lset labels.Labels, id part.ColumnID, samples ...column.Sample) {
	times := p.columns[id]
	pieces := []part.Piece{}
	for len(samples) > 0 {
		at, ok := slices.BinarySearch(times, samples[0].T)
		if !ok {
			panic(fmt.Sprintf("parttest: series %s: %d is no position of column %d", lset, samples[0].T, id))
		}
		tileEnd := min(len(times), (at/column.TilePositions+1)*column.TilePositions)
		n := sort.Search(len(samples), func(i int) bool { return tileEnd < len(times) && samples[i].T >= times[tileEnd] })
		to, _ := slices.BinarySearch(times, samples[n-1].T)
		pieces = append(pieces, piece(lset, id, times, at, to+1, samples[:n]))
		samples = samples[n:]
	}
	p.AddSeries(lset, pieces...)
}

func piece(lset labels.Labels, id part.ColumnID, times []int64, from, to int, samples []column.Sample) part.Piece {
	for _, s := range samples {
		if _, ok := slices.BinarySearch(times[from:to], s.T); !ok {
			panic(fmt.Sprintf("parttest: series %s: %d is no position of column %d", lset, s.T, id))
		}
	}
	c := storage.ChunkOf(times[from:to], samples)
	return part.Piece{Column: id, From: uint32(from), To: uint32(to), Chunk: c}
}

// Damage makes Pieces of one series answer with err beside nothing.
func (p *Part) Damage(lset labels.Labels, err error) { p.damage[lset.String()] = err }

// Name returns the name given to New.
func (p *Part) Name() string { return p.name }

// Range returns the first and last time of any piece; 0 and -1 without one.
func (p *Part) Range() (minTime, maxTime int64) { return p.min, p.max }

// Select asks every matcher about every series.
func (p *Part) Select(ctx context.Context, ms ...*labels.Matcher) ([]part.Ref, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []part.Ref
	for i, e := range p.series {
		matches := func(m *labels.Matcher) bool { return m.Matches(e.labels.Get(m.Name)) }
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !matches(m) }) {
			out = append(out, part.Ref(i))
		}
	}
	return out, nil
}

// Labels overwrites b with the labels of a series.
func (p *Part) Labels(ref part.Ref, b *labels.ScratchBuilder) {
	b.Reset()
	p.series[ref].labels.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
}

// LabelValue returns one label of a series.
func (p *Part) LabelValue(ref part.Ref, name string) string { return p.series[ref].labels.Get(name) }

// Hash returns the canonical hash of a series' labels.
func (p *Part) Hash(ref part.Ref) series.Hash {
	h, _ := series.HashOf(p.series[ref].labels, nil)
	return h
}

// LabelNames returns the sorted names of all labels.
func (p *Part) LabelNames(context.Context) ([]string, error) {
	return p.collect(func(l labels.Label) (string, bool) { return l.Name, true }), nil
}

// LabelValues returns the sorted values of one label.
func (p *Part) LabelValues(_ context.Context, name string) ([]string, error) {
	return p.collect(func(l labels.Label) (string, bool) { return l.Value, l.Name == name }), nil
}

func (p *Part) collect(pick func(labels.Label) (string, bool)) []string {
	var out []string
	for _, e := range p.series {
		e.labels.Range(func(l labels.Label) {
			if s, ok := pick(l); ok {
				out = append(out, s)
			}
		})
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Pieces appends the pieces of a series that overlap [minTime, maxTime].
func (p *Part) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	e := p.series[ref]
	if err := p.damage[e.labels.String()]; err != nil {
		return dst, &part.DamageError{Part: p.name, File: "memory", Err: err}
	}
	for _, piece := range e.pieces {
		times := p.columns[piece.Column]
		if times[piece.From] <= maxTime && times[piece.To-1] >= minTime {
			dst = append(dst, piece)
		}
	}
	return dst, nil
}

// ColumnKey hashes the timestamps.
func (p *Part) ColumnKey(id part.ColumnID) uint64 {
	var b []byte
	for _, t := range p.columns[id] {
		b = binary.LittleEndian.AppendUint64(b, uint64(t))
	}
	return xxhash.Sum64(b)
}

// EstimateSeries counts the positions of the pieces that overlap, and two
// bytes for each.
func (p *Part) EstimateSeries(ref part.Ref, minTime, maxTime int64) (samples, bytes int64) {
	pieces, _ := p.Pieces(ref, minTime, maxTime, nil)
	for _, piece := range pieces {
		samples += int64(piece.To - piece.From)
	}
	return samples, 2 * samples
}
