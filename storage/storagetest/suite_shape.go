package storagetest

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// shaper is a Shaper that stores what is called many_… as one series, many, and
// refuses what is called banned_… and, where nobody merges, many_…, too. It
// remembers what it was asked: shapes and admissions, by name.
type shaper struct {
	asked
	shaped []string
	// pending are the names that were let in and not committed, at the last call.
	pending []string
	as      string // the name of the series that stands for many
	spoilt  bool   // the labels that it was given are not as they should be
}

// many is the name of that series, unless represent gives it another.
const many = "many"

func (s *shaper) Shape(_ tenant.ID, key series.Key, lset labels.Labels, o storage.Offer) (labels.Labels, bool, storage.Reason) {
	name := strings.Clone(lset.Get(model.MetricNameLabel))
	s.mu.Lock()
	s.shaped = append(s.shaped, name)
	s.pending = nil
	for pending := range o.Pending {
		s.pending = append(s.pending, strings.Clone(pending.Get(model.MetricNameLabel)))
	}
	if want, _ := series.KeyOf(lset, nil); want != key || !labels.Equal(lset, Named(name)) {
		s.spoilt = true
	}
	as := s.as
	s.mu.Unlock()
	switch {
	case strings.HasPrefix(name, "banned_"), strings.HasPrefix(name, many+"_") && !o.Merges:
		return lset, false, storage.ReasonCardinality
	case strings.HasPrefix(name, many+"_"):
		return Named(as), true, storage.ReasonNone
	}
	return lset, false, storage.ReasonNone
}

// represent names the series that stands for many.
func (s *shaper) represent(as string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.as = as
}

// takeShaped returns what Shape was asked since the last call.
func (s *shaper) takeShaped() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.shaped
	s.shaped = nil
	return out
}

// shaping opens a store behind a shaper of its own.
func (e *env) shaping() *shaper {
	s := &shaper{as: many}
	e.store = e.h.Open(e.T, s)
	e.Cleanup(func() {
		if s.spoilt {
			e.Error("Shape was given labels or a key that are not the series'")
		}
	})
	return s
}

// ask resolves names in one call and leaves the writer's slots alone.
func (w *writer) ask(names ...string) []storage.Resolution {
	w.Helper()
	lsets := make([]labels.Labels, len(names))
	for i, name := range names {
		lsets[i] = Named(name)
	}
	out := make([]storage.Resolution, len(names))
	version, err := w.g.Resolve(w.ctx, lsets, out)
	if err != nil {
		w.Fatal(err)
	}
	w.version = version
	return out
}

// merging is a closed group whose writer merges samples.
func (e *env) merging() *writer {
	e.Helper()
	spec := Spec(storage.Closed, "scrape")
	spec.Merges = true
	return e.openSpec(spec)
}

// shapeCases are about series that are given other labels, or none.
func shapeCases() []testCase {
	is := func(e *env, what string, got []string, want ...string) {
		e.Helper()
		if !slices.Equal(got, want) {
			e.Errorf("%s was asked for %q, want %q", what, got, want)
		}
	}
	return []testCase{
		{"label sets that were given one series have its slot", func(e *env) {
			s := e.shaping()
			w := e.merging()
			for round := range 3 {
				out := w.ask("many_a", "x", "many_b", many)
				if !out[0].Merged || !out[2].Merged || out[0].Slot != out[2].Slot || out[3].Slot != out[0].Slot {
					e.Fatalf("round %d: many_a, many_b and many have %+v", round, out)
				}
				if out[3].Merged || out[1].Merged || out[1].Slot == out[0].Slot || out[1].Reason != storage.ReasonNone {
					e.Fatalf("round %d: x and many have %+v", round, out)
				}
				w.append(&storage.Batch{Time: e.at(int64(round)), Version: w.version, Slots: []storage.Slot{out[0].Slot, out[1].Slot}, Values: []float64{float64(round), 7}})
				// Known label sets are never asked about, others each time.
				if want := []string{"many_a", "x", "many_b"}; round == 0 {
					is(e, "Shape", s.takeShaped(), want...)
					is(e, "Admit", s.take(), many, "x")
				} else {
					is(e, "Shape", s.takeShaped(), "many_a", "many_b")
					is(e, "Admit", s.take())
				}
			}
			e.want(named(many, Sample{T: e.at(0), V: 0}, Sample{T: e.at(1), V: 1}, Sample{T: e.at(2), V: 2}),
				named("x", Sample{T: e.at(0), V: 7}, Sample{T: e.at(1), V: 7}, Sample{T: e.at(2), V: 7}))
		}},
		{"what was let in and has no sample yet is told, the newest first", func(e *env) {
			s := e.shaping()
			w := e.merging()
			out := w.ask("many_a", "x", "many_b", "banned_a", "y", "z")
			is(e, "pending", s.pending, "y", "x", many)
			w.append(&storage.Batch{Time: e.at(0), Version: w.version, Slots: []storage.Slot{out[1].Slot, out[4].Slot}, Values: []float64{7, 7}})
			w.ask("x", "last")
			if slices.Contains(s.pending, "x") || slices.Contains(s.pending, "y") {
				e.Errorf("pending is %q after x and y were committed", s.pending)
			}
		}},
		{"what is refused instead of shaped has no slot, and is not admitted", func(e *env) {
			s := e.shaping()
			for _, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
				w := e.open(kind, "no merging")
				out := w.ask("banned_a", "x", "many_a")
				none := storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonCardinality}
				if out[0] != none || out[2] != none || out[1].Reason != storage.ReasonNone {
					e.Errorf("%+v", out)
				}
				is(e, "Shape", s.takeShaped(), "banned_a", "x", "many_a")
				is(e, "Admit", s.take(), "x")
				if err := w.g.Close(); err != nil {
					e.Fatal(err)
				}
			}
			e.want()
		}},
		{"the series that labels are given keeps the admitter's limits", func(e *env) {
			s := e.shaping()
			w := e.merging()
			s.represent("refused")
			none := storage.Resolution{Slot: storage.NoSlot, Reason: storage.ReasonSeriesLimit}
			for range 2 {
				out := w.ask("many_a", "many_b")
				none.Merged = out[0].Merged // says nothing of what has no slot
				if out[0] != none || out[1] != none {
					e.Errorf("%+v", out)
				}
				is(e, "Admit", s.take(), "refused", "refused")
			}
			s.represent(many)
			if out := w.ask("many_a", "many_b"); out[0].Slot != out[1].Slot || !out[0].Merged {
				e.Errorf("admitted: %+v", out)
			}
			is(e, "Admit", s.take(), many)
		}},
		{"a shaped series that was never written is forgotten", func(e *env) {
			s := e.shaping()
			w := e.merging()
			w.ask("many_a", "x")
			s.take()
			if err := w.g.Close(); err != nil {
				e.Fatal(err)
			}
			w = e.merging()
			out := w.ask("many_b", "x")
			is(e, "Admit", s.take(), many, "x")
			w.append(&storage.Batch{Time: e.at(0), Version: w.version, Slots: []storage.Slot{out[0].Slot}, Values: []float64{3}})
			e.want(named(many, Sample{T: e.at(0), V: 3}))
		}},
		{"another group's label sets may be given the same series", func(e *env) {
			s := e.shaping()
			w := e.merging()
			out := w.ask("many_a")
			w.append(&storage.Batch{Time: e.at(0), Version: w.version, Slots: []storage.Slot{out[0].Slot}, Values: []float64{1}})
			s.take()
			spec := Spec(storage.Closed, "another scrape")
			spec.Merges = true
			v := e.openSpec(spec)
			out = v.ask("many_z")
			if !out[0].Merged {
				e.Errorf("%+v", out)
			}
			is(e, "Admit", s.take())
			v.append(&storage.Batch{Time: e.at(1), Version: v.version, Slots: []storage.Slot{out[0].Slot}, Values: []float64{2}})
			e.want(named(many, Sample{T: e.at(0), V: 1}, Sample{T: e.at(1), V: 2}))
		}},
	}
}
