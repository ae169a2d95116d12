package planner_test

import (
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// origins knows which blocks went into which.
type origins map[ulid.ULID][]manifest.Block

func newOrigins(blocks []manifest.Block) origins {
	o := origins{}
	for _, b := range blocks {
		o[b.ID] = []manifest.Block{b}
	}
	return o
}

// follow notes what a job does.
func (o origins) follow(e manifest.Edit) {
	for _, b := range e.Added {
		for _, id := range e.Removed {
			o[b.ID] = append(o[b.ID], o[id]...)
		}
	}
}

// inOrder fails where, of two blocks, the wrong one would win for a time that
// origins of both may have (I3).
func (o origins) inOrder(blocks []manifest.Block) error {
	for _, a := range blocks {
		for _, b := range blocks {
			if planner.CompareAcceptance(a, b) >= 0 {
				continue
			}
			for _, x := range o[a.ID] {
				i := slices.IndexFunc(o[b.ID], func(y manifest.Block) bool {
					return x.MinTime <= y.MaxTime && y.MinTime <= x.MaxTime && planner.CompareAcceptance(x, y) > 0
				})
				if i >= 0 {
					return fmt.Errorf("%+v comes before %+v, but there is %+v in it, and %+v in the other", a, b, x, o[b.ID][i])
				}
			}
		}
	}
	return nil
}
