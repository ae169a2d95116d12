package late

import (
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
)

// Ref names a series in the buffer until Begin.
type Ref uint32

// pair is a label: two symbols.
type pair struct{ name, value uint32 }

// index has the labels of the buffered series. It only grows, and is replaced
// by an empty one when the buffer is empty.
type index struct {
	symbols  []string
	symbolOf map[string]uint32
	pairs    []pair
	at       []uint32 // by series, and one more: its labels are pairs[at[i]:at[i+1]]
	hashes   []series.Hash
	byHash   map[series.Hash]uint32
	chain    map[uint32]uint32 // further series of the same hash
	bytes    int64

	// order has the series by labels; it may be of before the newest ones.
	order []uint32
}

// What an entry of the index takes beside its strings: slices, and maps at
// their usual load.
const (
	symbolBytes = 16 + 40
	seriesBytes = 4 + 8 + 4 + 24
	pairBytes   = 8
)

func newIndex() *index {
	return &index{symbolOf: map[string]uint32{}, at: []uint32{0}, byHash: map[series.Hash]uint32{}, chain: map[uint32]uint32{}}
}

func (x *index) len() int { return len(x.hashes) }

// lookup returns the number of a label set.
func (x *index) lookup(hash series.Hash, lset labels.Labels) (uint32, bool) {
	n, ok := x.byHash[hash]
	for ok && !x.equal(n, lset) {
		n, ok = x.chain[n]
	}
	return n, ok
}

// find returns the number of a label set, which is added when it is new.
func (x *index) find(hash series.Hash, lset labels.Labels) uint32 {
	if n, ok := x.lookup(hash, lset); ok {
		return n
	}
	first, known := x.byHash[hash]
	n := uint32(len(x.hashes))
	lset.Range(func(l labels.Label) {
		x.pairs = append(x.pairs, pair{x.symbol(l.Name), x.symbol(l.Value)})
		x.bytes += pairBytes
	})
	x.at = append(x.at, uint32(len(x.pairs)))
	x.hashes = append(x.hashes, hash)
	if known {
		x.chain[n] = first
	}
	x.byHash[hash] = n
	x.bytes += seriesBytes
	return n
}

func (x *index) symbol(s string) uint32 {
	if n, ok := x.symbolOf[s]; ok {
		return n
	}
	s = strings.Clone(s) // the caller's memory may be a whole request
	n := uint32(len(x.symbols))
	x.symbols = append(x.symbols, s)
	x.symbolOf[s] = n
	x.bytes += int64(len(s)) + symbolBytes
	return n
}

func (x *index) pairsOf(n uint32) []pair { return x.pairs[x.at[n]:x.at[n+1]] }

func (x *index) equal(n uint32, lset labels.Labels) bool {
	ps := x.pairsOf(n)
	i, same := 0, true
	lset.Range(func(l labels.Label) {
		same = same && i < len(ps) && x.symbols[ps[i].name] == l.Name && x.symbols[ps[i].value] == l.Value
		i++
	})
	return same && i == len(ps)
}

// value returns one label, "" without it.
func (x *index) value(n uint32, name string) string {
	for _, p := range x.pairsOf(n) {
		if x.symbols[p.name] == name {
			return x.symbols[p.value]
		}
	}
	return ""
}

// sorted returns the series in label order. The result is replaced, and never
// changed, when there are more.
func (x *index) sorted() []uint32 {
	if len(x.order) == x.len() {
		return x.order
	}
	order := make([]uint32, x.len())
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, x.compare)
	x.order = order
	return order
}

// compare orders series as labels.Compare orders their labels.
func (x *index) compare(a, b uint32) int {
	pa, pb := x.pairsOf(a), x.pairsOf(b)
	for i := range min(len(pa), len(pb)) {
		if pa[i].name != pb[i].name {
			return strings.Compare(x.symbols[pa[i].name], x.symbols[pb[i].name])
		}
		if pa[i].value != pb[i].value {
			return strings.Compare(x.symbols[pa[i].value], x.symbols[pb[i].value])
		}
	}
	return len(pa) - len(pb)
}

// matcher is a matcher whose answers about values are remembered.
type matcher struct {
	*labels.Matcher
	name     uint32
	known    bool // some series has the label
	absent   bool // the answer about series without the label
	verdicts map[uint32]bool
}

func (x *index) matchers(ms []*labels.Matcher) []matcher {
	out := make([]matcher, len(ms))
	for i, m := range ms {
		out[i] = matcher{Matcher: m, absent: m.Matches(""), verdicts: map[uint32]bool{}}
		out[i].name, out[i].known = x.symbolOf[m.Name]
	}
	return out
}

// matches tells whether a series matches every matcher.
func (x *index) matches(n uint32, ms []matcher) bool {
	for i := range ms {
		if !ms[i].matches(x, n) {
			return false
		}
	}
	return true
}

func (m *matcher) matches(x *index, n uint32) bool {
	if !m.known {
		return m.absent
	}
	for _, p := range x.pairsOf(n) {
		if p.name != m.name {
			continue
		}
		verdict, known := m.verdicts[p.value]
		if !known {
			verdict = m.Matches(x.symbols[p.value])
			m.verdicts[p.value] = verdict
		}
		return verdict
	}
	return m.absent
}
