package tsdb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestTimestampsOfTheirOwn: series of one source that each have timestamps of
// their own cost little more than those that share them, and are all there.
func TestTimestampsOfTheirOwn(t *testing.T) {
	const series, rounds = 60, 100
	size := map[bool]float64{}
	for _, own := range []bool{false, true} {
		db := mustStart(t, mem.New(), tsdb.Options{Retention: -1}, tsdb.Deps{})
		g, err := db.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "scrape"))
		if err != nil {
			t.Fatal(err)
		}
		var lsets []labels.Labels
		for i := range series {
			lsets = append(lsets, storagetest.Named(fmt.Sprint("m", i)))
		}
		out := make([]storage.Resolution, series)
		version, err := g.Resolve(t.Context(), lsets, out)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]storagetest.Series, series)
		add := func(b storage.Batch, members ...int) {
			b.Version = version
			for _, i := range members {
				v := float64(b.Time % 1000 * int64(i))
				b.Slots, b.Values = append(b.Slots, out[i].Slot), append(b.Values, v)
				want[i].Labels = lsets[i]
				want[i].Samples = append(want[i].Samples, storagetest.Sample{T: b.Time, V: v})
			}
			res, err := g.Append(t.Context(), &b, storage.Logged)
			if err != nil || res.Appended != len(members) {
				t.Fatalf("%+v, %v", res, err)
			}
		}
		all := make([]int, series)
		for i := range all {
			all[i] = i
		}
		for k := range int64(rounds) {
			for i := range all {
				if own {
					add(storage.Batch{Time: at(15*k) + int64(i*i)}, i)
				}
			}
			if !own {
				add(storage.Batch{Time: at(15 * k)}, all...)
			}
		}
		add(storage.Batch{Time: at(4 * 3600)}, 0) // the span is over
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := db.Stats()
		size[own] = float64(s.BlockBytes) / float64(s.BlockSamples)
		got, err := storagetest.ReadAll(t.Context(), db, tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(want, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
		if diff := storagetest.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
	t.Logf("%.2f and %.2f bytes a sample", size[false], size[true])
	if size[true] > size[false]+1 {
		t.Errorf("%.2f bytes a sample with shared timestamps, %.2f with those of their own", size[false], size[true])
	}
}
