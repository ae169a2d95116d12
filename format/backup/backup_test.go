package backup_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/format/formattest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

func example() backup.Index {
	sum := strings.Repeat("0123456789abcdef", 4)
	return backup.Index{
		Name: "20261123T050000Z", Created: time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC), Program: "1.2.3", Head: true, Blocks: 1, Samples: 12,
		Files: []backup.File{
			{Path: "VERSION", Object: "other/20261123T050000Z/VERSION", Bytes: 34, SHA256: sum},
			{Path: "store/block/default/01H/index", Object: "block/default/01H/index", Bytes: 100, SHA256: sum},
		},
	}
}

const golden = "testdata/v1.golden"

func TestGolden(t *testing.T) {
	got, err := backup.Append(nil, example())
	if err != nil {
		t.Fatal(err)
	}
	want := formattest.Golden(t, *rewrite, golden, string(got))
	x, err := backup.Decode([]byte(want))
	if err != nil || !reflect.DeepEqual(x, example()) || x.Bytes() != 134 {
		t.Errorf("decoded as %+v, %v", x, err)
	}
}

func TestDamage(t *testing.T) {
	whole, err := backup.Append(nil, example())
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1
		if x, err := backup.Decode(b); err == nil && !reflect.DeepEqual(x, example()) {
			t.Errorf("byte %d: %+v", at, x)
		}
		if _, err := backup.Decode(whole[:at]); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
	}
	future := strings.Replace(string(whole), "nilometer-backup 1 ", "nilometer-backup 2 ", 1)
	if _, err := backup.Decode([]byte(future)); !errors.Is(err, backup.ErrFuture) {
		t.Errorf("got %v", err)
	}
}

func TestPathsOutsideAreRefused(t *testing.T) {
	for _, path := range []string{"", ".", "/etc/passwd", "../x", "a/../../x", "a//b", `a\b`, "c:x", "a/"} {
		x := example()
		x.Files[0].Path = path
		if _, err := backup.Append(nil, x); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
	x := example()
	x.Files[1].Path = x.Files[0].Path
	if _, err := backup.Append(nil, x); err == nil {
		t.Error("a path was taken twice")
	}
}

// FuzzDecode draws bodies behind a header that fits them, and headers.
func FuzzDecode(f *testing.F) {
	b, err := backup.Append(nil, example())
	if err != nil {
		f.Fatal(err)
	}
	head, body, _ := strings.Cut(string(b), "\n")
	f.Add("", []byte(body))
	f.Add(head, []byte(body))
	f.Fuzz(func(t *testing.T, head string, body []byte) {
		if head == "" {
			head = fmt.Sprintf("nilometer-backup 1 crc32c=%08x bytes=%d", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)), len(body))
		}
		x, err := backup.Decode([]byte(head + "\n" + string(body)))
		if err != nil {
			if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrFuture) {
				t.Fatal(err)
			}
			return
		}
		again, err := backup.Append(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := backup.Decode(again); err != nil {
			t.Fatal(err)
		}
	})
}
