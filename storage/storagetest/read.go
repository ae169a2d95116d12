package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Sample is one sample; T and Start (0: none) in ms since the Unix epoch.
type Sample = column.Sample

// Series is a label set and its samples in order of time, stale markers
// included with their bits.
type Series struct {
	Labels  labels.Labels
	Samples []Sample
}

// Read selects and returns the samples of every series that has some in the
// selection's range, in label order. It fails when the scan breaks a promise
// of storage.Scan or storage.ColumnBatch. Warnings are errors too unless the
// selection is Partial.
func Read(ctx context.Context, v storage.View, s storage.Selection) ([]Series, error) {
	scan, err := v.Select(ctx, s)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	return ReadScan(ctx, scan, s)
}

// ReadScan is Read for the answer to a selection.
func ReadScan(ctx context.Context, scan storage.Scan, s storage.Selection) ([]Series, error) {
	all := make([]Series, scan.Series())
	for i := range all {
		all[i].Labels = clone(scan.Labels(uint32(i)))
		if i > 0 && labels.Compare(all[i-1].Labels, all[i].Labels) >= 0 {
			return nil, fmt.Errorf("rank %d, %s, does not follow rank %d, %s, in label order", i, all[i].Labels, i-1, all[i-1].Labels)
		}
	}
	seen := make([]bool, len(all))
	var b storage.ColumnBatch
	paths := map[int]path{}
	for n := 0; ; n++ {
		ok, err := scan.Next(ctx, &b)
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		if b.Number != n {
			return nil, fmt.Errorf("batch %d has the number %d", n, b.Number)
		}
		if known, ok := paths[b.Path]; b.Path != 0 && ok && !known.is(&b) {
			return nil, fmt.Errorf("batch %d has other times or tiles than another on path %d", n, b.Path)
		}
		paths[b.Path] = path{slices.Clone(b.Times), slices.Clone(b.Tiles)}
		if err := readBatch(&b, s, all, seen); err != nil {
			return nil, err
		}
	}
	if rank := slices.Index(seen, false); rank >= 0 {
		return nil, fmt.Errorf("rank %d, %s, is in no batch", rank, all[rank].Labels)
	}
	if w := scan.Warnings().AsErrors(); len(w) > 0 && !s.Partial {
		return nil, fmt.Errorf("the scan has warnings: %w", errors.Join(w...))
	}
	return slices.DeleteFunc(all, func(x Series) bool { return len(x.Samples) == 0 }), nil
}

// path is what batches of one path have in common.
type path struct {
	times []int64
	tiles []storage.Tile
}

func (p path) is(b *storage.ColumnBatch) bool {
	return slices.Equal(p.times, b.Times) && slices.Equal(p.tiles, b.Tiles)
}

// ReadAll reads everything that a tenant has.
func ReadAll(ctx context.Context, r storage.Reader, id tenant.ID, ms ...*labels.Matcher) ([]Series, error) {
	v, err := r.View(ctx, id)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return Read(ctx, v, storage.Selection{Matchers: ms, MinTime: -1 << 62, MaxTime: 1 << 62})
}

// readBatch checks a batch and adds its samples in the selection's range.
func readBatch(b *storage.ColumnBatch, s storage.Selection, all []Series, seen []bool) error {
	if err := CheckBatch(b); err != nil {
		return err
	}
	for i, rank := range b.Ranks {
		if int(rank) >= len(all) {
			return fmt.Errorf("a batch has rank %d of %d", rank, len(all))
		}
		if seen[rank] {
			return fmt.Errorf("rank %d, %s, is in two batches", rank, all[rank].Labels)
		}
		seen[rank] = true
		for k, c := range b.Series(i) {
			samples, err := Samples(nil, b.Times[b.Tiles[k].From:b.Tiles[k].To], c)
			if err != nil {
				return fmt.Errorf("rank %d, %s, tile %d: %w", rank, all[rank].Labels, k, err)
			}
			all[rank].Samples = append(all[rank].Samples, between(samples, s.MinTime, s.MaxTime)...)
		}
	}
	return nil
}

// CheckBatch reports the first promise of storage.ColumnBatch that b breaks.
func CheckBatch(b *storage.ColumnBatch) error {
	for i := 1; i < len(b.Times); i++ {
		if b.Times[i] <= b.Times[i-1] {
			return fmt.Errorf("time %d at position %d follows %d", b.Times[i], i, b.Times[i-1])
		}
	}
	end := 0
	for i, t := range b.Tiles {
		if t.From != end || t.To <= t.From || t.Len() > column.TilePositions {
			return fmt.Errorf("tile %d is [%d, %d) after the end %d of the one before", i, t.From, t.To, end)
		}
		end = t.To
	}
	if end != len(b.Times) {
		return fmt.Errorf("the tiles end at %d, the times at %d", end, len(b.Times))
	}
	if len(b.Ranks) == 0 {
		return errors.New("the batch has no series")
	}
	if len(b.Chunks) != len(b.Ranks)*len(b.Tiles) {
		return fmt.Errorf("%d series on %d tiles have %d chunks", len(b.Ranks), len(b.Tiles), len(b.Chunks))
	}
	return nil
}

// Samples appends to dst the samples of one chunk on its tile's times.
func Samples(dst []Sample, times []int64, c storage.Chunk) ([]Sample, error) {
	if c.Kind == storage.None {
		return dst, nil
	}
	if err := column.ValidateRuns(c.Runs, len(times)); err != nil {
		return dst, err
	}
	var values storage.Values
	if err := values.Decode(&c, len(times)); err != nil {
		return dst, err
	}
	for _, h := range values.Histograms {
		if h.IsStale() {
			return dst, errors.New("a stale histogram among the present positions")
		}
	}
	return values.AppendSamples(dst, times, c.Runs), nil
}

// Diff describes the first difference between two results in label order, ""
// when they are the same bit for bit.
func Diff(want, got []Series) string {
	for i := range min(len(want), len(got)) {
		w, g := want[i], got[i]
		if c := labels.Compare(w.Labels, g.Labels); c < 0 {
			return fmt.Sprintf("series %s with %d samples is missing", w.Labels, len(w.Samples))
		} else if c > 0 {
			return fmt.Sprintf("series %s with %d samples should not be there", g.Labels, len(g.Samples))
		}
		if d := diffSamples(w.Samples, g.Samples); d != "" {
			return fmt.Sprintf("series %s: %s", w.Labels, d)
		}
	}
	switch {
	case len(want) > len(got):
		return fmt.Sprintf("series %s with %d samples is missing", want[len(got)].Labels, len(want[len(got)].Samples))
	case len(got) > len(want):
		return fmt.Sprintf("series %s with %d samples should not be there", got[len(want)].Labels, len(got[len(want)].Samples))
	}
	return ""
}

func diffSamples(want, got []Sample) string {
	for i := range min(len(want), len(got)) {
		w, g := want[i], got[i]
		if w.T != g.T || !w.SameValue(g) || w.Start != g.Start {
			return fmt.Sprintf("sample %d of %d is %s, want %s of %d", i, len(got), describe(g), describe(w), len(want))
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("%d samples, want %d", len(got), len(want))
	}
	return ""
}

func describe(s Sample) string {
	v := fmt.Sprint(s.V)
	if s.H.Int != nil {
		v = s.H.Int.String()
	} else if s.H.Float != nil {
		v = s.H.Float.String()
	}
	return fmt.Sprintf("{%s at %d from %d}", v, s.T, s.Start)
}
