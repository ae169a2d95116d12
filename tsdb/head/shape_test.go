package head_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// aliases is a Shaper that stores every new series with an n as n="0", where
// others may have the same labels, and else refuses it.
type aliases struct{ admitted []string }

func (a *aliases) Admit(_ tenant.ID, _ series.Key, lset labels.Labels) storage.Reason {
	a.admitted = append(a.admitted, lset.String())
	return storage.ReasonNone
}

func (a *aliases) Shape(_ tenant.ID, _ series.Key, lset labels.Labels, o storage.Offer) (labels.Labels, bool, storage.Reason) {
	if n := lset.Get("n"); n == "" || n == "0" {
		return lset, false, storage.ReasonNone
	}
	if !o.Merges {
		return lset, false, storage.ReasonCardinality
	}
	return labels.NewBuilder(lset).Set("n", "0").Labels(), true, storage.ReasonNone
}

// TestShapedSeries: label sets that were given the labels of one series have its
// slot, which is admitted once.
func TestShapedSeries(t *testing.T) {
	door := &aliases{}
	s, err := openAll(mem.New(), door, head.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	with := func(n string) labels.Labels { return labels.FromStrings("__name__", "m", "n", n) }
	lsets := []labels.Labels{with("1"), with("2"), with("0"), labels.FromStrings("__name__", "other")}
	for _, merges := range []bool{true, false} {
		spec := storagetest.Spec(storage.Closed, "scrape")
		spec.Merges = merges
		g, err := s.OpenGroup(t.Context(), tenant.Default, spec)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			out := make([]storage.Resolution, len(lsets))
			version, err := g.Resolve(t.Context(), lsets, out)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if merges && (!out[i].Merged || out[i].Slot != out[2].Slot) || !merges && out[i].Reason != storage.ReasonCardinality {
					t.Fatalf("merges %t, round %d: %s has %+v, %s has %+v", merges, round, lsets[i], out[i], lsets[2], out[2])
				}
			}
			if out[3].Merged || out[3].Reason != storage.ReasonNone {
				t.Fatalf("%s has %+v", lsets[3], out[3])
			}
			b := &storage.Batch{Time: origin + int64(round+1)*1000, Version: version, Slots: []storage.Slot{out[2].Slot, out[3].Slot}, Values: []float64{1, 2}}
			if !merges {
				b.Time += 10_000
			}
			if _, err := g.Append(t.Context(), b, storage.Logged); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(door.admitted) != 2 || s.Head(tenant.Default).Series() != 2 {
		t.Errorf("admitted %q; %d series", door.admitted, s.Head(tenant.Default).Series())
	}
}
