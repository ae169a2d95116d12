package tsdb

import (
	"slices"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// blockMask is what deletions hide of one block.
type blockMask struct {
	sets  *mask.Sets
	rules []mask.Rule // of tombstones that are not applied, seldom any
}

// masksOf returns the masks of a state's open blocks. What the old generation
// knows about a block stays known.
func masksOf(s format.State, blocks []*block.Block, old *generation) ([]blockMask, error) {
	out := make([]blockMask, len(blocks))
	known := map[*block.Block]*mask.Sets{}
	if old != nil {
		for i, x := range old.blocks {
			known[x] = old.masks[i].sets
		}
	}
	rules := make([]mask.Rule, len(s.Tombstones))
	for i, t := range s.Tombstones {
		var err error
		if rules[i], err = mask.OfTombstone(t); err != nil {
			return nil, err
		}
	}
	for i, x := range blocks {
		if out[i].sets = known[x]; out[i].sets == nil {
			out[i].sets = mask.NewSets(x)
		}
		meta, _ := s.Block(x.Meta().ID)
		for k, t := range s.Tombstones {
			if planner.Hides(t, meta) {
				out[i].rules = append(out[i].rules, rules[k])
			}
		}
	}
	return out, nil
}

// part returns what is left of a block by the mask, and by more rules.
func (m *blockMask) part(b *block.Block, more ...mask.Rule) part.Part {
	if len(m.rules)+len(more) == 0 {
		return b
	}
	rules := append(slices.Clip(m.rules), more...)
	if h := mask.Ruled(m.sets, rules); h != nil {
		return mask.New(b, h)
	}
	return b
}

// headPart is a snapshot of a head without what is deleted.
type headPart struct{ part.Part }

// EstimateSeries implements part.Estimator.
func (p headPart) EstimateSeries(ref part.Ref, minTime, maxTime int64) (samples, bytes int64) {
	return p.Part.(part.Estimator).EstimateSeries(ref, minTime, maxTime)
}

// Outline implements part.Outliner.
func (p headPart) Outline(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	return p.Part.(part.Outliner).Outline(ref, minTime, maxTime, dst)
}

// Walk implements part.Walker.
func (p headPart) Walk(minTime, maxTime int64) part.Walk {
	return part.WalkOf(p.Part, minTime, maxTime)
}

// Hashes implements part.Hasher.
func (p headPart) Hashes(refs []part.Ref, of []series.Hash) { part.Hashes(p.Part, refs, of) }

// GroupKeys implements part.Grouper.
func (p headPart) GroupKeys(names []string, without bool, refs []part.Ref, keys []uint64) bool {
	return p.Part.(part.Grouper).GroupKeys(names, without, refs, keys)
}

// visible returns what deletions leave of a snapshot.
func visible(s *head.Snapshot) headPart {
	if !s.Deletes() {
		return headPart{s}
	}
	return headPart{mask.New(s, s)}
}
