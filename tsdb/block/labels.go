package block

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/format/postings"
	"github.com/nilometer/nilometer/format/symbols"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Select returns the series that match every matcher. A matcher that matches
// the empty string matches series without the label, as everywhere in PromQL.
func (b *Block) Select(ctx context.Context, ms ...*labels.Matcher) ([]part.Ref, error) {
	if b.broken != nil {
		return nil, b.broken
	}
	l, err := b.postings(ctx, ms)
	if err != nil {
		return nil, b.damageOf(fmt.Errorf("select: %w", err), context.Cause(ctx))
	}
	out := make([]part.Ref, 0, l.Count())
	l.Each(func(o uint32) { out = append(out, part.Ref(o)) })
	return out, nil
}

// postings narrows the set of all series matcher by matcher: those that select
// by value first, then those that take away.
func (b *Block) postings(ctx context.Context, ms []*labels.Matcher) (postings.List, error) {
	if err := b.index.CheckSeries(); err != nil { // Labels cannot answer with an error
		return nil, err
	}
	l := postings.All(uint32(b.index.Series()))
	for _, takeAway := range []bool{false, true} {
		for _, m := range ms {
			if m.Matches("") != takeAway || len(l) == 0 {
				continue
			}
			of, err := b.valuesPostings(ctx, m, takeAway)
			if err != nil {
				return nil, err
			}
			if takeAway {
				l = postings.Without(l, of)
			} else {
				l = postings.Intersect(l, of)
			}
		}
	}
	return l, nil
}

// valuesPostings returns the series that have a value of the matcher's label
// that matches; that does not match when inverted.
func (b *Block) valuesPostings(ctx context.Context, m *labels.Matcher, inverted bool) (postings.List, error) {
	name, ok := slices.BinarySearch(b.index.Names(), m.Name)
	if !ok {
		return nil, nil
	}
	table, err := b.index.Values(name)
	if err != nil {
		return nil, err
	}
	values, err := matchingValues(ctx, table, m, inverted)
	if err != nil {
		return nil, err
	}
	lists := make([]postings.List, 0, len(values))
	for i, v := range values {
		if i%ctxEvery == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		l, err := b.index.Postings(name, v)
		if err != nil {
			return nil, err
		}
		lists = append(lists, l)
	}
	return postings.Union(lists...), nil
}

// ctxEvery is how many values are looked at between two looks at a context.
const ctxEvery = 4096

// matchingValues returns the ordinals of the values that match (that do not,
// when inverted). Values that a matcher names are looked up; a prefix bounds
// what is asked; else every value is asked.
func matchingValues(ctx context.Context, table symbols.Table, m *labels.Matcher, inverted bool) ([]int, error) {
	switch {
	case m.Type == labels.MatchEqual && !inverted, m.Type == labels.MatchNotEqual && inverted:
		return lookup(table, m.Value)
	case m.Type == labels.MatchRegexp && !inverted && len(m.SetMatches()) > 0,
		m.Type == labels.MatchNotRegexp && inverted && len(m.SetMatches()) > 0:
		return lookup(table, m.SetMatches()...)
	}
	prefix := ""
	if m.Type == labels.MatchRegexp && !inverted || m.Type == labels.MatchNotRegexp && inverted {
		prefix = m.Prefix()
	}
	from, _, err := table.Seek(prefix)
	if err != nil {
		return nil, err
	}
	var out []int
	asked := 0
	err = table.Range(from, func(i int, v []byte) bool {
		asked++
		if asked%ctxEvery == 0 && ctx.Err() != nil {
			return false
		}
		s := unsafe.String(unsafe.SliceData(v), len(v)) // matchers do not keep it
		if !strings.HasPrefix(s, prefix) {
			return false
		}
		if m.Matches(s) != inverted {
			out = append(out, i)
		}
		return true
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, err
}

func lookup(table symbols.Table, values ...string) ([]int, error) {
	var out []int
	for _, v := range values {
		i, ok, err := table.Seek(v)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, i)
		}
	}
	return out, nil
}

// loadedLabels are the label sets of a page of series, as strings.
type loadedLabels struct {
	*index.SeriesPage
	names  []string // all names of the index
	values []string // parallel to the values of the page, series by series
	begins []int

	once   sync.Once
	hashes []series.Hash
}

// load returns the page of labels that a series is in.
func (b *Block) loadLabels(ref part.Ref) (*loadedLabels, int, error) {
	i := int(ref) / index.SeriesPerPage
	if i >= len(b.labels) {
		return nil, 0, fmt.Errorf("%s: series %d of %d", b.name, ref, b.index.Series())
	}
	at := int(ref) % index.SeriesPerPage
	if p, ok := b.labels[i].get(); ok {
		if at >= p.Len() {
			return nil, 0, fmt.Errorf("%s: series %d of %d", b.name, ref, b.index.Series())
		}
		return p, at, nil
	}
	sp, err := b.index.SeriesPage(i)
	if err != nil {
		return nil, 0, err
	}
	p, err := b.materialize(sp)
	if err != nil {
		return nil, 0, err
	}
	if at >= p.Len() {
		return nil, 0, fmt.Errorf("%s: series %d of %d", b.name, ref, b.index.Series())
	}
	return b.labels[i].put(b.cache, p, p.memoryBytes()), at, nil
}

// materialize looks up the strings of a page, each value once while it
// repeats.
func (b *Block) materialize(sp *index.SeriesPage) (*loadedLabels, error) {
	type last struct {
		value uint32
		s     string
		ok    bool
	}
	p := &loadedLabels{SeriesPage: sp, names: b.index.Names(), begins: make([]int, 1, sp.Len()+1)}
	lasts := make([]last, len(p.names))
	var buf []byte
	for i := range sp.Len() {
		names, values := sp.Refs(i)
		for k, v := range values {
			l := &lasts[names[k]]
			if !l.ok || l.value != v {
				table, err := b.index.Values(int(names[k]))
				if err != nil {
					return nil, err
				}
				if buf, err = table.At(int(v), buf); err != nil {
					return nil, err
				}
				*l = last{value: v, s: string(buf), ok: true}
			}
			p.values = append(p.values, l.s)
		}
		p.begins = append(p.begins, len(p.values))
	}
	return p, nil
}

// memoryBytes is about what the page takes: strings are shared while they
// repeat, about one in four is new.
func (p *loadedLabels) memoryBytes() int {
	return p.SeriesPage.MemoryBytes() + 16*cap(p.values) + 8*cap(p.values) + 8*cap(p.begins) + 8*p.Len()
}

// add adds the labels of the i-th series to sb.
func (p *loadedLabels) add(i int, sb *labels.ScratchBuilder) {
	names, _ := p.Refs(i)
	for k, v := range p.values[p.begins[i]:p.begins[i+1]] {
		sb.Add(p.names[names[k]], v)
	}
}

// hash returns the canonical hash of the i-th series; the hashes of a page are
// computed together.
func (p *loadedLabels) hash(i int) series.Hash { return p.allHashes()[i] }

func (p *loadedLabels) allHashes() []series.Hash {
	p.once.Do(func() {
		p.hashes = make([]series.Hash, p.Len())
		sb := labels.NewScratchBuilder(16)
		var lset labels.Labels
		var buf []byte
		for k := range p.hashes {
			sb.Reset()
			p.add(k, &sb)
			sb.Overwrite(&lset)
			p.hashes[k], buf = series.HashOf(lset, buf)
		}
	})
	return p.hashes
}

// Labels overwrites sb with the labels of a series. Select has verified the
// bytes that they come from.
func (b *Block) Labels(ref part.Ref, sb *labels.ScratchBuilder) {
	sb.Reset()
	p, at := b.mustLoadLabels(ref)
	p.add(at, sb)
}

// mustLoadLabels panics when labels cannot be read: their checksum was right
// when Select handed the series out, so it is a defect of this program.
func (b *Block) mustLoadLabels(ref part.Ref) (*loadedLabels, int) {
	p, at, err := b.loadLabels(ref)
	if err != nil {
		panic(fmt.Sprintf("%s: labels of series %d: %s", b.name, ref, err))
	}
	return p, at
}

// LabelValue returns one label of a series, "" when it has none.
func (b *Block) LabelValue(ref part.Ref, name string) string {
	p, at := b.mustLoadLabels(ref)
	names, _ := p.Refs(at)
	for k, n := range names {
		if p.names[n] == name {
			return p.values[p.begins[at]+k]
		}
	}
	return ""
}

// Hash returns the canonical hash of a series' labels.
func (b *Block) Hash(ref part.Ref) series.Hash {
	p, at := b.mustLoadLabels(ref)
	return p.hash(at)
}

// Hashes implements part.Hasher: those of neighbours are in one page.
func (b *Block) Hashes(refs []part.Ref, of []series.Hash) {
	for i := 0; i < len(refs); {
		p, at := b.mustLoadLabels(refs[i])
		hashes, first := p.allHashes(), refs[i]-part.Ref(at)
		for ; i < len(refs) && refs[i] >= first && int(refs[i]-first) < len(hashes); i++ {
			of[i] = hashes[refs[i]-first]
		}
	}
}

// Find returns the series with exactly these labels, and whether there is one,
// by binary search.
func (b *Block) Find(lset labels.Labels) (part.Ref, bool, error) {
	if b.broken != nil {
		return 0, false, b.broken
	}
	if err := b.index.CheckSeries(); err != nil {
		return 0, false, b.damageOf(fmt.Errorf("find: %w", err), nil)
	}
	sb := labels.NewScratchBuilder(16)
	var have labels.Labels
	i, found := sort.Find(b.index.Series(), func(i int) int {
		b.Labels(part.Ref(i), &sb)
		sb.Overwrite(&have)
		return labels.Compare(lset, have)
	})
	return part.Ref(i), found, nil
}

// LabelNames returns the sorted names of all labels.
func (b *Block) LabelNames(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b.broken != nil {
		return nil, b.broken
	}
	return slices.Clone(b.index.Names()), nil
}

// LabelValues returns the sorted values of one label.
func (b *Block) LabelValues(ctx context.Context, name string) ([]string, error) {
	if b.broken != nil {
		return nil, b.broken
	}
	i, ok := slices.BinarySearch(b.index.Names(), name)
	if !ok {
		return nil, nil
	}
	table, err := b.index.Values(i)
	if err != nil {
		return nil, b.damageOf(fmt.Errorf("values of label %s: %w", name, err), nil)
	}
	out := make([]string, 0, table.Len())
	err = table.Range(0, func(i int, v []byte) bool {
		out = append(out, string(v))
		return i%ctxEvery != 0 || ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: values of label %s: %w", b.name, name, context.Cause(ctx))
	}
	if err != nil {
		return nil, b.damageOf(fmt.Errorf("values of label %s: %w", name, err), nil)
	}
	return out, nil
}
