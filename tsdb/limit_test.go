package tsdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/pressure"
	"github.com/nilometer/nilometer/vfs/mem"
)

// limited is a database of a limit of 1000 MiB that sees a usage, in MiB.
func limited(t *testing.T, fs *mem.FS, usage int64) *running {
	t.Helper()
	o := quiet(time.Hour)
	o.MemoryLimit = 1000 << 20
	return mustStart(t, fs, o, tsdb.Deps{MemoryUsage: func() pressure.Usage { return pressure.Usage{Anonymous: usage << 20} }})
}

// push appends one sample of each of some series, and returns why the first was
// refused.
func push(t *testing.T, db *running, kind storage.GroupKind, seconds int64, names ...string) (storage.Reason, error) {
	t.Helper()
	g, err := db.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(kind, "g"))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close() //nolint:errcheck // it has no error
	var lsets []labels.Labels
	for _, n := range names {
		lsets = append(lsets, storagetest.Named(n))
	}
	out := make([]storage.Resolution, len(lsets))
	b := storage.Batch{Time: at(seconds)}
	if b.Version, err = g.Resolve(t.Context(), lsets, out); err != nil {
		t.Fatal(err)
	}
	reason := storage.ReasonNone
	for _, r := range out {
		if r.Slot == storage.NoSlot {
			reason = r.Reason
			continue
		}
		b.Slots, b.Values = append(b.Slots, r.Slot), append(b.Values, float64(seconds))
	}
	_, err = g.Append(t.Context(), &b, storage.Logged)
	return reason, err
}

// TestMemoryAside: what is set aside for scrapes is no room for new series, and
// no more of them come in at once than there is room for.
func TestMemoryAside(t *testing.T) {
	o := quiet(time.Hour)
	o.MemoryLimit = 1000 << 20
	db := mustStart(t, mem.New(), o, tsdb.Deps{
		MemoryUsage: func() pressure.Usage { return pressure.Usage{Anonymous: 800 << 20} },
		MemoryAside: func() int64 { return 100<<20 - 3<<10 },
	})
	if reason, err := push(t, db, storage.Closed, 0, "a", "b", "c", "d", "e"); err != nil || reason != storage.ReasonMemory {
		t.Errorf("five series where there is room for three: %s, %v", reason, err)
	}
	if n := db.ActiveSeries(tenant.Default); n != 3 {
		t.Errorf("%d series came in, want 3", n)
	}
	if reason, err := push(t, db, storage.Closed, 1, "a", "b", "c"); err != nil || reason != storage.ReasonNone {
		t.Errorf("known series: %s, %v", reason, err)
	}
}

// TestMemoryLimit goes up the ladder, and starts a new database on the same
// directory at each step.
func TestMemoryLimit(t *testing.T) {
	fs := mem.New()
	samples := 0
	for i, c := range []struct {
		usage  int64
		reason storage.Reason // of a new series
		query  bool           // queries are answered
		push   bool           // known series may be pushed
	}{
		{500, storage.ReasonNone, true, true},
		{890, storage.ReasonNone, true, true},
		{900, storage.ReasonMemory, true, true},
		{950, storage.ReasonMemory, false, true},
		{970, storage.ReasonMemory, false, false},
		{500, storage.ReasonNone, true, true},
	} {
		db := limited(t, fs, c.usage)
		seconds := int64(10 * i)
		known := []string{"known_a", "known_b"}
		if reason, err := push(t, db, storage.Closed, seconds, known...); err != nil || reason != storage.ReasonNone {
			t.Errorf("at %d: a scrape of known series: %s, %v", c.usage, reason, err)
		}
		samples += len(known)
		fresh := "new_" + string(rune('a'+i))
		if reason, err := push(t, db, storage.Closed, seconds+1, append(known, fresh)...); err != nil || reason != c.reason {
			t.Errorf("at %d: a scrape with a new series: %s, %v", c.usage, reason, err)
		} else if samples += len(known); reason == storage.ReasonNone {
			samples++
		}
		_, err := push(t, db, storage.Open, seconds+2, "known_a")
		if c.push && err != nil || !c.push && !errors.Is(err, storage.ErrOverloaded) {
			t.Errorf("at %d: a push: %v", c.usage, err)
		}
		if err == nil {
			samples++
		}
		v, err := db.View(t.Context(), tenant.Default)
		if c.query && err != nil || !c.query && !errors.Is(err, storage.ErrOverloaded) {
			t.Errorf("at %d: a query: %v", c.usage, err)
		}
		if err == nil {
			v.Close()
		}
		if got := count(t, db); got != samples {
			t.Errorf("at %d: a rule sees %d samples, want %d", c.usage, got, samples)
		}
		if err := db.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// essential reads as rules do.
type essential struct{ storage.Store }

func (e essential) View(ctx context.Context, id tenant.ID) (storage.View, error) {
	return e.Store.View(storage.Essential(ctx), id)
}

func count(t *testing.T, db *running) (n int) {
	t.Helper()
	for _, s := range mustRead(t, essential{db}) {
		n += len(s.Samples)
	}
	return n
}
