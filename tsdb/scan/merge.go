package scan

import (
	"context"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/part"
)

// member is a series in one part; next is the index of the same series in a
// later part, -1 at the end.
type member struct {
	part int32
	ref  part.Ref
	next int32
}

// entry is one series of all parts: a chain of members in the parts' order.
type entry struct {
	hash       series.Hash
	head, tail int32
}

// merger merges sorted lists of series. It compares label sets only where the
// hashes at the fronts of two lists differ: parts of one tenant have mostly
// the same series, in the same order.
type merger struct {
	parts   []part.Part
	members []member
	sides   [2]struct {
		head    int32                 // whose labels lset has, -1: of none
		builder labels.ScratchBuilder // owns the memory of lset
		lset    labels.Labels
	}
}

// mergeParts selects in every part and returns the series in label order. A
// part that is damaged has none, and is named in w.
func mergeParts(ctx context.Context, parts []part.Part, ms []*labels.Matcher, w *warnings) (*merger, []entry, error) {
	m := &merger{parts: parts}
	found, total := make([][]part.Ref, len(parts)), 0
	for i, p := range parts {
		refs, err := p.Select(ctx, ms...)
		if err != nil && !w.addDamage(err) {
			return nil, nil, fmt.Errorf("select in %s: %w", p.Name(), err)
		}
		found[i] = refs
		total += len(refs)
	}
	m.members = make([]member, 0, total)
	lists := make([][]entry, len(parts))
	var hashes []series.Hash
	for i, refs := range found {
		hashes = slices.Grow(hashes[:0], len(refs))[:len(refs)]
		part.Hashes(parts[i], refs, hashes)
		list := make([]entry, len(refs))
		for k, ref := range refs {
			at := int32(len(m.members))
			m.members = append(m.members, member{part: int32(i), ref: ref, next: -1})
			list[k] = entry{hash: hashes[k], head: at, tail: at}
		}
		lists[i] = list
	}
	// Neighbours first, as in a merge sort: every series is looked at once for
	// each doubling, and chains stay in the parts' order.
	for len(lists) > 1 {
		half := lists[:0]
		for i := 0; i < len(lists); i += 2 {
			if i+1 == len(lists) {
				half = append(half, lists[i])
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			half = append(half, m.merge(lists[i], lists[i+1]))
		}
		lists = half
	}
	if len(lists) == 0 {
		return m, nil, nil
	}
	return m, lists[0], nil
}

// merge merges two sorted lists; where both have a series, a's members come
// first.
func (m *merger) merge(a, b []entry) []entry {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	if alike(a, b) {
		for i := range a {
			m.members[a[i].tail].next, a[i].tail = b[i].head, b[i].tail
		}
		return a
	}
	out := make([]entry, 0, max(len(a), len(b))+min(len(a), len(b))/8)
	m.sides[0].head, m.sides[1].head = -1, -1
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		order := 0
		if a[i].hash != b[j].hash {
			order = labels.Compare(m.labels(0, a[i].head), m.labels(1, b[j].head))
		}
		switch {
		case order < 0:
			out = append(out, a[i])
			i++
		case order > 0:
			out = append(out, b[j])
			j++
		default:
			m.members[a[i].tail].next = b[j].head
			out = append(out, entry{hash: a[i].hash, head: a[i].head, tail: b[j].tail})
			i++
			j++
		}
	}
	out = append(out, a[i:]...)
	return append(out, b[j:]...)
}

// alike tells whether two lists have the same series: parts mostly do.
func alike(a, b []entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].hash != b[i].hash {
			return false
		}
	}
	return true
}

// labels returns the labels of a member in memory that is used again for the
// next one of the same side.
func (m *merger) labels(side int, head int32) labels.Labels {
	s := &m.sides[side]
	if s.head != head {
		x := m.members[head]
		m.parts[x.part].Labels(x.ref, &s.builder)
		s.builder.Overwrite(&s.lset)
		s.head = head
	}
	return s.lset
}
