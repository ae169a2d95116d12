// Package mask hides samples of a part: what a deletion or a retention of less
// than all series takes away before it is gone from the files.
//
// It owns which series of a part a rule matches, and how pieces look without
// what is hidden. A masked part is a part like any other; where nothing of a
// piece is hidden it hands out the piece as it is.
//
// Callers mask a part only where a rule overlaps it: a part without rules costs
// nothing.
//
// Invariants:
//
//   - I1: a masked part never hands out a hidden sample, and all others as they
//     were (N6).
//   - I2: series that a rule hides for the part's whole range are left out of
//     Select. Names and values of labels leave them out where there are at most
//     labelledMax series to look at.
package mask

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Rule hides a range of times of the series that match every matcher.
type Rule struct {
	Matchers []*labels.Matcher
	part.Hidden
}

// Matches tells whether the rule is about a label set.
func (r *Rule) Matches(lset labels.Labels) bool {
	for _, m := range r.Matchers {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

// Key names the series that the rule is about.
func (r *Rule) Key() string {
	var b strings.Builder
	for _, m := range r.Matchers {
		b.WriteString(m.String())
		b.WriteByte(0)
	}
	return b.String()
}

var matchTypes = map[string]labels.MatchType{
	"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp,
}

// Matchers reads the matchers of a tombstone.
func Matchers(in []format.Matcher) ([]*labels.Matcher, error) {
	out := make([]*labels.Matcher, 0, len(in))
	for _, m := range in {
		typ, ok := matchTypes[m.Op]
		if !ok {
			return nil, fmt.Errorf("unknown operator %q", m.Op)
		}
		matcher, err := labels.NewMatcher(typ, m.Name, m.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, matcher)
	}
	return out, nil
}

// OfTombstone returns the rule of a tombstone.
func OfTombstone(t format.Tombstone) (Rule, error) {
	ms, err := Matchers(t.Matchers)
	if err != nil {
		return Rule{}, fmt.Errorf("tombstone %d: %w", t.Seq, err)
	}
	return Rule{Matchers: ms, Hidden: part.Hidden{MinTime: t.MinTime, MaxTime: t.MaxTime}}, nil
}

// Hide returns pieces of a source without what is hidden; decoded where a piece
// is hidden in part. pieces is not changed.
func Hide(src part.Part, pieces []part.Piece, hidden ...part.Hidden) ([]part.Piece, error) {
	for _, h := range hidden {
		if h.MinTime > h.MaxTime {
			continue
		}
		var out []part.Piece
		for i := range pieces {
			var err error
			if out, err = appendVisible(out, src, &pieces[i], h); err != nil {
				return nil, err
			}
		}
		pieces = out
	}
	return pieces, nil
}

func appendVisible(dst []part.Piece, src part.Part, p *part.Piece, h part.Hidden) ([]part.Piece, error) {
	times, err := src.Column(p.Column)
	if err != nil {
		return dst, err
	}
	times = times[p.From:p.To]
	from := sort.Search(len(times), func(i int) bool { return times[i] >= h.MinTime })
	to := sort.Search(len(times), func(i int) bool { return times[i] > h.MaxTime })
	if from >= to {
		return append(dst, *p), nil
	}
	for _, keep := range [2][2]int{{0, from}, {to, len(times)}} {
		if keep[0] >= keep[1] {
			continue
		}
		q, err := block.Cut(p, p.From+uint32(keep[0]), p.From+uint32(keep[1]))
		if err != nil {
			return dst, err
		}
		dst = append(dst, q)
	}
	return dst, nil
}

// Set is the series of a part that a rule matches, as runs of references.
type Set struct {
	runs  []run
	count int
}

type run struct{ from, to part.Ref } // [from, to)

// Has tells whether a series is in the set.
func (s *Set) Has(ref part.Ref) bool {
	i := sort.Search(len(s.runs), func(i int) bool { return s.runs[i].to > ref })
	return i < len(s.runs) && s.runs[i].from <= ref
}

// Len is the number of series.
func (s *Set) Len() int { return s.count }

// Sets remembers the sets of one part whose series and references never change.
// It is safe for concurrent use.
type Sets struct {
	part part.Part

	mu sync.Mutex // guards of
	of map[string]*Set
}

// NewSets returns the sets of a part.
func NewSets(p part.Part) *Sets { return &Sets{part: p, of: map[string]*Set{}} }

// setsMax bounds the sets that are remembered of a part: old ones go, and are
// made again when they are needed.
const setsMax = 256

// Of returns the series that a rule is about.
func (s *Sets) Of(ctx context.Context, r *Rule) (*Set, error) {
	key := r.Key()
	s.mu.Lock()
	found := s.of[key]
	s.mu.Unlock()
	if found != nil {
		return found, nil
	}
	refs, err := s.part.Select(ctx, r.Matchers...)
	if err != nil {
		return nil, err
	}
	slices.Sort(refs)
	found = &Set{count: len(refs)}
	for _, ref := range refs {
		if k := len(found.runs) - 1; k >= 0 && found.runs[k].to == ref {
			found.runs[k].to++
		} else {
			found.runs = append(found.runs, run{ref, ref + 1})
		}
	}
	found.runs = slices.Clip(found.runs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.of) >= setsMax {
		clear(s.of)
	}
	s.of[key] = found
	return found, nil
}
