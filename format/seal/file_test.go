package seal_test

import (
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/model/column"
)

func exampleGroup() *seal.Group {
	return &seal.Group{
		Tenant: "default", Number: 7, Kind: 2, Key: 0x1122334455667788, Name: "push", Seq: 300, Segment: 3, Newest: 44, Last: 1_699_999_290_000,
		Span: 1_699_999_200_000, From: 120, To: 123, End: 124, Times: []int64{1_699_999_245_000, 1_699_999_260_000, 1_699_999_275_000, 1_699_999_290_000},
		StretchBytes: 20,
		Members: []seal.Member{
			{Slot: 0, Count: 2, Series: 40, Present: true, HasValue: true},
			{Slot: 3, Count: 1, Series: 42, Foreign: true},
			{Slot: 4, Count: 1, Series: 9, Explicit: true, HasValue: true, Bits: 0x3ff0000000000000, Time: 1_699_999_200_000},
		},
	}
}

func exampleSeries() *seal.Definitions {
	return &seal.Definitions{
		Tenant: "default", Strings: []string{"job", "a", "__name__", "up", "down"}, Tuples: [][]uint32{{0, 1}, {2, 3}, {2, 4}},
		Series: []seal.Definition{{Number: 40, Hash: 17, Left: 1, Right: 2}, {Number: 41, Hash: 18, Left: 1, Right: 3}},
	}
}

func exampleFile() []byte {
	var t seal.Table
	b := seal.AppendHeader(nil)
	head := seal.AppendDefinitions(nil, exampleSeries())
	t.Add(seal.Series, uint64(len(b)), head)
	b = append(b, head...)
	head = seal.AppendGroup(nil, exampleGroup())
	body := []byte("a stretch of 20 byteand another one")
	t.Add(seal.Groups, uint64(len(b)), head, body[:20], body[20:])
	b = append(append(b, head...), body...)
	return t.Append(b)
}

// read takes a file apart as far as it goes and returns how many of its parts
// could be read.
func read(b []byte) (parts int, group *seal.Group, defs *seal.Definitions, err error) {
	frames, err := seal.ReadFile(b)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, f := range frames {
		head, err := f.ReadHead(b)
		if err != nil {
			return parts, group, defs, err
		}
		parts++
		if f.Kind == seal.Series {
			defs, err = seal.ReadDefinitions(head)
		} else if group, err = seal.ReadGroup(head, int(f.Body)); err == nil {
			if err = group.ReadMembers(); err == nil {
				_, err = f.ReadBody(b)
			}
		}
		if err != nil {
			return parts, group, defs, err
		}
		parts++
	}
	return parts, group, defs, nil
}

func TestFile(t *testing.T) {
	b := exampleFile()
	formattest.Golden(t, *rewrite, "testdata/v1-file.hex", hex.Dump(b))
	parts, g, defs, err := read(b)
	if err != nil || parts != 4 {
		t.Fatalf("%d parts: %v", parts, err)
	}
	want := exampleGroup()
	if !slices.Equal(g.Members, want.Members) || !slices.Equal(g.Times, want.Times) || g.Name != want.Name || g.Seq != want.Seq ||
		g.Number != want.Number || g.Segment != want.Segment || g.Newest != want.Newest || g.Last != want.Last || g.From != want.From || g.To != want.To || g.End != want.End {
		t.Errorf("%+v instead of %+v", g, want)
	}
	if !reflect.DeepEqual(defs, exampleSeries()) {
		t.Errorf("%v instead of %v", defs, exampleSeries())
	}
}

// TestFlippedBits flips every bit of a file: all are found.
func TestFlippedBits(t *testing.T) {
	b := exampleFile()
	for i := range len(b) * 8 {
		bad := slices.Clone(b)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, _, err := read(bad); err == nil {
			t.Errorf("bit %d of byte %d is flipped, and nothing is found", i%8, i/8)
		}
	}
}

func TestCutFiles(t *testing.T) {
	b := exampleFile()
	for n := range b {
		var broken *seal.CorruptError
		if _, err := seal.ReadFile(b[:n]); !errors.As(err, &broken) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
	}
}

func TestFuture(t *testing.T) {
	b := exampleFile()
	b[8] = 2
	if _, err := seal.ReadFile(b); !errors.Is(err, seal.ErrFuture) {
		t.Errorf("version 2: %v", err)
	}
}

func TestRandomMembers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		g := exampleGroup()
		g.Members = nil
		slot, series := uint32(0), uint64(1000)
		for range rng.IntN(200) {
			m := seal.Member{Slot: slot, Series: series, Present: rng.IntN(3) > 0, HasValue: true}
			switch rng.IntN(8) {
			case 0:
				m = seal.Member{Slot: slot, Series: series, Foreign: true}
			case 1:
				m.Explicit, m.Bits, m.Time = true, rng.Uint64(), g.Last-int64(rng.IntN(1e9))
			case 2:
				m.Explicit, m.Start, m.Time = true, g.Last-rng.Int64N(1e9), g.Last
				m.Histogram = column.Histogram{Int: &histogram.Histogram{Count: rng.Uint64(), Sum: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []int64{rng.Int64()}}}
			}
			g.AddMember(m)
			slot, series = slot+1, series+1
			if rng.IntN(5) == 0 {
				slot, series = slot+uint32(rng.IntN(9)), rng.Uint64N(1<<40)
			}
		}
		got, err := seal.ReadGroup(seal.AppendGroup(nil, g), 1<<20)
		if err == nil {
			err = got.ReadMembers()
		}
		same := func(a, b seal.Member) bool {
			alike := a.Histogram.Equal(b.Histogram)
			a.Histogram, b.Histogram = column.Histogram{}, column.Histogram{}
			return alike && a == b
		}
		if err != nil || !slices.EqualFunc(got.Members, g.Members, same) {
			t.Fatalf("%v: %v instead of %v", err, got, g.Members)
		}
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add(exampleFile())
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _, _ = read(b) })
}

func FuzzReadGroup(f *testing.F) {
	f.Add(seal.AppendGroup(nil, exampleGroup()), uint16(35))
	f.Fuzz(func(t *testing.T, head []byte, body uint16) {
		g, err := seal.ReadGroup(head, int(body))
		if err == nil {
			err = g.ReadMembers()
		}
		n := 0
		for i := 0; err == nil && i < len(g.Members); i++ {
			n += int(g.Members[i].Count)
		}
		if n > int(body)/2 {
			t.Errorf("%d members in a body of %d bytes", n, body)
		}
	})
}

func FuzzReadDefinitions(f *testing.F) {
	f.Add(seal.AppendDefinitions(nil, exampleSeries()))
	f.Fuzz(func(t *testing.T, head []byte) {
		d, err := seal.ReadDefinitions(head)
		if err != nil {
			return
		}
		again, err := seal.ReadDefinitions(seal.AppendDefinitions(nil, d))
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v comes back as %+v: %v", d, again, err)
		}
	})
}
