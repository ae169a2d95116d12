package head_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// ledger is a history of commits in one thread, with what a store must hold
// after each of them. A crash leaves the state after some commit: none is
// there in part, and none without those before it.
type ledger struct {
	states       [][]storagetest.Series
	acknowledged int // index in states
}

// play writes a history until something fails.
func (l *ledger) play(fs vfs.FS, faults *vfstest.FS) {
	*l = ledger{states: [][]storagetest.Series{nil}}
	rng := rand.New(rand.NewPCG(5, 5))
	model := storagetest.NewMemory(storagetest.MemoryOptions{LateWindow: 2 * time.Hour})
	values := map[string]float64{}
	now := int64(0)
	for range 2 {
		s, err := open(fs, nil)
		if err != nil {
			return
		}
		var groups [2]map[string]storage.Group
		for i, st := range []storage.Store{s, model} {
			groups[i] = map[string]storage.Group{}
			for _, spec := range stormGroups() {
				if groups[i][spec.Name], err = st.OpenGroup(context.Background(), tenant.Default, spec); err != nil {
					return
				}
			}
		}
		for step := range 14 {
			now += 5
			spec := stormGroups()[rng.IntN(4)]
			b := storage.Batch{Time: origin + 1000*now, BodyStale: spec.Kind == storage.Closed && rng.IntN(6) == 0}
			var lsets []labels.Labels
			for k := range 5 {
				name := fmt.Sprintf("s%d", k+len(spec.Name)+rng.IntN(2))
				switch rng.IntN(4) {
				case 0:
					continue
				case 1:
					b.Values = append(b.Values, column.StaleNaN())
				default:
					values[name] += float64(rng.IntN(100)) / 4
					b.Values = append(b.Values, values[name])
				}
				lsets = append(lsets, storagetest.Named(name))
			}
			if faults != nil && step == 9 {
				faults.FailKind(vfstest.Sync, "wal", vfs.ErrFull)
			}
			d := storage.Durability(1 + rng.IntN(2))
			failed := write(s, groups[0][spec.Name], b, lsets, d)
			if failed == nil || errors.Is(failed, storage.ErrUncertain) {
				if err := write(model, groups[1][spec.Name], b, lsets, d); err != nil {
					return
				}
				l.states = append(l.states, read(model))
			}
			if faults != nil && step == 10 {
				faults.Fail(nil)
				if s.log.Sync(context.Background()) != nil { // the probe
					return
				}
				failed, d = nil, storage.Synced
			}
			if failed != nil && faults == nil {
				return
			}
			if failed == nil && d == storage.Synced {
				l.acknowledged = len(l.states) - 1
			}
		}
		if s.log.Close() != nil {
			return
		}
		l.acknowledged = len(l.states) - 1
	}
}

func write(st storage.Store, g storage.Group, b storage.Batch, lsets []labels.Labels, d storage.Durability) error {
	out := make([]storage.Resolution, len(lsets))
	version, err := g.Resolve(context.Background(), lsets, out)
	if err != nil {
		return err
	}
	b.Version = version
	seen := map[storage.Slot]bool{}
	vs := b.Values
	b.Values = nil
	for i, r := range out {
		if !seen[r.Slot] {
			seen[r.Slot] = true
			b.Slots, b.Values = append(b.Slots, r.Slot), append(b.Values, vs[i])
		}
	}
	p, err := g.Prepare(context.Background(), &b)
	if err != nil {
		return err
	}
	return st.Commit(context.Background(), d, p)
}

func read(st storage.Store) []storagetest.Series {
	got, err := storagetest.ReadAll(context.Background(), st, tenant.Default)
	if err != nil {
		panic(err)
	}
	return got
}

// check compares what a crash has left with the states that it may leave.
func (l *ledger) check(t *testing.T, fs vfs.FS) {
	t.Helper()
	s, err := open(fs, nil)
	if err != nil {
		t.Errorf("open after the crash: %s", err)
		return
	}
	defer s.log.Close() //nolint:errcheck // nothing is in it
	got := read(s)
	var nearest string
	for i := l.acknowledged; i < len(l.states); i++ {
		d := storagetest.Diff(l.states[i], got)
		if d == "" {
			return
		}
		if nearest == "" {
			nearest = d
		}
	}
	t.Errorf("what the crash left is no state from number %d of %d on: it differs from that one: %s", l.acknowledged, len(l.states), nearest)
}

func TestCrash(t *testing.T) {
	var l ledger
	vfstest.EveryCrash(t, func(fs vfs.FS) { l.play(fs, nil) }, func(fs vfs.FS) { l.check(t, fs) })
}

// TestCrashAfterAFailedSync has a disk that fails for a while in every life.
func TestCrashAfterAFailedSync(t *testing.T) {
	var l ledger
	workload := func(fs vfs.FS) {
		faults := vfstest.New(fs)
		l.play(faults, faults)
	}
	vfstest.EveryCrash(t, workload, func(fs vfs.FS) { l.check(t, fs) })
}
