package head

import (
	"slices"
	"sort"
	"strings"

	"github.com/nilometer/nilometer/tsdb/arena"
)

// order is the labels of an index sorted by name and value: the values of one
// name stand together, those with one prefix too, and a label's rank stands for
// it where label sets are compared. New labels are sorted in when somebody
// needs it.
type order struct {
	sorted arena.Array[pairID]
	ranks  arena.Array[uint32] // by pairID: the place in sorted plus one
}

func newOrder(o *arena.Owner) order {
	return order{sorted: arena.NewArray[pairID](o), ranks: arena.NewArray[uint32](o)}
}

// stale tells that labels have come since they were last sorted.
func (t *tuples) stale() bool { return t.order.sorted.Len() < t.pairs.Len() }

// sort sorts new labels in.
func (t *tuples) sort() {
	o := &t.order
	had, n := o.sorted.Len(), t.pairs.Len()
	fresh := make([]pairID, 0, n-had)
	for id := had; id < n; id++ {
		fresh = append(fresh, pairID(id))
	}
	slices.SortFunc(fresh, t.comparePairs)
	// Merged from behind, in place.
	o.sorted.Extend(n - had)
	all := o.sorted.All()
	at, old := n, had
	for k := len(fresh); k > 0; {
		at--
		if old > 0 && t.comparePairs(all[old-1], fresh[k-1]) > 0 {
			old--
			all[at] = all[old]
		} else {
			k--
			all[at] = fresh[k]
		}
	}
	o.ranks.Extend(n - had)
	ranks := o.ranks.All()
	for i := at; i < n; i++ {
		ranks[all[i]] = uint32(i + 1)
	}
}

// comparePairs orders labels by name, then by value.
func (t *tuples) comparePairs(a, b pairID) int {
	all := t.pairs.All()
	pa, pb := &all[a], &all[b]
	if pa.name != pb.name {
		return strings.Compare(t.symbols.of(pa.name), t.symbols.of(pb.name))
	}
	if pa.value == pb.value {
		return 0
	}
	return strings.Compare(t.symbols.of(pa.value), t.symbols.of(pb.value))
}

// valuesWith returns the sorted labels of a name whose values begin with a
// prefix. The order is not stale.
func (t *tuples) valuesWith(name, prefix string) []pairID {
	all := t.order.sorted.All()
	from := sort.Search(len(all), func(i int) bool {
		if c := strings.Compare(t.name(all[i]), name); c != 0 {
			return c > 0
		}
		return t.value(all[i]) >= prefix
	})
	rest := all[from:]
	n := sort.Search(len(rest), func(i int) bool {
		return t.name(rest[i]) != name || !strings.HasPrefix(t.value(rest[i]), prefix)
	})
	return rest[:n:n]
}

// names returns the sorted names of all labels that a series has.
func (t *tuples) names() []string {
	var out []string
	all := t.order.sorted.All()
	pairs := t.pairs.All()
	for _, p := range all {
		if pairs[p].live == 0 {
			continue
		}
		if name := t.name(p); len(out) == 0 || out[len(out)-1] != name {
			out = append(out, name)
		}
	}
	return out
}

// values returns the sorted values of a label that a series has.
func (t *tuples) values(name string) []string {
	ps := t.valuesWith(name, "")
	pairs := t.pairs.All()
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		if pairs[p].live > 0 {
			out = append(out, t.value(p))
		}
	}
	return out
}

func (o *order) free() {
	o.sorted.Free()
	o.ranks.Free()
}
