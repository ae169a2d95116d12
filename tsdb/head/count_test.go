package head_test

import (
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

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
