package tsdb_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// withBlocks makes a data directory that has n blocks of two series, each of a
// minute, from base on, and returns their ids.
func withBlocks(t *testing.T, fs vfs.FS, n int) []ulid.ULID {
	t.Helper()
	store := newBlockStore(t, fs)
	var ids []ulid.ULID
	for i := range int64(n) {
		p := parttest.New("source")
		id := p.Regular(at(60*i), 1000, 60)
		for k, name := range []string{"a", "b"} {
			var samples []column.Sample
			for s := range int64(60) {
				samples = append(samples, column.Sample{T: at(60*i + s), V: float64(s * int64(k))})
			}
			p.Samples(storagetest.Named(name), id, samples...)
		}
		m := store.add(t, ulid.ULID{byte(i + 1)}, block.Options{}, block.Meta{Level: 1}, p)
		ids = append(ids, m.ID)
	}
	return ids
}

func offlineDeps(fs vfs.FS) tsdb.Deps {
	return tsdb.Deps{FS: fs, Dir: "data", Clock: func() time.Time { return time.UnixMilli(base).Add(time.Hour) }}
}

func TestVerify(t *testing.T) {
	fs := mem.New()
	ids := withBlocks(t, fs, 2)
	var reports []tsdb.BlockReport
	collect := func(r tsdb.BlockReport) { reports = append(reports, r) }
	if err := tsdb.Verify(t.Context(), offlineDeps(fs), collect); err != nil {
		t.Fatal(err)
	}
	if len(reports) != 2 || reports[0].Series != 2 || reports[0].Samples != 120 || len(reports[0].Problems) > 0 {
		t.Fatalf("the reports are %+v", reports)
	}

	damage(t, fs, fmt.Sprintf("store/block/default/%s/chunks/000001", ids[1]))
	reports = nil
	err := tsdb.Verify(t.Context(), offlineDeps(fs), collect)
	if err == nil || !strings.Contains(err.Error(), ids[1].String()) || strings.Contains(err.Error(), ids[0].String()) {
		t.Errorf("verify ends with %v", err)
	}
	if len(reports) != 2 || len(reports[1].Problems) == 0 || !strings.Contains(reports[1].Problems[0].Error(), "chunks/000001") {
		t.Errorf("the reports are %+v", reports)
	}
}

// damage flips the bits of a byte in the last third of a file.
func damage(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	m, err := fs.Map(name)
	if err != nil {
		t.Fatal(err)
	}
	content := append([]byte(nil), m.Bytes()...)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	content[len(content)*2/3] ^= 0xff
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
	put(t, fs, name, string(content))
}

func TestCompactOffline(t *testing.T) {
	fs := mem.New()
	withBlocks(t, fs, 6)
	o := quiet(time.Minute)
	var jobs []string
	_, err := tsdb.Compact(t.Context(), o, offlineDeps(fs), func(r tsdb.CompactReport) {
		jobs = append(jobs, fmt.Sprintf("%s %d -> %d samples", r.Job.Kind, len(r.Job.Blocks), r.Result.Block.Stats.Samples))
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs) == 0 {
		t.Fatal("nothing was compacted")
	}
	if err := tsdb.Verify(t.Context(), offlineDeps(fs), func(tsdb.BlockReport) {}); err != nil {
		t.Errorf("after %q: %s", jobs, err)
	}
	db := mustStart(t, fs, o, tsdb.Deps{})
	got := mustRead(t, db)
	if len(got) != 2 || len(got[0].Samples) != 360 || len(got[1].Samples) != 360 {
		t.Errorf("after %q there are %d series", jobs, len(got))
	}
	if n := db.Stats().Blocks; n >= 6 {
		t.Errorf("after %q there are %d blocks", jobs, n)
	}
}

// TestCompactTakesTheLog: what the log holds, of an unfinished span too, is in
// blocks afterwards, and a server goes on after the last sample.
func TestCompactTakesTheLog(t *testing.T) {
	fs := mem.New()
	o := quiet(time.Hour)
	db := mustStart(t, fs, o, tsdb.Deps{})
	appendMinutes(t, db, 0, 150) // two spans and a half
	before := mustRead(t, db)
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		c, err := tsdb.Compact(t.Context(), o, offlineDeps(fs), func(tsdb.CompactReport) {})
		if err != nil {
			t.Fatal(err)
		}
		if c.After.Log != 0 || c.After.Head != 0 || c.After.Blocks == 0 || c.Samples != 300 {
			t.Errorf("compacted to %+v", c)
		}
	}
	db = mustStart(t, fs, o, tsdb.Deps{})
	if s := db.Stats(); s.Blocks != 1 || s.BlockSamples != 300 {
		t.Errorf("there are %+v", s)
	}
	if got := mustRead(t, db); !reflect.DeepEqual(got, before) {
		t.Errorf("got %v, want %v", got, before)
	}
	appendMinutes(t, db, 150, 240)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := db.Stats(); s.BlockSamples <= 300 {
		t.Errorf("the rest of the span was not cut: %+v", s)
	}
	got := mustRead(t, db)
	for _, s := range got {
		if len(s.Samples) != 240 {
			t.Errorf("%s has %d samples, want 240", s.Labels, len(s.Samples))
		}
	}
}

// TestMetadataStays: what a database knows beside samples is there after an
// offline compaction, and in a snapshot.
func TestMetadataStays(t *testing.T) {
	dir := t.TempDir()
	o := quiet(time.Hour)
	db := mustStart(t, osFS(t, dir), o, tsdb.Deps{})
	g := open(db, storage.Closed, "minutes")
	known := storage.Metadata{Family: "a", Type: "counter", Help: "What a counts."}
	_, err := appendBatch(g, []string{"a"}, storage.Batch{Time: at(0), Metadata: []storage.Metadata{known}}, map[string]float64{"a": 1}, storage.Synced)
	if err != nil {
		t.Fatal(err)
	}
	metadata := func(db storage.Store, where string) {
		t.Helper()
		v, err := db.View(t.Context(), tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if got, err := v.Metadata(t.Context(), "", 0); err != nil || len(got) != 1 || got[0] != known {
			t.Errorf("%s: metadata %v, %v", where, got, err)
		}
	}
	metadata(db, "before")
	s, err := db.Snapshot(t.Context(), tsdb.SnapshotOptions{})
	if err != nil {
		t.Fatal(err)
	}
	of := mustStart(t, osFS(t, filepath.Join(dir, "snapshots", s.Name)), o, tsdb.Deps{})
	metadata(of, "in the snapshot")
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := tsdb.Compact(t.Context(), o, tsdb.Deps{Dir: dir, Clock: offlineDeps(nil).Clock}, func(tsdb.CompactReport) {}); err != nil {
			t.Fatal(err)
		}
	}
	metadata(mustStart(t, osFS(t, dir), o, tsdb.Deps{}), "after compact")
}

// appendMinutes appends to two series one sample a minute.
func appendMinutes(t *testing.T, db storage.Store, from, to int64) {
	t.Helper()
	g := open(db, storage.Closed, "minutes")
	if g == nil {
		t.Fatal("no group")
	}
	defer func() { _ = g.Close() }()
	for m := from; m < to; m++ {
		values := map[string]float64{"a": float64(m), "b": float64(m % 7)}
		if _, err := appendBatch(g, []string{"a", "b"}, storage.Batch{Time: at(60 * m)}, values, storage.Synced); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOfflineNeedsTheDirectoryAlone(t *testing.T) {
	fs := mem.New()
	if err := tsdb.Verify(t.Context(), offlineDeps(fs), nil); err == nil || !strings.Contains(err.Error(), "no data directory") {
		t.Errorf("on an empty directory verify ends with %v", err)
	}
	mustStart(t, fs, quiet(time.Hour), tsdb.Deps{})
	if _, err := tsdb.Compact(t.Context(), tsdb.Options{}, offlineDeps(fs), nil); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("beside a server compact ends with %v", err)
	}
}

// TestDamagedBlockIsNamed: a query goes on without what is damaged, and says so.
func TestDamagedBlockIsNamed(t *testing.T) {
	fs := mem.New()
	ids := withBlocks(t, fs, 2)
	damage(t, fs, fmt.Sprintf("store/block/default/%s/chunks/000001", ids[0]))
	db := mustStart(t, fs, quiet(time.Minute), tsdb.Deps{})
	_, err := storagetest.ReadAll(context.Background(), db, tenant.Default)
	if err == nil || !strings.Contains(err.Error(), ids[0].String()) || !strings.Contains(err.Error(), "chunks/000001") {
		t.Errorf("the warning is %v", err)
	}
}
