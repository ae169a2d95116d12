package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// crowd is many goroutines on one database: every sample's value follows from
// its series and time, so that a reader can judge what it finds.
type crowd struct {
	*testing.T
	db *running

	mu      sync.Mutex // guards what follows
	acked   map[string][]int64
	deleted map[string]int64 // the time up to which a series was deleted
}

// crowdValue is the value of a series at a time.
func crowdValue(name string, t int64) float64 {
	h := uint64(t)
	for _, c := range name {
		h = (h ^ uint64(c)) * 0x9e3779b97f4a7c15
	}
	if h%3 == 0 {
		return float64(len(name)) // for the runs of equal values
	}
	return math.Float64frombits(h &^ (1 << 62))
}

// TestConcurrently scrapes, pushes, reads, cuts, compacts and deletes all at
// once. It is for the race detector, and for deadlocks; but what is read must be
// right as well.
func TestConcurrently(t *testing.T) {
	steps := int64(600)
	if testing.Short() {
		steps = 150
	}
	c := &crowd{T: t, db: mustStart(t, mem.New(), quiet(4*time.Second), tsdb.Deps{}), acked: map[string][]int64{}, deleted: map[string]int64{}}
	var writers, others sync.WaitGroup
	done := make(chan struct{})
	for k := range 2 {
		writers.Go(func() {
			c.write(storage.Closed, fmt.Sprint("scrape", k), steps, fmt.Sprintf("a%d", k), fmt.Sprintf("b%d", k), fmt.Sprintf("c%d", k))
		})
	}
	for k := range 3 { // two of three bring the same series
		writers.Go(func() {
			c.write(storage.Open, "push", steps, fmt.Sprintf("p%d", k/2), fmt.Sprintf("gone%d", k/2))
		})
	}
	until := func(work func() error) {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := work(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	until(c.read)
	until(c.read)
	until(func() error { return c.db.Cut(t.Context()) })
	until(func() error { return c.db.Compact(t.Context()) })
	until(c.delete)
	writers.Wait()
	close(done)
	others.Wait()
	if err := c.read(); err != nil {
		t.Error(err)
	}
}

// write appends steps batches of a writer, with every other one acknowledged as
// durable. A sample that came too late for its span is not there.
func (c *crowd) write(kind storage.GroupKind, group string, steps int64, names ...string) {
	g, err := c.db.OpenGroup(c.Context(), tenant.Default, storagetest.Spec(kind, group))
	if err != nil {
		c.Error(err)
		return
	}
	defer g.Close()
	lsets, out := make([]labels.Labels, len(names)), make([]storage.Resolution, len(names))
	for i, name := range names {
		lsets[i] = storagetest.Named(name)
	}
	for i := range steps {
		b := &storage.Batch{Time: base + 100*i}
		for _, name := range names {
			b.Values = append(b.Values, crowdValue(name, b.Time))
		}
		for {
			b.Slots = b.Slots[:0]
			if b.Version, err = g.Resolve(c.Context(), lsets, out); err != nil {
				c.Error(err)
				return
			}
			for _, r := range out {
				b.Slots = append(b.Slots, r.Slot)
			}
			res, err := g.Append(c.Context(), b, storage.Logged+storage.Durability(i%2))
			if errors.Is(err, storage.ErrVersion) {
				continue
			}
			if err != nil {
				c.Error(err)
				return
			}
			if !c.note(b.Time, names, res) {
				continue
			}
			break
		}
	}
}

// note remembers what was stored. It returns false when a slot was forgotten
// meanwhile: then the batch is sent again.
func (c *crowd) note(t int64, names []string, res storage.Result) bool {
	refused := map[int]bool{}
	for _, r := range res.Rejected {
		switch {
		case r.Reason == storage.ReasonUnknownSlot:
			return false
		case r.Reason == storage.ReasonTooOld, r.Reason == storage.ReasonOutOfOrder,
			r.Reason == storage.ReasonConflict && names[r.Index][0] == 'g': // a repeat of what was deleted
			refused[r.Index] = true
		default:
			c.Errorf("at %d: rejected %+v", t-base, r)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, name := range names {
		if !refused[i] {
			c.acked[name] = append(c.acked[name], t)
		}
	}
	return true
}

// read takes a view and judges all that is in it.
func (c *crowd) read() error {
	c.mu.Lock()
	acked, deleted := map[string][]int64{}, map[string]int64{}
	for name, times := range c.acked {
		acked[name] = slices.Clip(times)
	}
	for name, t := range c.deleted {
		deleted[name] = t
	}
	c.mu.Unlock()
	found, err := storagetest.ReadAll(c.Context(), c.db, tenant.Default)
	if err != nil {
		return err
	}
	have := map[string]map[int64]bool{}
	for _, s := range found {
		name := s.Labels.Get(model.MetricNameLabel)
		have[name] = map[int64]bool{}
		for _, x := range s.Samples {
			if math.Float64bits(x.V) != math.Float64bits(crowdValue(name, x.T)) {
				return fmt.Errorf("%s at %d is %v", name, x.T-base, x.V)
			}
			if to, ok := deleted[name]; ok && x.T <= to {
				return fmt.Errorf("%s at %d was deleted before", name, x.T-base)
			}
			have[name][x.T] = true
		}
	}
	for name, times := range acked {
		if name[0] == 'g' {
			continue // a deletion may be under way
		}
		for _, t := range times {
			if !have[name][t] {
				return fmt.Errorf("%s at %d was acknowledged, and is not there", name, t-base)
			}
		}
	}
	return nil
}

// delete deletes the older half of a series.
func (c *crowd) delete() error {
	for _, name := range []string{"gone0", "gone1"} {
		c.mu.Lock()
		times := c.acked[name]
		c.mu.Unlock()
		if len(times) == 0 {
			continue
		}
		to := times[len(times)/2]
		err := c.db.Delete(context.Background(), tenant.Default, math.MinInt64, to, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
		if errors.Is(err, storage.ErrUnsupported) {
			return nil
		}
		if err != nil {
			return err
		}
		if name == "gone1" { // of one writer, who comes by each time once
			c.mu.Lock()
			c.deleted[name] = to
			c.mu.Unlock()
		}
	}
	time.Sleep(10 * time.Millisecond) // each deletion is a version of the manifest
	return nil
}
