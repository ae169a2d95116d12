package compact

import (
	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// tombstone is one whose matchers are ready.
type tombstone struct {
	format.Tombstone
	rule mask.Rule
}

type tombstones []tombstone

func compile(in []format.Tombstone) (tombstones, error) {
	out := make(tombstones, 0, len(in))
	for _, t := range in {
		rule, err := mask.OfTombstone(t)
		if err != nil {
			return nil, err
		}
		out = append(out, tombstone{Tombstone: t, rule: rule})
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

// hide returns the pieces without what the tombstones of their source hide,
// and counts the samples that are gone.
func (ts tombstones) hide(lset labels.Labels, src part.Part, pieces []part.Piece, deleted *uint64) ([]part.Piece, error) {
	var hidden []part.Hidden
	for i := range ts {
		if ts[i].rule.Matches(lset) {
			hidden = append(hidden, ts[i].rule.Hidden)
		}
	}
	if len(hidden) == 0 {
		return pieces, nil
	}
	before := total(pieces)
	left, err := mask.Hide(src, pieces, hidden...)
	*deleted += before - total(left)
	return left, err
}

func total(pieces []part.Piece) uint64 {
	n := 0
	for i := range pieces {
		n += sampleCount(&pieces[i])
	}
	return uint64(n)
}

func sampleCount(p *part.Piece) int {
	if p.Chunk.Kind == storage.None {
		return 0
	}
	return column.SampleCount(p.Chunk.Runs, int(p.To-p.From))
}
