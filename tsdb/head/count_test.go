package head_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/head"
)

// compareCounts compares counts with a look at every series.
func compareCounts(t *testing.T, c chance, h *head.Head, w world) {
	t.Helper()
	possible := []labels.Label{
		{Name: "__name__", Value: c.one("m0", "m3", "none")}, {Name: "instance", Value: c.one("host-1", "host-2", "host-9")},
		{Name: "a", Value: c.one("a0", "a1")}, {Name: "job", Value: "job"},
	}
	c.Shuffle(len(possible), func(i, j int) { possible[i], possible[j] = possible[j], possible[i] })
	ls := possible[:1+c.IntN(3)]
	n, values := 0, map[string][]string{"k": {}, "zone": {}, "a": {}}
	for _, k := range w {
		if slices.ContainsFunc(ls, func(l labels.Label) bool { return k.lset.Get(l.Name) != l.Value }) {
			continue
		}
		n++
		for name := range values {
			if v := k.lset.Get(name); v != "" {
				values[name] = append(values[name], v)
			}
		}
	}
	if got := h.Count(1<<40, ls...); got != n {
		t.Fatalf("%v: %d series, want %d", ls, got, n)
	}
	if most := n / 2; h.Count(most, ls...) != most {
		t.Fatalf("%v: %d series, want no more than %d", ls, h.Count(most, ls...), most)
	}
	for name, want := range values {
		var got []string
		h.EachValue(name, func(v string) { got = append(got, v) }, ls...)
		slices.Sort(got)
		slices.Sort(want)
		if got, want = slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
			t.Fatalf("%v: the values of %s are %q, want %q", ls, name, got, want)
		}
	}
}

// compareCensus compares a census with a look at every series.
func compareCensus(t *testing.T, h *head.Head, w world) {
	t.Helper()
	c, err := h.Census(t.Context(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]uint64{"metrics": {}, "labels": {}, "pairs": {}, "jobs": {}, "targets": {}}
	for _, k := range w {
		want["metrics"][k.lset.Get("__name__")]++
		want["jobs"][k.lset.Get("job")]++
		want["targets"][k.lset.Get("job")+"/"+k.lset.Get("instance")]++
		k.lset.Range(func(l labels.Label) {
			want["labels"][l.Name]++
			want["pairs"][l.Name+"="+l.Value]++
		})
	}
	if c.Series != uint64(len(w)) || c.LabelPairs != uint64(len(want["pairs"])) || c.Newest != h.NewestSeries() {
		t.Fatalf("%d series with %d labels, want %d with %d", c.Series, c.LabelPairs, len(w), len(want["pairs"]))
	}
	for kind, list := range map[string][]storage.Cardinal{"metrics": c.Metrics, "labels": c.Labels, "pairs": c.Pairs, "jobs": c.Jobs, "targets": c.Targets} {
		got := map[string]uint64{}
		for _, x := range list {
			got[x.Name] = x.Series
			if x.New != x.Series {
				t.Errorf("%s: %s has %d new series of %d, since none", kind, x.Name, x.New, x.Series)
			}
		}
		if !maps.Equal(got, want[kind]) {
			t.Fatalf("%s: %v, want %v", kind, got, want[kind])
		}
	}
	values := map[string]uint64{}
	for _, x := range c.ValuesOf {
		values[x.Name] = x.Series
	}
	for name := range want["labels"] {
		if n := uint64(len(w.values(name))); values[name] != n {
			t.Fatalf("%s has %d values, want %d", name, values[name], n)
		}
	}
	few, err := h.Census(t.Context(), c.Newest, 1)
	if err != nil || len(few.Pairs) > 3 || len(few.Pairs) == 0 && len(w) > 0 {
		t.Fatalf("%d of the largest labels, %v", len(few.Pairs), err)
	}
	for _, x := range few.Metrics {
		if x.New != 0 {
			t.Errorf("%s has %d series newer than the newest", x.Name, x.New)
		}
	}
}
