package cursor_test

import (
	"encoding/hex"
	"errors"
	"flag"
	"testing"

	"github.com/nilometer/nilometer/format/cursor"
	"github.com/nilometer/nilometer/format/formattest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

func example() cursor.Cursor {
	return cursor.Cursor{Tenant: "default", Budget: 1 << 30, Segment: 7, Offset: 4242, Skip: 3, From: 1_699_999_200_000, Until: 1_700_000_100_000}
}

func TestGolden(t *testing.T) {
	b := cursor.Append(nil, example())
	want := formattest.Golden(t, *rewrite, "testdata/v1.golden", string(b))
	if got, err := cursor.Read([]byte(want)); err != nil || got != example() {
		t.Errorf("read %+v, %v", got, err)
	}
	formattest.Documented(t, hex.Dump([]byte(want)))
}

func TestFlippedBits(t *testing.T) {
	b := cursor.Append(nil, example())
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, err := cursor.Read(b); !errors.Is(err, cursor.ErrDamaged) && !errors.Is(err, cursor.ErrFuture) {
			t.Errorf("bit %d of byte %d is flipped: %v", i%8, i/8, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for n := range b {
		if _, err := cursor.Read(b[:n]); !errors.Is(err, cursor.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

func TestFuture(t *testing.T) {
	b := cursor.Append(nil, example())
	b[7] = '2'
	if _, err := cursor.Read(b); !errors.Is(err, cursor.ErrFuture) {
		t.Errorf("version 2: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(cursor.Append(nil, example()))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := cursor.Read(b)
		if err != nil {
			return
		}
		if again, err := cursor.Read(cursor.Append(nil, c)); err != nil || again != c {
			t.Errorf("%+v came back as %+v, %v", c, again, err)
		}
	})
}
