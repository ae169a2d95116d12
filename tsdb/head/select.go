package head

import (
	"context"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/tsdb/part"
)

// Select implements part.Part.
func (s *Snapshot) Select(ctx context.Context, ms ...*labels.Matcher) ([]part.Ref, error) {
	x := &s.head.index
	x.mu.RLock()
	ids := x.selectLocked(ms)
	// What was appended before stays as it is: the order needs no lock.
	v := orderView{symbols: x.symbols, pairs: x.pairs, at: x.labelsAt}
	x.mu.RUnlock()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	slices.SortFunc(ids, v.compare)
	refs := make([]part.Ref, len(ids))
	for i, id := range ids {
		refs[i] = part.Ref(id)
	}
	return refs, nil
}

// orderView is the part of an index that compares label sets.
type orderView struct {
	symbols []string
	pairs   []pair
	at      []span32
}

// compare orders series as labels.Compare orders their labels.
func (v orderView) compare(a, b seriesID) int {
	sa, sb := v.at[a], v.at[b]
	pa, pb := v.pairs[sa.at:sa.at+sa.n], v.pairs[sb.at:sb.at+sb.n]
	for i := range min(len(pa), len(pb)) {
		if pa[i].name != pb[i].name {
			return strings.Compare(v.symbols[pa[i].name], v.symbols[pb[i].name])
		}
		if pa[i].value != pb[i].value {
			return strings.Compare(v.symbols[pa[i].value], v.symbols[pb[i].value])
		}
	}
	return len(pa) - len(pb)
}

// selectLocked returns the series that match, in memory of the caller's.
func (x *index) selectLocked(ms []*labels.Matcher) []seriesID {
	var lists [][]seriesID
	var rest []*labels.Matcher // tested series by series
	for _, m := range ms {
		if m.Matches("") {
			rest = append(rest, m)
			continue
		}
		lists = append(lists, x.matchingLocked(m))
	}
	var ids []seriesID
	if len(lists) == 0 {
		ids = x.allLocked()
	} else {
		slices.SortFunc(lists, func(a, b []seriesID) int { return len(a) - len(b) })
		ids = slices.Clone(lists[0])
		for _, l := range lists[1:] {
			ids = intersect(ids, l)
		}
	}
	for _, m := range rest {
		ids = x.filterLocked(ids, m)
	}
	return ids
}

func (x *index) allLocked() []seriesID {
	out := make([]seriesID, 0, x.liveLocked())
	if x.dead == 0 {
		for id := range x.hashes {
			out = append(out, seriesID(id))
		}
		return out
	}
	for _, id := range x.byHash {
		for ok := true; ok; id, ok = x.chain[id] {
			out = append(out, id)
		}
	}
	return out
}

// matchingLocked returns the series with a value of the matcher's label that
// matches, ascending.
func (x *index) matchingLocked(m *labels.Matcher) []seriesID {
	name, ok := x.symbolOf[m.Name]
	if !ok {
		return nil
	}
	if m.Type == labels.MatchEqual {
		return x.listLocked(name, m.Value)
	}
	if set := m.SetMatches(); m.Type == labels.MatchRegexp && len(set) > 0 {
		var lists [][]seriesID
		for _, v := range set {
			lists = append(lists, x.listLocked(name, v))
		}
		return union(lists)
	}
	var lists [][]seriesID
	for _, v := range x.values[name] {
		if m.Matches(x.symbols[v]) {
			lists = append(lists, x.postings[pair{name, v}])
		}
	}
	return union(lists)
}

func (x *index) listLocked(name symbolID, value string) []seriesID {
	v, ok := x.symbolOf[value]
	if !ok {
		return nil
	}
	return x.postings[pair{name, v}]
}

// filterLocked keeps the series whose value of the matcher's label, or its
// absence, matches.
func (x *index) filterLocked(ids []seriesID, m *labels.Matcher) []seriesID {
	name, ok := x.symbolOf[m.Name]
	if !ok {
		return ids // no series has the label, and its absence matches
	}
	verdicts := map[symbolID]bool{}
	out := ids[:0]
	for _, id := range ids {
		match := true
		for _, p := range x.pairsLocked(id) {
			if p.name != name {
				continue
			}
			v, known := verdicts[p.value]
			if !known {
				v = m.Matches(x.symbols[p.value])
				verdicts[p.value] = v
			}
			match = v
			break
		}
		if match {
			out = append(out, id)
		}
	}
	return out
}

// intersect keeps the ids that are in list; both ascend. It changes ids.
func intersect(ids, list []seriesID) []seriesID {
	out := ids[:0]
	at := 0
	for _, id := range ids {
		i, found := slices.BinarySearch(list[at:], id)
		at += i
		if found {
			out = append(out, id)
		}
	}
	return out
}

// union merges ascending lists that have no id in common.
func union(lists [][]seriesID) []seriesID {
	if len(lists) == 1 {
		return lists[0]
	}
	n := 0
	for _, l := range lists {
		n += len(l)
	}
	out := make([]seriesID, 0, n)
	for _, l := range lists {
		out = append(out, l...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// names returns the sorted names of all labels.
func (x *index) names() []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make([]string, 0, len(x.values))
	for name := range x.values {
		out = append(out, x.symbols[name])
	}
	slices.Sort(out)
	return out
}

// valuesOf returns the sorted values of a label.
func (x *index) valuesOf(name string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	id, ok := x.symbolOf[name]
	if !ok {
		return nil
	}
	out := make([]string, 0, len(x.values[id]))
	for _, v := range x.values[id] {
		out = append(out, x.symbols[v])
	}
	slices.Sort(out)
	return out
}

// labelsLocked returns a label set.
func (x *index) labelsLocked(id seriesID) labels.Labels {
	ps := x.pairsLocked(id)
	b := labels.NewScratchBuilder(len(ps))
	for _, p := range ps {
		b.Add(x.symbols[p.name], x.symbols[p.value])
	}
	return b.Labels()
}
