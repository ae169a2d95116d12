package manifest_test

import (
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/manifest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func id(n byte) ulid.ULID { return ulid.ULID{15: n} }

func example() manifest.Version {
	b := manifest.Block{
		ID: id(2), FormatVersion: 1, MinTime: 1_700_000_000_000, MaxTime: 1_700_007_199_999, Level: 1,
		Stats:   manifest.Stats{Series: 2754, Columns: 4, Chunks: 2754, Samples: 1318709, IndexBytes: 29771, ChunkBytes: 285633},
		Sources: []ulid.ULID{id(2)}, LowestSeq: 1, HighestSeq: 1920, TombstonesApplied: 7,
	}
	ts := manifest.Tombstone{Seq: 9, MinTime: 1, MaxTime: 2, Matchers: []manifest.Matcher{{Name: "job", Op: "=~", Value: "a|<b>"}}}
	return manifest.Version{
		Tenant: "default", Number: 64,
		Edit: manifest.Edit{
			ID: "EXAMPLE", Added: []manifest.Block{b}, Removed: []ulid.ULID{id(1)}, Tombstones: []manifest.Tombstone{ts},
			RemovedTombstones: []uint64{7}, Horizon: map[string]manifest.Mark{"g1": {Time: 1_700_007_200_000, LateSeq: 4}}, RemovedHorizons: []string{"g0"},
		},
		Snapshot: &manifest.State{
			Blocks: []manifest.Block{b}, Tombstones: []manifest.Tombstone{ts},
			Horizon: map[string]manifest.Mark{"g1": {Time: 1_700_007_200_000, LateSeq: 4}},
		},
	}
}

func TestGolden(t *testing.T) {
	b, err := manifest.AppendVersion(nil, example())
	if err != nil {
		t.Fatal(err)
	}
	want := formattest.Golden(t, *rewrite, "testdata/v1.manifest", string(b))
	v, err := manifest.DecodeVersion([]byte(want))
	if err != nil || !reflect.DeepEqual(v, example()) {
		t.Errorf("%v: %+v", err, v)
	}
}

func TestEveryByteIsGuarded(t *testing.T) {
	whole, err := manifest.AppendVersion(nil, example())
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		b := append([]byte{}, whole...)
		b[at] ^= 1
		if v, err := manifest.DecodeVersion(b); err == nil && !reflect.DeepEqual(v, example()) {
			t.Errorf("byte %d: %+v", at, v)
		}
		if _, err := manifest.DecodeVersion(whole[:at]); !errors.Is(err, manifest.ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	future := strings.Replace(string(whole), "nilometer-manifest 1 ", "nilometer-manifest 2 ", 1)
	if _, err := manifest.DecodeVersion([]byte(future)); !errors.Is(err, manifest.ErrFuture) {
		t.Errorf("got %v", err)
	}
}

func TestApply(t *testing.T) {
	blockOf := func(n byte, from int64) manifest.Block {
		return manifest.Block{ID: id(n), MinTime: from, MaxTime: from + 1}
	}
	start, err := manifest.State{}.Apply(manifest.Edit{
		Added:      []manifest.Block{blockOf(3, 30), blockOf(1, 10), blockOf(2, 10)},
		Tombstones: []manifest.Tombstone{{Seq: 2}, {Seq: 1}},
		Horizon:    map[string]manifest.Mark{"a": {Time: 1}, "b": {Time: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if start.Blocks[0].ID != id(1) || start.Blocks[1].ID != id(2) || start.Tombstones[0].Seq != 1 {
		t.Errorf("out of order: %+v", start)
	}
	next, err := start.Apply(manifest.Edit{
		Added: []manifest.Block{blockOf(4, 5)}, Removed: []ulid.ULID{id(1), id(3)}, RemovedTombstones: []uint64{1},
		Horizon: map[string]manifest.Mark{"a": {Time: 2}}, RemovedHorizons: []string{"b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Blocks) != 2 || next.Blocks[0].ID != id(4) || len(next.Tombstones) != 1 || len(next.Horizon) != 1 || next.Horizon["a"].Time != 2 {
		t.Errorf("%+v", next)
	}
	if len(start.Blocks) != 3 || len(start.Horizon) != 2 || start.Horizon["a"].Time != 1 {
		t.Errorf("the old state changed: %+v", start)
	}
	for name, e := range map[string]manifest.Edit{
		"removes what is not live":   {Removed: []ulid.ULID{id(9)}},
		"removes twice":              {Removed: []ulid.ULID{id(1), id(1)}},
		"adds what is live":          {Added: []manifest.Block{blockOf(1, 1)}},
		"adds again what it removes": {Added: []manifest.Block{blockOf(1, 1)}, Removed: []ulid.ULID{id(1)}},
		"adds twice":                 {Added: []manifest.Block{blockOf(8, 1), blockOf(8, 2)}},
		"ends before its begin":      {Added: []manifest.Block{{ID: id(8), MinTime: 2, MaxTime: 1}}},
		"no such tombstone":          {RemovedTombstones: []uint64{5}},
		"tombstone twice":            {Tombstones: []manifest.Tombstone{{Seq: 2}}},
	} {
		_, err := start.Apply(e)
		var conflict *manifest.ConflictError
		if !errors.As(err, &conflict) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// FuzzDecodeVersion draws bodies behind a header that fits them, and headers.
func FuzzDecodeVersion(f *testing.F) {
	b, err := manifest.AppendVersion(nil, example())
	if err != nil {
		f.Fatal(err)
	}
	head, body, _ := strings.Cut(string(b), "\n")
	f.Add("", []byte(body))
	f.Add(head, []byte(body))
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		if head == "" {
			head = fmt.Sprintf("nilometer-manifest 1 crc32c=%08x bytes=%d", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), len(body))
		}
		v, err := manifest.DecodeVersion([]byte(head + "\n" + string(body)))
		if err != nil {
			if !errors.Is(err, manifest.ErrDamaged) && !errors.Is(err, manifest.ErrFuture) {
				t.Fatal(err)
			}
			return
		}
		again, err := manifest.AppendVersion(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := manifest.DecodeVersion(again); err != nil {
			t.Fatal(err)
		}
	})
}
