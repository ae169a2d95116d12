package tsdb_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// base is 2023-11-14 22:00:00 UTC, a multiple of two hours.
const base = 1_699_999_200_000

// running is a database with its Run.
type running struct {
	*tsdb.DB
	fs   vfs.FS
	opts tsdb.Options
	deps tsdb.Deps

	stop func() error
}

// start opens a database and runs it until stop or the end of the test.
func start(fs vfs.FS, o tsdb.Options, d tsdb.Deps) (*running, error) {
	d.FS, d.Dir = fs, "data"
	if d.Clock == nil {
		d.Clock = func() time.Time { return time.UnixMilli(base).Add(6 * time.Hour) }
	}
	db, err := tsdb.Open(context.Background(), o, d)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- db.Run(ctx) }()
	r := &running{DB: db, fs: fs, opts: o, deps: d}
	r.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		if cerr := db.Close(); err == nil {
			err = cerr
		}
		return err
	})
	return r, nil
}

func mustStart(t testing.TB, fs vfs.FS, o tsdb.Options, d tsdb.Deps) *running {
	t.Helper()
	r, err := start(fs, o, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// quiet are options with loops that do not come round within a test.
func quiet(blockRange time.Duration) tsdb.Options {
	return tsdb.Options{BlockRange: blockRange, Retention: -1, SealEvery: 3, MaintenanceInterval: time.Hour, SyncInterval: 10 * time.Millisecond}
}

func TestConformance(t *testing.T) {
	cases := []struct {
		name    string
		opts    tsdb.Options
		disturb func(t *testing.T, s storage.Store)
	}{
		{"all in the head", quiet(2 * time.Hour), nil},
		{"cut and compacted all the time", quiet(time.Minute), func(t *testing.T, s storage.Store) {
			disturb(t, s.(*running), 0)
			disturb(t, s.(*running), 1)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			storagetest.Run(t, storagetest.Harness{
				LateWindow: 2 * time.Hour,
				Base:       base,
				Open:       opened(c.opts), Reopen: reopened, Disturb: c.disturb,
			})
		})
	}
}

// historiesVariable sets how many random histories TestHistories checks.
const historiesVariable = "NILOMETER_HISTORIES"

// TestHistories: whatever the block range, and wherever the history is cut,
// compacted and restarted, the answers are those of the model, bit for bit.
func TestHistories(t *testing.T) {
	n := 12
	if testing.Short() {
		n = 5 // all block ranges among them
	}
	if v := os.Getenv(historiesVariable); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatalf("%s=%q: %s", historiesVariable, v, err)
		}
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			ranges := []time.Duration{10 * time.Second, time.Minute, 7 * time.Minute, time.Hour}
			opts := quiet(ranges[rng.IntN(len(ranges))])
			often := 1 + rng.IntN(6)
			storagetest.History(t, storagetest.Harness{
				LateWindow: 2 * time.Hour,
				Base:       base,
				Open:       opened(opts),
				Reopen:     reopened,
				Disturb:    func(t *testing.T, s storage.Store) { disturb(t, s.(*running), rng.IntN(3*often)) },
			}, 1000+seed)
		})
	}
}

// disturb cuts, compacts, or does nothing.
func disturb(t *testing.T, db *running, what int) {
	t.Helper()
	work := func(context.Context) error { return nil }
	switch what {
	case 0:
		work = db.Cut
	case 1:
		work = db.Compact
	}
	if err := work(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func opened(o tsdb.Options) func(t *testing.T, a storage.Admitter) storage.Store {
	return func(t *testing.T, a storage.Admitter) storage.Store {
		return mustStart(t, mem.New(), o, tsdb.Deps{Admitter: a})
	}
}

func reopened(t *testing.T, s storage.Store) storage.Store {
	t.Helper()
	db := s.(*running)
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	return mustStart(t, db.fs, db.opts, tsdb.Deps{Admitter: db.deps.Admitter})
}

func at(seconds int64) int64 { return base + 1000*seconds }
