package wal_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

func read(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	m, err := fs.Map(name)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return append([]byte(nil), m.Bytes()...)
}

func write(t *testing.T, fs vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fs.Create(name)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// withSegment returns a file system whose first segment has these bytes.
func withSegment(t *testing.T, data []byte) vfs.FS {
	t.Helper()
	fs := mem.New()
	if err := fs.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	write(t, fs, "wal/00000001", data)
	return fs
}

// segment returns the bytes of a segment with one synced payload after the
// other, and where each of their frames ends.
func segment(t *testing.T, payloads ...string) (data []byte, ends []int) {
	t.Helper()
	fs := mem.New()
	l := open(t, fs, wal.Options{})
	for _, payload := range payloads {
		mustPut(t, l, payload)
		ends = append(ends, len(read(t, fs, "wal/00000001")))
	}
	closeLog(t, l)
	return read(t, fs, "wal/00000001"), ends
}

func TestATornTailIsTheEnd(t *testing.T) {
	data, ends := segment(t, "one", "two", strings.Repeat("three", 200))
	for cut := range data {
		got, rep := replay(t, withSegment(t, data[:cut]))
		whole := 0
		for whole < len(ends) && ends[whole] <= cut {
			whole++
		}
		if len(got) != whole || len(rep.Damage) > 0 {
			t.Fatalf("cut at %d: replayed %d payloads, want %d; damage %v", cut, len(got), whole, rep.Damage)
		}
	}
}

// TestDamageInTheMiddle damages every byte of the second of three frames. Each
// was synced before the next, so that all of it is damage, and the third is
// still found.
func TestDamageInTheMiddle(t *testing.T) {
	data, ends := segment(t, "one", "two", "three")
	for at := ends[0]; at < ends[1]; at++ {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			damaged := append([]byte(nil), data...)
			damaged[at] ^= flip
			got, rep := replay(t, withSegment(t, damaged))
			if fmt.Sprint(got) != "[1:one 1:three]" {
				t.Fatalf("byte %d ^ %#x: replayed %q", at, flip, got)
			}
			if len(rep.Damage) != 1 || rep.Damage[0].Segment != 1 || rep.Damage[0].Offset != int64(ends[0]) {
				t.Fatalf("byte %d ^ %#x: damage %v, want one at %d", at, flip, rep.Damage, ends[0])
			}
		}
	}
}

func TestDamageAtTheEndWasNeverAcknowledged(t *testing.T) {
	fs := mem.New()
	l := open(t, fs, wal.Options{})
	mustPut(t, l, "one")
	end := len(read(t, fs, "wal/00000001"))
	for _, payload := range []string{"two", "three", "four"} { // one flush
		if _, _, err := put(l, payload); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	data := read(t, fs, "wal/00000001")
	data[end+record.HeaderSize] ^= 1
	got, rep := replay(t, withSegment(t, data))
	if fmt.Sprint(got) != "[1:one]" || len(rep.Damage) > 0 {
		t.Errorf("replayed %q, damage %v; what follows in the last flush must not be read", got, rep.Damage)
	}
}

func TestADamagedHeaderLosesNothing(t *testing.T) {
	data, _ := segment(t, "one", "two")
	data[9] ^= 1
	got, rep := replay(t, withSegment(t, data))
	if fmt.Sprint(got) != "[1:one 1:two]" || len(rep.Damage) != 1 || rep.Damage[0].Offset != 0 {
		t.Errorf("replayed %q, damage %v", got, rep.Damage)
	}
}

func TestDamagedSegmentsAreKeptAside(t *testing.T) {
	data, ends := segment(t, "one", "two", "three")
	data[ends[0]+record.HeaderSize] ^= 1
	fs := withSegment(t, data)
	l := open(t, fs, wal.Options{})
	replayed(t, l)
	if err := l.DropBefore(l.Segment()); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(names) != "[00000001.damaged 00000002]" {
		t.Errorf("the directory has %q", names)
	}
	wantReplay(t, fs)
}

func TestTheFutureEndsTheReplay(t *testing.T) {
	data, ends := segment(t, "one", "two")
	version := append([]byte(nil), data...)
	version[7]++
	flags := new(record.Framer).Append(append([]byte(nil), data[:ends[0]]...), []byte("two"), true)
	flags[ends[0]+record.HeaderSize-1] |= 0x40
	copy(flags[ends[0]:], reframe(flags[ends[0]:]))
	for name, bytes := range map[string][]byte{"version": version, "flags": flags} {
		fs := withSegment(t, bytes)
		l := open(t, fs, wal.Options{})
		_, err := l.Replay(t.Context(), func(uint64, []byte) error { return nil })
		if !errors.Is(err, record.ErrFuture) || !strings.Contains(err.Error(), "segment 1") {
			t.Errorf("%s: replay ends with %v", name, err)
		}
		closeLog(t, l)
	}
}

// TestCrash stops the file system anywhere: everything acknowledged is there,
// everything that is there is in order without a gap.
func TestCrash(t *testing.T) {
	const payloads = 40
	var acknowledged int
	workload := func(fs vfs.FS) {
		acknowledged = 0
		next := 0
		for range 2 {
			l, err := wal.Open(fs, dir, wal.Options{SegmentSizeMax: 200}, wal.NewMetrics(nil))
			if err != nil {
				return
			}
			for range payloads / 2 {
				_, p, err := put(l, fmt.Sprintf("%020d", next))
				if err != nil {
					return
				}
				next++
				if next%3 != 0 {
					continue
				}
				if l.Wait(context.Background(), p) != nil {
					return
				}
				acknowledged = next
			}
			if l.Close() != nil {
				return
			}
			acknowledged = next
		}
	}
	check := func(fs vfs.FS) {
		got, rep := replay(t, fs)
		for i, x := range got {
			_, payload, _ := strings.Cut(x, ":")
			if payload != fmt.Sprintf("%020d", i) {
				t.Fatalf("payload %d is %s, of %q", i, payload, got)
			}
		}
		if len(got) < acknowledged || len(rep.Damage) > 0 {
			t.Errorf("replayed %d payloads, %d were acknowledged; damage %v", len(got), acknowledged, rep.Damage)
		}
	}
	vfstest.EveryCrash(t, workload, check)
}

// TestCrashAfterAFailure lets a sync fail before the power is cut: payloads may
// stand twice then, but in order and none missing.
func TestCrashAfterAFailure(t *testing.T) {
	var acknowledged int
	workload := func(fs vfs.FS) {
		acknowledged = 0
		faults := vfstest.New(fs)
		l, err := wal.Open(faults, dir, wal.Options{}, wal.NewMetrics(nil))
		if err != nil {
			return
		}
		for i := range 12 {
			if i == 5 {
				faults.FailKind(vfstest.Sync, dir, vfs.ErrFull)
			}
			_, p, err := put(l, fmt.Sprintf("%020d", i))
			if err != nil {
				return
			}
			if i == 5 {
				_ = l.Wait(context.Background(), p) // fails
				_ = l.Sync(context.Background())    // the probe fails
				faults.Fail(nil)
			}
			if l.Sync(context.Background()) != nil {
				return
			}
			acknowledged = i + 1
		}
		_ = l.Close()
	}
	check := func(fs vfs.FS) {
		got, _ := replay(t, fs)
		next := 0
		for _, x := range got {
			var n int
			if _, err := fmt.Sscanf(x[strings.Index(x, ":")+1:], "%d", &n); err != nil || n > next {
				t.Fatalf("after %d payloads came %q, of %q", next, x, got)
			}
			next = max(next, n+1)
		}
		if next < acknowledged {
			t.Errorf("replayed %d payloads, %d were acknowledged", next, acknowledged)
		}
	}
	vfstest.EveryCrash(t, workload, check)
}

// reframe repairs the checksum of a frame whose flags were changed.
func reframe(frame []byte) []byte {
	sum := checksum(frame[record.HeaderSize-1:])
	out := append([]byte(nil), frame...)
	for i := range 4 {
		out[4+i] = byte(sum >> (8 * i))
	}
	return out
}

func checksum(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }
