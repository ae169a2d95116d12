package tsdb_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// crashVariable sets at how many operations TestCrash stops the file system;
// "all" for each of them.
const crashVariable = "NILOMETER_CRASH_STOPS"

func crashes(t *testing.T, standard int) vfstest.Crashes {
	t.Helper()
	c := vfstest.Crashes{StopsMax: standard, Draws: 1}
	switch v := os.Getenv(crashVariable); v {
	case "":
	case "all":
		c.StopsMax, c.Draws = math.MaxInt32, 3
	default:
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("%s=%q: a number of stops, or all", crashVariable, v)
		}
		c.StopsMax = n
	}
	return c
}

// witness writes the same to a database and to two models: what must be found
// after a crash, and what may be.
type witness struct {
	db          storage.Store
	must, may   *storagetest.Memory
	pending     []func() // on must: logged, and not known to be durable yet
	groups      map[string]*witnessGroup
	rng         *rand.Rand
	now         int64
	interrupted bool // a write has failed: the workload is over
}

type witnessGroup struct {
	kind   storage.GroupKind
	series []string
	db     storage.Group
	models map[*storagetest.Memory]storage.Group
	values map[string]float64
}

func newWitness(seed uint64) *witness {
	return &witness{
		must: storagetest.NewMemory(storagetest.MemoryOptions{LateWindow: 2 * time.Hour}), may: storagetest.NewMemory(storagetest.MemoryOptions{}),
		groups: map[string]*witnessGroup{}, rng: rand.New(rand.NewPCG(seed, 7)),
	}
}

// attach gives the witness a database that was just opened: every group has a
// new writer, there and in the models.
func (w *witness) attach(db storage.Store) {
	w.db = db
	w.groups = map[string]*witnessGroup{
		"scrape one": {kind: storage.Closed, series: []string{"a", "b", "c", "d"}},
		"scrape two": {kind: storage.Closed, series: []string{"e", "f"}},
		"push":       {kind: storage.Open, series: []string{"g", "h", "i"}},
	}
	w.durable()
	for name, g := range w.groups {
		g.models, g.values = map[*storagetest.Memory]storage.Group{}, map[string]float64{}
		for _, m := range []*storagetest.Memory{w.must, w.may} {
			g.models[m] = open(m, g.kind, name)
		}
		if g.db = open(db, g.kind, name); g.db == nil {
			w.interrupted = true
		}
	}
}

func open(s storage.Store, kind storage.GroupKind, name string) storage.Group {
	g, err := s.OpenGroup(context.Background(), tenant.Default, storagetest.Spec(kind, name))
	if err != nil {
		return nil
	}
	return g
}

// step writes one batch of a group.
func (w *witness) step(name string, d storage.Durability) {
	if w.interrupted {
		return
	}
	g := w.groups[name]
	w.now += 1 + int64(w.rng.IntN(2))
	b := storage.Batch{Time: at(w.now), BodyStale: g.kind == storage.Closed && w.rng.IntN(12) == 0}
	mentioned := map[string]float64{}
	for i, s := range g.series {
		switch w.rng.IntN(6) {
		case 0:
			mentioned[s] = column.StaleNaN()
		case 1, 2:
			g.values[s] += float64(w.rng.IntN(1000)) / 8
			mentioned[s] = g.values[s]
		case 3:
			mentioned[s] = g.values[s]
		default:
			if i == 0 {
				mentioned[s] = math.Float64frombits(w.rng.Uint64())
			}
		}
	}
	_, err := appendBatch(g.db, g.series, b, mentioned, d)
	if err != nil {
		w.interrupted = true
	}
	if _, err := appendBatch(g.models[w.may], g.series, b, mentioned, d); err != nil {
		panic(err)
	}
	if err != nil {
		return
	}
	w.pending = append(w.pending, func() {
		if _, err := appendBatch(g.models[w.must], g.series, b, mentioned, d); err != nil {
			panic(err)
		}
	})
	if d == storage.Synced {
		w.durable()
	}
}

// durable notes that everything logged so far has reached the disk: the log is
// one.
func (w *witness) durable() {
	for _, apply := range w.pending {
		apply()
	}
	w.pending = nil
}

// appendBatch resolves the names that a batch mentions and appends it.
func appendBatch(g storage.Group, names []string, b storage.Batch, mentioned map[string]float64, d storage.Durability) (storage.Result, error) {
	var lsets []labels.Labels
	for _, name := range names {
		if v, ok := mentioned[name]; ok {
			lsets = append(lsets, storagetest.Named(name))
			b.Values = append(b.Values, v)
		}
	}
	out := make([]storage.Resolution, len(lsets))
	for range 3 {
		version, err := g.Resolve(context.Background(), lsets, out)
		if err != nil {
			return storage.Result{}, err
		}
		b.Version, b.Slots = version, nil
		for _, r := range out {
			b.Slots = append(b.Slots, r.Slot)
		}
		res, err := g.Append(context.Background(), &b, d)
		if err == nil && len(res.Rejected) > 0 {
			return res, fmt.Errorf("batch at %d: rejected %+v", b.Time, res.Rejected)
		}
		if !errors.Is(err, storage.ErrVersion) {
			return res, err
		}
	}
	return storage.Result{}, storage.ErrVersion
}

// between fails unless got has everything that must be there, and nothing that
// may not.
func between(must, got, may []storagetest.Series) error {
	if err := contains(got, must); err != nil {
		return fmt.Errorf("what was acknowledged is lost: %w", err)
	}
	if err := contains(may, got); err != nil {
		return fmt.Errorf("what nobody wrote is there: %w", err)
	}
	return nil
}

func contains(whole, partial []storagetest.Series) error {
	have := map[string]map[int64]storagetest.Sample{}
	for _, s := range whole {
		have[s.Labels.String()] = map[int64]storagetest.Sample{}
		for _, x := range s.Samples {
			have[s.Labels.String()][x.T] = x
		}
	}
	for _, s := range partial {
		for _, x := range s.Samples {
			is, ok := have[s.Labels.String()][x.T]
			if !ok {
				return fmt.Errorf("%s at %d (%v)", s.Labels, x.T, x.V)
			}
			if !is.SameValue(x) || is.Start != x.Start {
				return fmt.Errorf("%s at %d is %+v, not %+v", s.Labels, x.T, is, x)
			}
		}
	}
	return nil
}

func readAll(s storage.Store) ([]storagetest.Series, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return storagetest.ReadAll(ctx, s, tenant.Default)
}

// TestCrash stops the file system anywhere in the life of a database that
// writes, cuts, compacts, ends and starts again.
func TestCrash(t *testing.T) {
	opts := quiet(10 * time.Second)
	var w *witness
	workload := func(fs vfs.FS) {
		w = newWitness(1)
		for range 2 {
			db, err := start(fs, opts, tsdb.Deps{})
			if err != nil {
				return
			}
			w.attach(db)
			w.session(db)
			if err := db.stop(); err != nil {
				return
			}
		}
	}
	check := func(fs vfs.FS) {
		must, may := mustRead(t, w.must), mustRead(t, w.may)
		db, err := start(fs, opts, tsdb.Deps{})
		if err != nil {
			t.Errorf("open after the crash: %s", err)
			return
		}
		first, err := readAll(db)
		if err != nil {
			t.Errorf("read after the crash: %s", err)
		} else if err := between(must, first, may); err != nil {
			t.Error(err)
		}
		checkRecovery(t, db, first)
	}
	vfstest.EveryCrashWith(t, crashes(t, 24), workload, check)
}

// session writes, cuts and compacts for a while.
func (w *witness) session(db *running) {
	names := []string{"scrape one", "scrape two", "push"}
	for i := range 45 {
		d := storage.Logged
		if i%3 == 2 {
			d = storage.Synced
		}
		w.step(names[i%3], d)
		if w.interrupted {
			return
		}
		if i%5 == 4 && db.Seal(context.Background()) != nil {
			return
		}
		if i%9 == 8 && db.Cut(context.Background()) != nil {
			return
		}
		if i%20 == 19 && db.Compact(context.Background()) != nil {
			return
		}
	}
}

// checkRecovery goes on with a recovered database: it takes writes, cuts and
// compacts, and is the same after another start.
func checkRecovery(t *testing.T, db *running, first []storagetest.Series) {
	t.Helper()
	fresh := storagetest.Series{Labels: storagetest.Named("fresh"), Samples: []storagetest.Sample{{T: at(1000), V: 1}, {T: at(2000), V: 2}}}
	if err := storagetest.Load(context.Background(), db, tenant.Default, fresh); err != nil {
		t.Errorf("write after the crash: %s", err)
	}
	for _, work := range []func(context.Context) error{db.Cut, db.Compact} {
		if err := work(context.Background()); err != nil {
			t.Errorf("maintain after the crash: %s", err)
		}
	}
	if err := db.stop(); err != nil {
		t.Errorf("close after the crash: %s", err)
	}
	again, err := start(db.fs, db.opts, tsdb.Deps{})
	if err != nil {
		t.Errorf("open again: %s", err)
		return
	}
	second, err := readAll(again)
	if err != nil {
		t.Errorf("read again: %s", err)
	}
	want := append(append([]storagetest.Series(nil), first...), fresh)
	if err := between(want, second, want); err != nil {
		t.Errorf("after another start: %s", err)
	}
	if err := again.stop(); err != nil {
		t.Errorf("close again: %s", err)
	}
}

func mustRead(t *testing.T, s storage.Store) []storagetest.Series {
	t.Helper()
	got, err := readAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
