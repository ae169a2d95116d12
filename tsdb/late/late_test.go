package late_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

const spanMs = 1000

func named(i int) labels.Labels {
	return labels.FromStrings("__name__", fmt.Sprint("m", i%7), "i", fmt.Sprint(i))
}

// fact is one sample of the model.
type fact struct {
	series int
	column.Sample
	seq, commit uint64
}

// model is the buffer as a list.
type model struct {
	b      *late.Buffer
	facts  []fact
	commit uint64
	seq    uint64
}

// sampleOf is x as a buffer takes it.
func sampleOf(x column.Sample) late.Sample {
	s := late.Sample{Time: x.T, Start: x.Start}
	if x.H.IsZero() {
		s.Bits = math.Float64bits(x.V)
	} else {
		s.Histogram = record.AppendHistogram(nil, column.Histogram{}, x.H)
	}
	return s
}

// add adds a sample of a commit that is not published yet.
func (m *model) add(t *testing.T, n int, x column.Sample) storage.Reason {
	t.Helper()
	hash, _ := series.HashOf(named(n), nil)
	own := sampleOf(x)
	seq, reason := m.b.Add(m.b.Series(hash, named(n)), own, 0)
	clear(own.Histogram) // it is not kept
	i := slices.IndexFunc(m.facts, func(f fact) bool { return f.series == n && f.T == x.T })
	switch {
	case i < 0 && reason == storage.ReasonNone && seq == m.seq+1:
		m.seq++
		m.facts = append(m.facts, fact{n, x, seq, m.commit + 1})
	case i >= 0 && m.facts[i].SameValue(x) && reason == storage.ReasonNone && seq == 0:
	case i >= 0 && !m.facts[i].SameValue(x) && reason == storage.ReasonConflict:
	default:
		t.Fatalf("series %d: %+v: sequence %d, %s; the model has %d samples, next is %d", n, x, seq, reason, len(m.facts), m.seq+1)
	}
	return reason
}

// drawn is a sample of any type.
func drawn(rng *rand.Rand, at int64) column.Sample {
	x := column.Sample{T: at, V: float64(rng.IntN(4))}
	switch k := int64(rng.IntN(3)); rng.IntN(9) {
	case 0:
		return column.Sample{T: at, V: column.StaleNaN()}
	case 1:
		x.V, x.H = 0, storagetest.IntHistogram(k)
	case 2:
		x.V, x.H = 0, storagetest.FloatHistogram(k)
	case 3:
		x.V, x.H = 0, storagetest.CustomHistogram(k)
	}
	if rng.IntN(3) == 0 {
		x.Start = at - rng.Int64N(spanMs) - 1
	}
	return x
}

func (m *model) publish(segment uint64) {
	m.commit++
	m.b.Publish(m.commit, segment, 0)
}

// want compares a part with what the model says that it shows.
func want(t *testing.T, p part.Part, facts []fact, shows func(fact) bool) {
	t.Helper()
	bySeries := map[int][]column.Sample{}
	for _, f := range facts {
		if shows(f) {
			bySeries[f.series] = append(bySeries[f.series], f.Sample)
		}
	}
	var expected []parttest.Series
	for n, samples := range bySeries {
		slices.SortFunc(samples, func(a, b column.Sample) int { return cmp.Compare(a.T, b.T) })
		expected = append(expected, parttest.Series{Labels: named(n), Samples: samples})
	}
	slices.SortFunc(expected, func(a, b parttest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	got, err := parttest.Read(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if d := parttest.Diff(got, expected); d != "" {
		t.Fatal(d)
	}
}

// TestAgainstAList draws histories of commits, undone ones included, of marks
// and drops, and compares old and new parts with a list (I2, I3).
func TestAgainstAList(t *testing.T) {
	for seed := range uint64(15) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := &model{b: late.New(late.Options{SpanMs: spanMs})}
		var marks late.Marks
		type taken struct {
			p      *late.Part
			commit uint64
			marks  late.Marks
		}
		var parts []taken
		seriesMax, timeMax := 1+rng.IntN(20), 1+rng.Int64N(5*spanMs)
		for round := range 60 {
			m.b.Begin()
			next := m.b.Next()
			for range rng.IntN(80) {
				m.add(t, rng.IntN(seriesMax), drawn(rng, rng.Int64N(timeMax)-spanMs))
			}
			if rng.IntN(6) == 0 {
				m.b.Undo(next)
				m.seq = next - 1
				m.facts = slices.DeleteFunc(m.facts, func(f fact) bool { return f.seq >= next })
				continue
			}
			m.publish(uint64(round))
			parts = append(parts, taken{m.b.Part(m.commit, late.Bounds{Marks: marks, MinTime: -spanMs}), m.commit, marks})
			if rng.IntN(8) == 0 { // what is published becomes blocks: all, or one span
				if rng.IntN(2) == 0 {
					marks = late.Marks{All: m.seq}
				} else {
					from := spanMs * (rng.Int64N(6) - 1)
					marks.Spans = append(slices.Clone(marks.Spans), late.SpanMark{From: from, To: from + spanMs, Seq: m.seq})
				}
				m.b.SetMarks(marks)
				parts = append(parts, taken{m.b.Part(m.commit, late.Bounds{Marks: marks, MinTime: -spanMs}), m.commit, marks})
			}
			if rng.IntN(10) == 0 { // all readers have gone
				parts = slices.DeleteFunc(parts, func(p taken) bool { return p.marks.Last() < marks.Last() || len(p.marks.Spans) < len(marks.Spans) })
				m.b.Drop(marks)
				m.facts = slices.DeleteFunc(m.facts, func(f fact) bool { return f.seq <= marks.At(f.T) })
			}
			for _, p := range parts {
				want(t, p.p, m.facts, func(f fact) bool { return f.commit <= p.commit && f.seq > p.marks.At(f.T) })
			}
			parts = parts[max(0, len(parts)-4):]
		}
		m.b.Drop(late.Marks{All: m.seq})
		if spans, _ := m.b.Spans(); m.b.Samples() != 0 || len(spans) > 0 {
			n := m.b.Samples()
			t.Errorf("seed %d: %d samples are left", seed, n)
		}
		m.b.Begin()
		if n := m.b.UsedBytes(); n != 0 {
			t.Errorf("seed %d: an empty buffer holds %d bytes", seed, n)
		}
	}
}

// TestManySamplesOfASeries fills and splits blocks in every order.
func TestManySamplesOfASeries(t *testing.T) {
	const n = 3000
	for name, order := range map[string]func(i int) int64{
		"ascending":  func(i int) int64 { return int64(i) },
		"descending": func(i int) int64 { return int64(n - i) },
		"woven":      func(i int) int64 { return int64(i%7*1000 + i/7) },
		"drawn":      func(i int) int64 { return int64(i * 1009 % 3001) },
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{b: late.New(late.Options{SpanMs: 1 << 20})}
			for i := range n {
				hash, _ := series.HashOf(named(3), nil)
				at := order(i)
				seq, reason := m.b.Add(m.b.Series(hash, named(3)), late.Sample{Time: at, Bits: math.Float64bits(float64(i))}, 0)
				if reason != storage.ReasonNone {
					t.Fatalf("sample %d: %s", i, reason)
				}
				m.facts = append(m.facts, fact{3, column.Sample{T: at, V: float64(i)}, seq, 1})
			}
			m.publish(1)
			want(t, m.b.Part(1, late.Bounds{}), m.facts, func(fact) bool { return true })
			m.b.Drop(late.Marks{All: n / 2})
			want(t, m.b.Part(1, late.Bounds{}), m.facts, func(f fact) bool { return f.seq > n/2 })
			for i, f := range m.facts {
				hash, _ := series.HashOf(named(3), nil)
				_, reason := m.b.Add(m.b.Series(hash, named(3)), late.Sample{Time: f.T, Bits: math.Float64bits(-1)}, 0)
				if there := i >= n/2; there != (reason == storage.ReasonConflict) {
					t.Fatalf("another value at %d, which is there: %v: %s", f.T, there, reason)
				}
			}
		})
	}
}

// TestHidden: a deletion hides what was accepted before it, and nothing else.
func TestHidden(t *testing.T) {
	m := &model{b: late.New(late.Options{SpanMs: spanMs})}
	for i := range int64(10) {
		m.add(t, 1, column.Sample{T: 100 * i, V: float64(i)})
		m.add(t, 2, column.Sample{T: 100 * i, V: float64(i)})
	}
	m.publish(1)
	before := m.seq
	m.add(t, 1, column.Sample{T: 250, V: 1})
	m.publish(1)
	hidden := func(lset labels.Labels) []late.Hidden {
		if labels.Equal(lset, named(1)) {
			return []late.Hidden{{MinTime: 200, MaxTime: 500, Seq: before}}
		}
		return nil
	}
	want(t, m.b.Part(m.commit, late.Bounds{Hidden: hidden}), m.facts, func(f fact) bool {
		return f.series == 2 || f.T < 200 || f.T > 500 || f.seq > before
	})
	all := func(labels.Labels) []late.Hidden { return []late.Hidden{{MinTime: 0, MaxTime: 1000, Seq: before + 1}} }
	p := m.b.Part(m.commit, late.Bounds{Hidden: all})
	refs, err := p.Select(t.Context())
	names, err2 := p.LabelNames(t.Context())
	if err != nil || err2 != nil || len(refs)+len(names) > 0 {
		t.Errorf("series %v, labels %v of a part that shows nothing, %v, %v", refs, names, err, err2)
	}
}

func TestBounds(t *testing.T) {
	m := &model{b: late.New(late.Options{SpanMs: spanMs, BytesMax: 32 << 10})}
	add := func(n int) storage.Reason {
		hash, _ := series.HashOf(named(n), nil)
		_, reason := m.b.Add(m.b.Series(hash, named(n)), late.Sample{Time: int64(n), Bits: math.Float64bits(1)}, 0)
		return reason
	}
	n := 0
	for ; add(n) == storage.ReasonNone; n++ {
		if n > 10_000 {
			t.Fatal("no bound")
		}
	}
	m.publish(5)
	if !m.b.Full() || m.b.UsedBytes() > 33<<10 || n < 50 {
		t.Errorf("%d samples take %d bytes, full: %v", n, m.b.UsedBytes(), m.b.Full())
	}
	if r := add(0); r != storage.ReasonNone {
		t.Errorf("a repeat is refused by a full buffer: %s", r)
	}
	if r := add(n); r != storage.ReasonOverloaded {
		t.Errorf("a full buffer answers %s", r)
	}
	if got := m.b.NeededSegment(9); got != 5 {
		t.Errorf("segment %d is needed, want 5", got)
	}
	all := late.Marks{All: m.b.Next() - 1}
	m.b.SetMarks(all)
	if spans, last := m.b.Spans(); m.b.NeededSegment(9) != 9 || len(spans) > 0 || last != all.All {
		t.Errorf("all is in blocks; needed are segment %d, spans %v up to %d", m.b.NeededSegment(9), spans, last)
	}
	m.b.Drop(all)
	m.b.Begin()
	m.b.Refuse(true)
	if r := add(1); r != storage.ReasonOverloaded {
		t.Errorf("a buffer that must not grow answers %s", r)
	}
	m.b.Refuse(false)
	if r := add(1); r != storage.ReasonNone {
		t.Errorf("a buffer that may grow again answers %s", r)
	}
}

// TestHistogramsCount: the bound is one of bytes, and a histogram has many.
func TestHistogramsCount(t *testing.T) {
	b := late.New(late.Options{SpanMs: 1 << 20, BytesMax: 64 << 10})
	hash, _ := series.HashOf(named(1), nil)
	big := record.AppendHistogram(nil, column.Histogram{}, column.Histogram{Int: histogram.GenerateBigTestHistograms(1, 500)[0]})
	n := int64(0)
	for ; ; n++ {
		used := b.UsedBytes()
		_, reason := b.Add(b.Series(hash, named(1)), late.Sample{Time: n, Histogram: big, Start: 1}, 0)
		if reason == storage.ReasonOverloaded {
			break
		}
		if grown := b.UsedBytes() - used; reason != storage.ReasonNone || grown < int64(len(big)) || n > 1000 {
			t.Fatalf("histogram %d of %d bytes: %s, %d bytes", n, len(big), reason, grown)
		}
	}
	if most := int64(64<<10)/int64(len(big)) + 1; n > most || n < most/2 {
		t.Errorf("%d histograms of %d bytes", n, len(big))
	}
	b.Undo(1)
	if b.Begin(); b.UsedBytes() != 0 {
		t.Errorf("%d bytes are left", b.UsedBytes())
	}
}

func TestRestore(t *testing.T) {
	b := late.New(late.Options{SpanMs: spanMs})
	b.SetMarks(late.Marks{All: 2, Spans: []late.SpanMark{{From: 1000, To: 2000, Seq: 5}}})
	hash, _ := series.HashOf(named(1), nil)
	var facts []fact
	for _, f := range []fact{
		{1, column.Sample{T: 10, V: 1}, 1, 0}, {1, column.Sample{T: 20, V: 2}, 3, 0}, {1, column.Sample{T: 1500, V: 3}, 5, 0},
		{1, column.Sample{T: 1600, V: 4}, 6, 0}, {1, column.Sample{T: 20, V: 2}, 3, 0}, {1, column.Sample{T: 15, V: 2}, 4, 0},
	} {
		b.Restore(7, f.seq, hash, named(1), sampleOf(f.Sample), 0)
		if f.seq == 4 || f.seq == 6 || f.seq == 3 && len(facts) == 0 {
			facts = append(facts, f)
		}
	}
	want(t, b.Part(0, late.Bounds{}), facts, func(fact) bool { return true })
	if b.Next() != 7 || b.NeededSegment(9) != 7 {
		t.Errorf("the next sequence is %d, segment %d is needed", b.Next(), b.NeededSegment(9))
	}
}
