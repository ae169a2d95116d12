package storagetest

import (
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// integer and float make the values of histogram samples.
func integer(h *histogram.Histogram) storage.Histogram    { return storage.Histogram{Int: h} }
func float(h *histogram.FloatHistogram) storage.Histogram { return storage.Histogram{Float: h} }

func withReset(h storage.Histogram) storage.Histogram {
	h.Int.CounterResetHint = histogram.CounterReset
	return h
}

// histograms are values of every kind: what clients send, and what is easily
// lost on the way.
func histograms() []storage.Histogram {
	nan := math.Float64frombits(0x7ff8000000001234)
	return []storage.Histogram{
		IntHistogram(3),
		withReset(IntHistogram(3)),
		IntHistogram(4),
		GaugeHistogram(1),
		CustomHistogram(7),
		FloatHistogram(3),
		float(CustomHistogram(3).Int.ToFloat(nil)),
		float(GaugeHistogram(2).Int.ToFloat(nil)),
		integer(&histogram.Histogram{Schema: 3}),
		integer(&histogram.Histogram{Schema: -4, Sum: nan, Count: math.MaxUint64, ZeroThreshold: 5e-324}),
		integer(&histogram.Histogram{
			Count: 9, Sum: math.Copysign(0, -1), ZeroCount: 1,
			PositiveSpans:   []histogram.Span{{Offset: -3, Length: 1}, {Offset: 0, Length: 1}, {Offset: 2, Length: 0}, {Offset: 9, Length: 1}},
			PositiveBuckets: []int64{4, -3, 2},
		}),
		float(&histogram.FloatHistogram{Count: 0.1 + 0.2, Sum: math.Inf(-1), PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []float64{0.1, 0.2}}),
		integer(histogram.GenerateBigTestHistograms(1, 700)[0]),
	}
}

// point is one entry of a batch of any type.
type point struct {
	value
	h     storage.Histogram // zero: the value counts
	start int64
}

// points is batch for entries of any type.
func (w *writer) points(time int64, points ...point) *storage.Batch {
	w.Helper()
	var floats []value
	var names []string
	for _, p := range points {
		if names = append(names, p.name); p.h.IsZero() {
			floats = append(floats, p.value)
		}
	}
	w.resolve(names...)
	b := w.batch(time, floats...)
	starts := false
	for _, p := range points {
		if !p.h.IsZero() {
			b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: w.slots[p.name], Histogram: p.h, Start: p.start})
			continue
		}
		b.Starts = append(b.Starts, p.start)
		starts = starts || p.start != 0
	}
	if !starts {
		b.Starts = nil
	}
	return b
}

// histogram appends a batch of one histogram and some floats.
func (w *writer) histogram(time int64, name string, h storage.Histogram, values ...value) storage.Result {
	w.Helper()
	b := w.batch(time, values...)
	if _, ok := w.slots[name]; !ok {
		w.resolve(name)
		b.Version = w.version
	}
	b.Histograms = []storage.HistogramSample{{Slot: w.slots[name], Histogram: h}}
	return w.append(b)
}

// stored is histogram, which must be taken.
func (w *writer) stored(time int64, name string, h storage.Histogram, values ...value) {
	w.Helper()
	if res := w.histogram(time, name, h, values...); len(res.Rejected) > 0 {
		w.Fatalf("append at %d: rejected %+v", time, res.Rejected)
	}
}

func histogramCases(refused bool) []testCase {
	if refused {
		return []testCase{{"histograms are refused alone", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			e.rejection(w.histogram(e.at(0), "h", IntHistogram(1), value{"a", 1}), 1, storage.ReasonUnsupported)
			e.want(named("a", Sample{T: e.at(0), V: 1}))
		}}}
	}
	roundTrip := func(kind storage.GroupKind) func(e *env) {
		return func(e *env) {
			w := e.open(kind, "writer")
			var want []Series
			for i := range histograms() {
				want = append(want, named(fmt.Sprintf("constant_%02d", i)))
			}
			all, mixed := histograms(), named("mixed")
			w.write(e.at(-15), value{"clock", -1})
			clock := named("clock", Sample{T: e.at(-15), V: -1})
			for i := range int64(3 * len(all)) {
				t := e.at(15 * i)
				b := w.batch(t, value{"clock", float64(i)})
				clock.Samples = append(clock.Samples, Sample{T: t, V: float64(i)})
				for k, h := range all {
					name := fmt.Sprintf("constant_%02d", k)
					if _, ok := w.slots[name]; !ok {
						w.resolve(name)
					}
					b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: w.slots[name], Histogram: h})
					want[k].Samples = append(want[k].Samples, Sample{T: t, H: h})
				}
				if _, ok := w.slots["mixed"]; !ok {
					w.resolve("mixed")
				}
				if h := all[i%int64(len(all))]; i%5 == 3 {
					b.Slots, b.Values = append(b.Slots, w.slots["mixed"]), append(b.Values, float64(i))
					mixed.Samples = append(mixed.Samples, Sample{T: t, V: float64(i)})
				} else {
					b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: w.slots["mixed"], Histogram: h, Start: e.at(-i)})
					mixed.Samples = append(mixed.Samples, Sample{T: t, H: h, Start: e.at(-i)})
				}
				b.Version = w.version
				if res := w.append(b); len(res.Rejected) > 0 {
					e.Fatalf("rejected %+v", res.Rejected)
				}
			}
			e.want(append([]Series{clock}, append(want, mixed)...)...)
		}
	}
	return []testCase{
		{"histograms survive in a closed group", roundTrip(storage.Closed)},
		{"histograms survive in an open group", roundTrip(storage.Open)},
		{"a histogram that is not mentioned continues in a closed group", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			h := IntHistogram(3)
			w.stored(e.at(0), "h", h, value{"a", 1})
			w.write(e.at(15), value{"a", 2})
			w.stored(e.at(30), "h", FloatHistogram(1))
			w.write(e.at(45), value{"h", 5})
			w.write(e.at(60), value{"a", 3})
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 2}, Sample{T: e.at(30), V: 2}, Sample{T: e.at(45), V: 2}, Sample{T: e.at(60), V: 3}),
				named("h", Sample{T: e.at(0), H: h}, Sample{T: e.at(15), H: h},
					Sample{T: e.at(30), H: FloatHistogram(1)}, Sample{T: e.at(45), V: 5}, Sample{T: e.at(60), V: 5}))
		}},
		{"a histogram's stale marker ends its series", func(e *env) {
			for _, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
				name := fmt.Sprint("h", kind)
				w := e.open(kind, name)
				h := IntHistogram(3)
				w.stored(e.at(0), name, h)
				w.stored(e.at(15), name, integer(&histogram.Histogram{Sum: column.StaleNaN()}), value{"x" + name, 1})
				w.write(e.at(30), value{"x" + name, 2})
			}
			series := func(name string) Series {
				return named(name, Sample{T: e.at(0), H: IntHistogram(3)}, Sample{T: e.at(15), V: column.StaleNaN()})
			}
			x := func(name string) Series {
				return named(name, Sample{T: e.at(15), V: 1}, Sample{T: e.at(30), V: 2})
			}
			e.want(series("h1"), series("h2"), x("xh1"), x("xh2"))
		}},
		{"a stale body ends histograms", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			h := IntHistogram(3)
			w.stored(e.at(0), "h", h, value{"a", 1})
			b := w.batch(e.at(15), value{"up", 0})
			b.BodyStale = true
			w.append(b)
			w.write(e.at(30), value{"up", 1})
			stale := Sample{T: e.at(15), V: column.StaleNaN()}
			e.want(named("a", Sample{T: e.at(0), V: 1}, stale), named("h", Sample{T: e.at(0), H: h}, stale),
				named("up", Sample{T: e.at(15), V: 0}, Sample{T: e.at(30), V: 1}))
		}},
		{"a histogram's repeat is success, another value a conflict", func(e *env) {
			for _, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
				name := fmt.Sprint("h", kind)
				w := e.open(kind, name)
				h := IntHistogram(3).Int
				w.stored(e.at(0), name, integer(h))
				if res := w.histogram(e.at(0), name, integer(h.Copy())); res.Appended != 0 || len(res.Rejected) > 0 {
					e.Fatalf("a repeat has the result %+v", res)
				}
				e.rejection(w.histogram(e.at(0), name, float(h.ToFloat(nil))), 0, storage.ReasonConflict)
				other := h.Copy()
				other.Sum += 1
				e.rejection(w.histogram(e.at(0), name, integer(other)), 0, storage.ReasonConflict)
				e.rejection(w.append(w.batch(e.at(0), value{name, 1})), 0, storage.ReasonConflict)
			}
			h := Sample{T: e.at(0), H: IntHistogram(3)}
			e.want(named("h1", h), named("h2", h))
		}},
		{"a histogram that contradicts itself is refused alone", func(e *env) {
			w := e.open(storage.Open, "push")
			bad := IntHistogram(3).Int
			bad.PositiveBuckets = bad.PositiveBuckets[1:]
			e.rejection(w.histogram(e.at(0), "h", integer(bad), value{"a", 1}), 1, storage.ReasonInvalidHistogram)
			e.rejection(w.histogram(e.at(15), "h", storage.Histogram{}, value{"a", 1}), 1, storage.ReasonInvalidHistogram)
			e.want(named("a", Sample{T: e.at(0), V: 1}, Sample{T: e.at(15), V: 1}))
		}},
		{"the writer may change a histogram after its commit", func(e *env) {
			w := e.open(storage.Closed, "scrape")
			h := IntHistogram(3).Int
			w.stored(e.at(0), "h", integer(h))
			h.Sum, h.PositiveSpans[0].Length, h.PositiveBuckets[0] = 1, 1, 7
			w.write(e.at(15), value{"a", 1})
			same := IntHistogram(3)
			e.want(named("a", Sample{T: e.at(15), V: 1}), named("h", Sample{T: e.at(0), H: same}, Sample{T: e.at(15), H: same}))
		}},
		{"a deletion hides histograms", func(e *env) {
			w := e.open(storage.Open, "push")
			h := IntHistogram(3)
			for i := range int64(4) {
				w.stored(e.at(15*i), "h", h)
			}
			if err := e.store.Delete(e.ctx, tenant.Default, e.at(15), e.at(30)); errors.Is(err, storage.ErrUnsupported) {
				return
			} else if err != nil {
				e.Fatal(err)
			}
			e.disturb()
			e.want(named("h", Sample{T: e.at(0), H: h}, Sample{T: e.at(45), H: h}))
		}},
	}
}
