package head_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/seriestable"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// chance makes label sets and matchers of a small world, so that they meet.
type chance struct{ *rand.Rand }

func (c chance) one(of ...string) string { return of[c.IntN(len(of))] }

func (c chance) labels(target int) labels.Labels {
	b := labels.NewBuilder(labels.FromStrings("__name__", fmt.Sprint("m", c.IntN(6)), "job", "job", "instance", fmt.Sprint("host-", target)))
	b.Set("zone", fmt.Sprint("z", target%3))
	if c.IntN(3) > 0 {
		b.Set("a", fmt.Sprint("a", c.IntN(4)))
	}
	if c.IntN(2) > 0 {
		b.Set("Before", c.one("x", "y", "ya", "yb", "ycc", "z", "é"))
	}
	b.Set("k", fmt.Sprint("k", c.IntN(300)))
	return b.Labels()
}

func (c chance) matcher() *labels.Matcher {
	types := []labels.MatchType{labels.MatchEqual, labels.MatchNotEqual, labels.MatchRegexp, labels.MatchNotRegexp}
	t := types[c.IntN(4)]
	name := c.one("__name__", "job", "instance", "zone", "a", "Before", "k", "unknown")
	value := c.one("", "m1", "m2", "host-1", "z1", "a1", "a2", "x", "y", "k17", "k200", "none")
	if t == labels.MatchRegexp || t == labels.MatchNotRegexp {
		value = c.one("", ".+", ".*", "m1|m2|m3", "host-.*", "y.*", "k1.*", "k.*7", "a1|", "(a1|x).*", "[^z].*", "none.*")
	}
	return labels.MustNewMatcher(t, name, value)
}

// world is what a head should know: the last sample of each series.
type world map[string]known

type known struct {
	lset labels.Labels
	last int64
}

func (w world) find(ms []*labels.Matcher) []string {
	var found []labels.Labels
	for _, k := range w {
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches(k.lset.Get(m.Name)) }) {
			found = append(found, k.lset)
		}
	}
	slices.SortFunc(found, labels.Compare)
	out := make([]string, len(found))
	for i, l := range found {
		out[i] = l.String()
	}
	return out
}

func (w world) values(name string) []string {
	var out []string
	for _, k := range w {
		if v := k.lset.Get(name); v != "" {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TestSelections compares selections with a look at every series, while series
// come, go, and come again.
func TestSelections(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { selections(t, chance{rand.New(rand.NewPCG(seed, 1))}) })
	}
}

func selections(t *testing.T, c chance) {
	s, _, err := openWith(mem.New(), nil, head.Options{BlockRange: time.Minute}, -1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	h := s.Head(tenant.Default)
	w := world{}
	const targets, spans = 7, 9
	var groups [targets]storage.Group
	for i := range groups {
		if groups[i], err = s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, fmt.Sprint("g", i))); err != nil {
			t.Fatal(err)
		}
	}
	for span := range spans {
		at := origin + int64(span)*60_000
		for range 40 {
			i := c.IntN(targets)
			at += 100
			b := storage.Batch{Time: at}
			mentioned := map[string]bool{}
			var lsets []labels.Labels
			for range 1 + c.IntN(60) {
				l := c.labels(i)
				if !mentioned[l.String()] {
					mentioned[l.String()] = true
					lsets, b.Values = append(lsets, l), append(b.Values, 1)
					w[l.String()] = known{l, at}
				}
			}
			if err := write(s, groups[i], b, lsets, storage.Logged); err != nil {
				t.Fatal(err)
			}
		}
		for range 25 {
			ms := make([]*labels.Matcher, c.IntN(4))
			for i := range ms {
				ms[i] = c.matcher()
			}
			compare(t, h, w, ms)
		}
		for _, name := range []string{"__name__", "Before", "k", "instance", "unknown"} {
			snap := h.Snapshot(-1 << 62)
			got, err := snap.LabelValues(t.Context(), name)
			snap.Release()
			if want := w.values(name); err != nil || !slices.Equal(got, want) {
				t.Fatalf("the values of %s are %q, %v; want %q", name, got, err, want)
			}
		}
		if span == spans-1 {
			reload(t, c, h, w)
		}
		if span%2 == 0 {
			continue
		}
		end := origin + int64(span)*60_000 // two spans at once, and not the last
		for _, ended := range h.Spans(end) {
			h.Cut(ended).Release()
		}
		h.Drop(end)
		for key, k := range w {
			if k.last < end {
				delete(w, key)
			}
		}
	}
}

// reload compares selections from a copy of the head's series.
func reload(t *testing.T, c chance, h *head.Head, w world) {
	t.Helper()
	var dump bytes.Buffer
	if err := h.DumpSeries(&dump); err != nil {
		t.Fatal(err)
	}
	other, err := open(mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	copied := other.Head(tenant.Default)
	if err := copied.LoadSeries(dump.Bytes()); err != nil {
		t.Fatal(err)
	}
	if copied.Series() != len(w) {
		t.Fatalf("the copy has %d series, want %d", copied.Series(), len(w))
	}
	for range 25 {
		compare(t, copied, w, []*labels.Matcher{c.matcher(), c.matcher(), labels.MustNewMatcher(labels.MatchEqual, "job", "job")})
	}
	if err := copied.LoadSeries(dump.Bytes()[:dump.Len()-1]); err == nil || copied.Series() != 0 {
		t.Errorf("a table that is cut off: %v, %d series", err, copied.Series())
	}
}

// TestHostileTables loads tables that nobody has dumped: whole in their form,
// and of numbers that mean nothing.
func TestHostileTables(t *testing.T) {
	s, err := open(mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	h := s.Head(tenant.Default)
	few := rapid.Uint32Range(0, 4)
	row := rapid.Custom(func(rt *rapid.T) seriestable.Row {
		return seriestable.Row{Left: few.Draw(rt, "left"), Right: few.Draw(rt, "right"), Hash: uint64(few.Draw(rt, "hash")), Group: uint64(few.Draw(rt, "group"))}
	})
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(row, 0, 3).Draw(rt, "series")
		tuples := rapid.SliceOfN(rapid.SliceOfN(few, 0, 3), 0, 4).Draw(rt, "tuples")
		strings := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "c", "\xff"}), 0, 5).Draw(rt, "strings")
		var pairs []seriestable.Pair
		for range rapid.IntRange(0, 4).Draw(rt, "pairs") {
			pairs = append(pairs, seriestable.Pair{Name: few.Draw(rt, "name"), Value: few.Draw(rt, "value")})
		}
		b := seriestable.AppendSeries(seriestable.AppendBegin(nil), rows)
		b = seriestable.AppendStrings(seriestable.AppendPairs(seriestable.AppendTuples(b, tuples), pairs), strings)
		b = seriestable.AppendEnd(b, seriestable.Totals{
			Series: uint64(len(rows)), Tuples: uint64(len(tuples)), Pairs: uint64(len(pairs)), Strings: uint64(len(strings)),
		})
		if err := h.LoadSeries(b); err != nil {
			if h.Series() != 0 {
				rt.Fatalf("%d series after %v", h.Series(), err)
			}
			return
		}
		snap := h.Snapshot(-1 << 62)
		defer snap.Release()
		if _, err := snap.Select(t.Context(), labels.MustNewMatcher(labels.MatchNotEqual, "a", "b")); err != nil {
			rt.Fatal(err)
		}
	})
}

func compare(t *testing.T, h *head.Head, w world, ms []*labels.Matcher) {
	t.Helper()
	snap := h.Snapshot(-1 << 62)
	defer snap.Release()
	refs, err := snap.Select(t.Context(), ms...)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]string, len(refs))
	b := labels.NewScratchBuilder(8)
	for i, ref := range refs {
		snap.Labels(ref, &b)
		got[i] = b.Labels().String()
		if v, want := snap.LabelValue(ref, "k"), b.Labels().Get("k"); v != want {
			t.Fatalf("label k of %s is %q, want %q", got[i], v, want)
		}
	}
	want := w.find(ms)
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("%v selects %d series, want %d: number %d is %q, want %q", ms, len(got), len(want), i, at(got, i), at(want, i))
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "none"
}
