package compact

import (
	"fmt"
	"sort"

	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// tombstone is one whose matchers are ready.
type tombstone struct {
	format.Tombstone
	matchers []*labels.Matcher
}

type tombstones []tombstone

var matchTypes = map[string]labels.MatchType{
	"=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp,
}

func compile(in []format.Tombstone) (tombstones, error) {
	out := make(tombstones, 0, len(in))
	for _, t := range in {
		c := tombstone{Tombstone: t}
		for _, m := range t.Matchers {
			typ, ok := matchTypes[m.Op]
			if !ok {
				return nil, fmt.Errorf("tombstone %d: unknown operator %q", t.Seq, m.Op)
			}
			matcher, err := labels.NewMatcher(typ, m.Name, m.Value)
			if err != nil {
				return nil, fmt.Errorf("tombstone %d: %w", t.Seq, err)
			}
			c.matchers = append(c.matchers, matcher)
		}
		out = append(out, c)
	}
	return out, nil
}

// of returns the tombstones that may hide something in a block.
func (ts tombstones) of(b format.Block) tombstones {
	var out tombstones
	for _, t := range ts {
		if planner.Hides(t.Tombstone, b) {
			out = append(out, t)
		}
	}
	return out
}

func (t tombstone) matches(lset labels.Labels) bool {
	for _, m := range t.matchers {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

// hide returns the pieces without what the tombstones of their source hide,
// and counts the samples that are gone.
func (ts tombstones) hide(lset labels.Labels, src part.Part, pieces []part.Piece, deleted *uint64) ([]part.Piece, error) {
	for _, t := range ts {
		if !t.matches(lset) {
			continue
		}
		var out []part.Piece
		for i := range pieces {
			p := &pieces[i]
			times, err := src.Column(p.Column)
			if err != nil {
				return nil, err
			}
			times = times[p.From:p.To]
			from := sort.Search(len(times), func(i int) bool { return times[i] >= t.MinTime })
			to := sort.Search(len(times), func(i int) bool { return times[i] > t.MaxTime })
			if from >= to {
				out = append(out, *p)
				continue
			}
			before := sampleCount(p)
			for _, keep := range [][2]int{{0, from}, {to, len(times)}} {
				if keep[0] >= keep[1] {
					continue
				}
				q, err := block.Cut(p, p.From+uint32(keep[0]), p.From+uint32(keep[1]))
				if err != nil {
					return nil, err
				}
				out = append(out, q)
				before -= sampleCount(&q)
			}
			*deleted += uint64(before)
		}
		pieces = out
	}
	return pieces, nil
}

func sampleCount(p *part.Piece) int {
	if p.Chunk.Kind == storage.None {
		return 0
	}
	return column.SampleCount(p.Chunk.Runs, int(p.To-p.From))
}
