package tsdb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

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

// twoBlocks makes a data directory with two blocks of ten minutes each: the
// first is compressed, in several pages, with chunks that refer to others. It
// returns the name of the first block's directory.
func twoBlocks(t *testing.T) (vfs.FS, ulid.ULID, string) {
	t.Helper()
	fs := mem.New()
	store := newBlockStore(t, fs)
	for i := range int64(2) {
		p := parttest.New("source")
		id := p.Regular(at(600*i), 1000, 600)
		for k := range int64(40) {
			var samples []column.Sample
			sum := int64(0)
			for s := range int64(600) {
				sum += (s*s*31 + s*7) % 257
				samples = append(samples, column.Sample{T: at(600*i + s), V: float64(sum*(k%3+1) + k*1000)})
			}
			p.Samples(storagetest.Named(fmt.Sprintf("metric_%02d", k)), id, samples...)
		}
		block1 := ulid.ULID{byte(i + 1)}
		store.add(t, block1, block.Options{Compress: i == 0, PageBytes: 4096}, block.Meta{Level: 1, Sources: []ulid.ULID{block1}}, p)
	}
	first := ulid.ULID{1}
	return fs, first, path.Join("store", block.Prefix(tenant.Default, first))
}

func content(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func overwrite(t *testing.T, fs vfs.FS, name string, b []byte) {
	t.Helper()
	if err := fs.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	put(t, fs, name, string(b))
}

// answer is what a database has, and what it warns of.
type answer struct {
	series   []storagetest.Series
	names    []string
	warnings string
}

// ask opens a data directory and reads all of it.
func ask(t *testing.T, fs vfs.FS, registry prometheus.Registerer) (answer, error) {
	t.Helper()
	deps := offlineDeps(fs)
	deps.Registerer = registry
	db, err := tsdb.OpenIdle(t.Context(), tsdb.Options{Retention: -1}, deps)
	if err != nil {
		return answer{}, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	v, err := db.View(t.Context(), tenant.Default)
	if err != nil {
		return answer{}, err
	}
	defer v.Close()
	var a answer
	all := storage.Selection{MinTime: math.MinInt64, MaxTime: math.MaxInt64}
	scan, err := v.Select(t.Context(), all)
	if err != nil {
		return a, err
	}
	defer scan.Close()
	all.Partial = true // warnings are looked at here
	if a.series, err = storagetest.ReadScan(t.Context(), scan, all); err != nil {
		return a, err
	}
	names, w, err := v.LabelValues(t.Context(), "__name__", all, 0)
	if err != nil {
		return a, err
	}
	a.names = names
	a.warnings = fmt.Sprint(scan.Warnings().AsErrors(), w.AsErrors())
	if len(scan.Warnings())+len(w) == 0 {
		a.warnings = ""
	}
	return a, nil
}

// check compares an answer with the right one. With a warning that names block
// and file, samples of the first block may be missing: nothing else.
func (a answer) check(want answer, id ulid.ULID, file string) error {
	if a.warnings == "" {
		if diff := storagetest.Diff(want.series, a.series); diff != "" {
			return fmt.Errorf("no warning, and %s", diff)
		}
		if fmt.Sprint(a.names) != fmt.Sprint(want.names) {
			return fmt.Errorf("no warning, and the names %v", a.names)
		}
		return nil
	}
	if !strings.Contains(a.warnings, id.String()) || !strings.Contains(a.warnings, file) {
		return fmt.Errorf("the warning does not name block and file: %s", a.warnings)
	}
	have := map[string][]storagetest.Sample{}
	for _, s := range a.series {
		have[s.Labels.String()] = s.Samples
	}
	for _, s := range want.series {
		rest := have[s.Labels.String()]
		for _, x := range s.Samples {
			if len(rest) > 0 && rest[0].T == x.T {
				if rest[0].V != x.V {
					return fmt.Errorf("%s at %d is %v, want %v", s.Labels, x.T, rest[0].V, x.V)
				}
				rest = rest[1:]
			} else if x.T >= at(600) {
				return fmt.Errorf("%s lacks its sample at %d, of another block", s.Labels, x.T)
			}
		}
		if len(rest) > 0 {
			return fmt.Errorf("%s has samples that nobody wrote: %v", s.Labels, rest[0])
		}
	}
	return nil
}

// TestFlippedBits: whichever bit of a block's files is another one, the
// database opens, answers exactly or says which block and file it lacks, and
// verification names the file.
func TestFlippedBits(t *testing.T) {
	fs, id, dir := twoBlocks(t)
	want, err := ask(t, fs, nil)
	if err != nil || want.warnings != "" || len(want.series) != 40 {
		t.Fatal(err, want.warnings, len(want.series))
	}
	for _, file := range []string{"meta.json", "index", "chunks/000001"} {
		t.Run(file, func(t *testing.T) { flipBits(t, fs, want, id, dir, file) })
	}
	t.Run("index read in place", func(t *testing.T) {
		name := path.Join(dir, "index")
		packed := content(t, fs, name)
		dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer dec.Close()
		plain, err := dec.DecodeAll(packed[20:], nil)
		if err != nil {
			t.Fatal(err)
		}
		overwrite(t, fs, name, plain)
		flipBits(t, fs, want, id, dir, "index")
	})
}

// flipBits changes bits all over a file, one at a time.
func flipBits(t *testing.T, fs vfs.FS, want answer, id ulid.ULID, dir, file string) {
	name := path.Join(dir, file)
	whole := content(t, fs, name)
	defer func() { overwrite(t, fs, name, whole) }()
	warned := 0
	flips := 80
	if testing.Short() {
		flips = 16 // each bit of a byte twice
	}
	step := max(1, len(whole)/flips)
	for i := 0; i < len(whole); i += step {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i / step % 8)
		overwrite(t, fs, name, b)
		got, err := ask(t, fs, nil)
		if err == nil {
			err = got.check(want, id, file)
		}
		if err != nil {
			t.Errorf("byte %d of %d: %v", i, len(whole), err)
		}
		if got.warnings != "" {
			warned++
		}
		if problems := verified(fs, id); !strings.Contains(problems, file) {
			t.Errorf("byte %d of %d: verification finds %q", i, len(whole), problems)
		}
	}
	if file != "meta.json" && warned == 0 {
		t.Error("no bit made a warning")
	}
}

// verified returns the problems that verification finds in a block.
func verified(fs vfs.FS, id ulid.ULID) string {
	var problems []error
	err := tsdb.Verify(context.Background(), offlineDeps(fs), func(r tsdb.BlockReport) {
		if r.Meta.ID == id {
			problems = append(problems, r.Problems...)
		}
	})
	if err == nil {
		return ""
	}
	return fmt.Sprint(problems)
}

// TestFilesOfBlocks: missing and extra files, and files of the future.
func TestFilesOfBlocks(t *testing.T) {
	future := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[at]++; return b }
	}
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte // nil: the file is deleted
		warning    string              // "" for an exact answer
		problem    string
		setAside   int
	}{
		{"no index", "index", nil, "index", "index", 1},
		{"an index cut short", "index", func(b []byte) []byte { return b[:len(b)/2] }, "index", "index", 1},
		{"an empty index", "index", func([]byte) []byte { return nil }, "index", "index", 1},
		{"an index of the future", "index", future(8), "upgrade", "upgrade", 1},
		{"no chunks", "chunks/000001", nil, "chunks/000001", "chunks/000001", 0},
		{"chunks cut short", "chunks/000001", func(b []byte) []byte { return b[:len(b)/2] }, "chunks/000001", "chunks/000001", 0},
		{"chunks with more behind", "chunks/000001", func(b []byte) []byte { return append(b, 0) }, "", "chunks/000001", 0},
		{"a page of the future", "chunks/000001", future(24), "upgrade", "upgrade", 0},
		{"a file of chunks of the future", "chunks/000001", future(8), "", "upgrade", 0},
		{"no meta.json", "meta.json", nil, "", "meta.json", 0},
		{"an extra file", "chunks/000002", func([]byte) []byte { return []byte("x") }, "", "chunks/000002", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, id, dir := twoBlocks(t)
			want, err := ask(t, fs, nil)
			if err != nil {
				t.Fatal(err)
			}
			name := path.Join(dir, c.file)
			var b []byte
			if _, err := fs.Stat(name); err == nil {
				b = content(t, fs, name)
			}
			if c.change == nil {
				if err := fs.RemoveAll(name); err != nil {
					t.Fatal(err)
				}
			} else {
				overwrite(t, fs, name, c.change(b))
			}
			registry := prometheus.NewPedanticRegistry()
			got, err := ask(t, fs, registry)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.check(want, id, c.file); err != nil {
				t.Error(err)
			}
			if !strings.Contains(got.warnings, c.warning) || (c.warning == "") != (got.warnings == "") {
				t.Errorf("the warnings are %q, want %q", got.warnings, c.warning)
			}
			if problems := verified(fs, id); !strings.Contains(problems, c.problem) {
				t.Errorf("verification finds %q, want %q", problems, c.problem)
			}
			line := fmt.Sprintf("# HELP nilometer_tsdb_blocks_set_aside Live blocks that are not served, because their index is damaged.\n"+
				"# TYPE nilometer_tsdb_blocks_set_aside gauge\nnilometer_tsdb_blocks_set_aside %d\n", c.setAside)
			if err := testutil.GatherAndCompare(registry, strings.NewReader(line), "nilometer_tsdb_blocks_set_aside"); err != nil {
				t.Error(err)
			}
		})
	}
}
