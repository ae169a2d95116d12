package head_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/part"
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
			compareCounts(t, c, h, w)
		}
		compareCensus(t, h, w)
		for _, name := range []string{"__name__", "Before", "k", "instance", "unknown"} {
			snap := h.Snapshot(-1 << 62)
			got, err := snap.LabelValues(t.Context(), name)
			snap.Release()
			if want := w.values(name); err != nil || !slices.Equal(got, want) {
				t.Fatalf("the values of %s are %q, %v; want %q", name, got, err, want)
			}
		}
		if span == spans-1 {
			reload(t, c, s, w)
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

// reload compares selections after a start from files of seals and the log.
func reload(t *testing.T, c chance, s *store, w world) {
	t.Helper()
	if err := errors.Join(s.Flush(t.Context(), true), s.log.Close()); err != nil {
		t.Fatal(err)
	}
	again, _, err := openWith(s.fs, nil, head.Options{BlockRange: time.Minute}, s.Head(tenant.Default).Horizon())
	if err != nil {
		t.Fatal(err)
	}
	defer again.log.Close() //nolint:errcheck // in memory
	h := again.Head(tenant.Default)
	if h.Series() != len(w) {
		t.Fatalf("after a start there are %d series, want %d", h.Series(), len(w))
	}
	for range 25 {
		compare(t, h, w, []*labels.Matcher{c.matcher(), c.matcher(), labels.MustNewMatcher(labels.MatchEqual, "job", "job")})
	}
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
	groupKeys(t, snap, refs)
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

// groupKeys holds the keys of groups against labels: equal ones are of series that
// agree, and series that agree have few different ones.
func groupKeys(t *testing.T, snap *head.Snapshot, refs []part.Ref) {
	t.Helper()
	for _, names := range [][]string{nil, {"job"}, {"Before", "a", "unknown"}, {"__name__", "k"}} {
		for _, without := range []bool{false, true} {
			keys := make([]uint64, len(refs))
			if !snap.GroupKeys(names, without, refs, keys) {
				t.Fatal("a head has no keys of groups")
			}
			of, groups := map[uint64]string{}, map[string]bool{}
			b := labels.NewScratchBuilder(8)
			for i, ref := range refs {
				snap.Labels(ref, &b)
				of1 := string(b.Labels().BytesWithLabels(nil, names...))
				if without {
					of1 = string(b.Labels().BytesWithoutLabels(nil, names...))
				}
				if had, ok := of[keys[i]]; ok && had != of1 {
					t.Fatalf("%q without %v: %q and %q have one key", names, without, had, of1)
				}
				of[keys[i]], groups[of1] = of1, true
			}
			if len(of) > 3*len(groups) {
				t.Fatalf("%q without %v: %d keys of %d groups", names, without, len(of), len(groups))
			}
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "none"
}
