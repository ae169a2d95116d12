package storagetest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// changeCases check Changed against what is read.
func changeCases() []testCase {
	return []testCase{
		{"a new sample is a change to its time and to none much later", func(e *env) {
			w := e.open(storage.Open, "push")
			w.write(e.at(0), value{"x", 1})
			before, _ := e.store.Changed(tenant.Default, 0, math.MinInt64)
			if now, from := e.store.Changed(tenant.Default, before, math.MinInt64); now != before || from != math.MaxInt64 {
				e.Errorf("without a change: number %d after %d, from %d", now, before, from)
			}
			w.write(e.at(1000), value{"x", 2})
			if now, from := e.store.Changed(tenant.Default, before, e.at(0)); now <= before || from > e.at(1000) || from <= e.at(0) {
				e.Errorf("after a sample at %d: number %d after %d, from %d", e.at(1000), now, before, from)
			}
			if _, from := e.store.Changed(tenant.Default, before, e.at(2000)); from != math.MaxInt64 {
				e.Errorf("after a sample at %d: from %d, though asked from %d on", e.at(1000), from, e.at(2000))
			}
			if _, from := e.store.Changed(tenant.Default, 0, e.at(0)); from != e.at(0) {
				e.Errorf("since the beginning: from %d, want %d", from, e.at(0))
			}
			if now, from := e.store.Changed("nobody", 0, math.MinInt64); now != 0 || from != math.MaxInt64 {
				e.Errorf("of a tenant without samples: number %d, from %d", now, from)
			}
		}},
		{"every difference between two reads is a change", func(e *env) {
			rng := rand.New(rand.NewPCG(7, 11))
			writers := []*writer{e.open(storage.Open, "push"), e.open(storage.Closed, "scrape")}
			var kept []remembered
			for step := range 60 {
				kept = append(kept, e.remember())
				at := e.at(int64(20*step) + rng.Int64N(15))
				switch k := rng.IntN(10); {
				case k == 0:
					from := e.at(int64(20*step) - 600)
					e.delete(tenant.Default, from, from+rng.Int64N(300_000), isNamed("y"))
				case k < 4: // it may be refused as late
					writers[0].append(writers[0].batch(at-rng.Int64N(400_000), value{"y", float64(step)}))
				default:
					writers[k%2].append(writers[k%2].batch(at, value{[]string{"y", "z"}[k%2], float64(step)}, value{[]string{"a", "b"}[k%2], 1}))
				}
				after := e.remember()
				for _, k := range kept {
					e.checkChanges(k, after)
				}
			}
		}},
	}
}

// remembered is what a store had when a change was its last.
type remembered struct {
	number uint64
	all    []Series
}

func (e *env) remember() remembered {
	e.Helper()
	number, _ := e.store.Changed(tenant.Default, 0, math.MinInt64)
	all, err := ReadAll(e.ctx, e.store, tenant.Default)
	if err != nil {
		e.Fatal(err)
	}
	return remembered{number, all}
}

// checkChanges compares what Changed says with all times that differ.
func (e *env) checkChanges(before, after remembered) {
	e.Helper()
	differ := differences(before.all, after.all)
	mints := append(slices.Clone(differ), math.MinInt64, e.h.Base)
	for _, mint := range mints {
		want := int64(math.MaxInt64)
		for _, t := range differ {
			if t >= mint {
				want = min(want, t)
			}
		}
		if _, from := e.store.Changed(tenant.Default, before.number, mint); from > want || from < mint {
			e.Fatalf("since change %d, from %d on: changed from %d on, but at %d there is a difference", before.number, mint, from, want)
		}
	}
}

// differences are the times at which two states differ, sorted.
func differences(a, b []Series) []int64 {
	type place struct {
		series string
		t      int64
	}
	have := map[place]Sample{}
	for _, s := range a {
		for _, x := range s.Samples {
			have[place{s.Labels.String(), x.T}] = x
		}
	}
	var out []int64
	for _, s := range b {
		for _, x := range s.Samples {
			p := place{s.Labels.String(), x.T}
			if old, ok := have[p]; !ok || !old.SameValue(x) {
				out = append(out, x.T)
			}
			delete(have, p)
		}
	}
	for p := range have {
		out = append(out, p.t)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
