package tsdb_test

import (
	"math/rand/v2"
	"testing"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// schedules is how often TestSchedules moves the same samples about.
const schedules = 8

// TestSchedules brings the same samples to databases that cut, compact and
// start again at other moments, with other block ranges: they have the same in
// the end. It needs no model.
func TestSchedules(t *testing.T) {
	n := uint64(schedules)
	if testing.Short() {
		n = 3
	}
	for history := range n / 2 {
		var first map[tenant.ID][]storagetest.Series
		for schedule := range n {
			s := scheduled(history, schedule)
			_, err := bubbleOf(t, s, func(r *run) {
				got, err := everythingOf(r.db)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = got
				}
				for _, id := range modelTenants() {
					if d := storagetest.Diff(first[id], got[id]); d != "" {
						t.Fatalf("history %d, schedule %d, tenant %s: %s\n%s", history, schedule, id, d, s)
					}
				}
			})
			if err != nil {
				t.Fatalf("history %d, schedule %d: %s\n%s", history, schedule, err, s)
			}
		}
	}
}

// scheduled is a script of samples in order of time, as whatever comes late
// depends on what was cut, with maintenance in between.
func scheduled(history, schedule uint64) script {
	d := newDraw(rand.New(rand.NewPCG(history, 17)))
	rng := rand.New(rand.NewPCG(schedule, 19))
	s := script{Settings: settings{BlockRangeMs: modelRanges()[schedule%4]}}
	often := 1 + rng.IntN(12)
	for range 120 {
		name := d.names[d.rng.IntN(len(d.names))]
		g := modelGroups()[name]
		d.now += 1_000 + 1_000*d.rng.Int64N(8)
		o := op{Do: doAppend, Group: name, Synced: true, Rows: d.scrape(name, g)[:1]}
		if g.kind == storage.Open {
			o.Rows[0].BodyStale = false
		}
		s.Ops = append(s.Ops, o)
		if rng.IntN(often) > 0 {
			continue
		}
		switch rng.IntN(7) {
		case 0, 1, 2:
			s.Ops = append(s.Ops, op{Do: doCut})
		case 3, 4, 5:
			s.Ops = append(s.Ops, op{Do: doCut}, op{Do: doCompact})
		default:
			s.Ops = append(s.Ops, op{Do: doHold})
		}
	}
	return s
}
