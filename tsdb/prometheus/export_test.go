package prometheus_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promtsdb "github.com/prometheus/prometheus/tsdb"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/prometheus"
	"github.com/nilometer/nilometer/vfs/mem"
)

// read returns what Prometheus answers from a directory.
func read(t *testing.T, dir string) content {
	t.Helper()
	db, err := promtsdb.OpenDBReadOnly(dir, t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// The log is not looked at before the end of the last block.
	q, err := db.Querier(math.MinInt64, base)
	if err != nil {
		t.Fatal(err)
	}
	_ = q.Close()
	blocks, err := db.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	out := content{}
	for _, b := range blocks {
		q, err := promtsdb.NewBlockQuerier(b, math.MinInt64, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		for key, s := range readQuerier(t, q) {
			out[key] = append(out[key], s...)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestExportIsTheInverseOfImport(t *testing.T) {
	for seed, src := range sources {
		t.Run(src.name, func(t *testing.T) {
			p := newPromDB(t, optionsOf(src.name)...)
			src.fill(p, rand.New(rand.NewPCG(uint64(seed), 1)))
			dir, want := p.end()
			db := open(t, mem.New())
			if _, err := prometheus.Import(t.Context(), db.DB, dir, importOptions(t)); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(t.TempDir(), "new")
			sum, err := prometheus.Export(t.Context(), db.DB, target, prometheus.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if d := diff(read(t, target), want); d != "" {
				t.Fatal(d)
			}
			if sum.Samples != want.samples() {
				t.Errorf("%+v: want %d samples", sum, want.samples())
			}
		})
	}
}

func TestExportChoosesAndAligns(t *testing.T) {
	source, want := days(t)
	db := open(t, mem.New())
	if _, err := prometheus.Import(t.Context(), db.DB, source, importOptions(t)); err != nil {
		t.Fatal(err)
	}
	target := t.TempDir()
	from, to := base+hour, base+110*hour
	_, err := prometheus.Export(t.Context(), db.DB, target, prometheus.ExportOptions{
		Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "instance", "a:1")},
		MinTime:  time.UnixMilli(from), MaxTime: time.UnixMilli(to), BlockDuration: 54 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, s := range want {
		var kept []sample
		for _, x := range s {
			if x.T >= from && x.T <= to && strings.Contains(key, "a:1") {
				kept = append(kept, x)
			}
		}
		want[key] = kept
	}
	if d := diff(read(t, target), want); d != "" {
		t.Fatal(d)
	}
	if names, _ := filepath.Glob(target + "/0*"); len(names) != 3 {
		t.Errorf("blocks %q: want 3", names)
	}
}

func TestAnExportThatWasCancelledGoesOn(t *testing.T) {
	source, want := days(t)
	db := open(t, mem.New())
	if _, err := prometheus.Import(t.Context(), db.DB, source, importOptions(t)); err != nil {
		t.Fatal(err)
	}
	for stopAfter := range 6 {
		target := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		ranges := 0
		first, err := prometheus.Export(ctx, db.DB, target, prometheus.ExportOptions{Report: func(p prometheus.Progress) {
			if ranges == stopAfter {
				cancel()
			}
			if p.Range != nil {
				ranges++
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled after %d ranges: %v, want context.Canceled", stopAfter, err)
		}
		second, err := prometheus.Export(t.Context(), db.DB, target, prometheus.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := first.Samples + second.Samples; got != want.samples() || second.Repeated != first.Ranges {
			t.Errorf("cancelled after %d ranges: %d samples written, want %d; %d ranges repeated, want %d", stopAfter, got, want.samples(), second.Repeated, first.Ranges)
		}
		if d := diff(read(t, target), want); d != "" {
			t.Errorf("cancelled after %d ranges: %s", stopAfter, d)
		}
		if left, _ := filepath.Glob(target + "/*.tmp*"); len(left) != 0 {
			t.Errorf("left over: %q", left)
		}
	}
}

// TestAnExportFollowsTheData: what was added since an export replaces its
// block, and does not stand beside it.
func TestAnExportFollowsTheData(t *testing.T) {
	source, want := days(t)
	db := open(t, mem.New())
	target := t.TempDir()
	for _, last := range []int64{base + 2*hour + 30*minute, base + 4*hour + 30*minute, base + 200*hour} {
		o := importOptions(t)
		o.MaxTime = time.UnixMilli(last)
		if _, err := prometheus.Import(t.Context(), db.DB, source, o); err != nil {
			t.Fatal(err)
		}
		if _, err := prometheus.Export(t.Context(), db.DB, target, prometheus.ExportOptions{BlockDuration: 6 * time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if d := diff(read(t, target), want); d != "" {
		t.Fatal(d)
	}
	if names, _ := filepath.Glob(target + "/0*"); len(names) != 3 {
		t.Errorf("blocks %q: want 3", names)
	}
}

func TestRefusedTargets(t *testing.T) {
	db := open(t, mem.New())
	ours := t.TempDir()
	write(t, filepath.Join(ours, "VERSION"), "nilometer data directory, layout 1\n")
	other := t.TempDir()
	write(t, filepath.Join(other, "nilometer-export.json"), `{"export": "other 2h0m0s", "spans": []}`)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	for _, c := range []struct {
		name, dir, says string
		o               prometheus.ExportOptions
	}{
		{"our own", ours, "data directory of nilometer", prometheus.ExportOptions{}},
		{"another export's", other, "another export", prometheus.ExportOptions{}},
		{"a file", file, "not a directory", prometheus.ExportOptions{}},
		{"short blocks", t.TempDir(), "1m0s to 744h0m0s", prometheus.ExportOptions{BlockDuration: time.Second}},
		{"a wrong tenant", t.TempDir(), "invalid tenant", prometheus.ExportOptions{Tenant: "a/b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := prometheus.Export(t.Context(), db.DB, c.dir, c.o)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(other, "nilometer-export.json")); err != nil {
		t.Error(err)
	}
}

// TestExportOfWhatIsInNoBlock: the head and late samples are exported too, and
// exported again when they have become blocks, in place of what was there.
func TestExportOfWhatIsInNoBlock(t *testing.T) {
	db := open(t, mem.New())
	g, err := db.OpenGroup(t.Context(), tenant.Default, storage.GroupSpec{Name: "push", Kind: storage.Open})
	if err != nil {
		t.Fatal(err)
	}
	series := target("push", "a:1", 2)
	want := content{}
	push := func(ts int64, v float64) {
		t.Helper()
		slots := make([]storage.Resolution, len(series))
		version, err := g.Resolve(t.Context(), series, slots)
		if err != nil {
			t.Fatal(err)
		}
		b := storage.Batch{Version: version, Time: ts, Slots: []storage.Slot{slots[0].Slot, slots[1].Slot}, Values: []float64{v, -v}}
		r, err := g.Append(t.Context(), &b, storage.Synced)
		if err != nil || len(r.Rejected) > 0 {
			t.Fatal(err, r.Rejected)
		}
		for i, l := range series {
			want[l.String()] = append(want[l.String()], sample{T: ts, Bits: math.Float64bits(b.Values[i])})
		}
	}
	for i := range 60 {
		push(base+hour+int64(i)*minute, float64(i))
	}
	push(base+hour+30*minute+second, 7) // late
	push(base+30*minute, 8)             // later than all
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for _, s := range want {
		slices.SortFunc(s, func(a, b sample) int { return int(a.T - b.T) })
	}
	dir := t.TempDir()
	for range 2 {
		sum, err := prometheus.Export(t.Context(), db.DB, dir, prometheus.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if sum.Ranges != 1 || sum.Repeated != 0 {
			t.Errorf("%+v: want one range", sum)
		}
		if d := diff(read(t, dir), want); d != "" {
			t.Fatal(d)
		}
		if names, _ := filepath.Glob(dir + "/0*"); len(names) != 1 {
			t.Errorf("blocks %q: want 1", names)
		}
		if err := db.Cut(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
