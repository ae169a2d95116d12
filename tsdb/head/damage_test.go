package head_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestDamageCostsOneGroupUntilItsNextBase damages the frame of one batch in the
// middle of a log of two groups and two processes.
func TestDamageCostsOneGroupUntilItsNextBase(t *testing.T) {
	fs := mem.New()
	var ends []int // of the first segment, after each batch
	var victim []int
	at := int64(0)
	for life := range 2 {
		s, err := open(fs, nil)
		if err != nil {
			t.Fatal(err)
		}
		groups := map[string]storage.Group{}
		for _, name := range []string{"one", "two"} {
			if groups[name], err = s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Closed, name)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 6 {
			at += 5
			for _, name := range []string{"one", "two"} {
				b := storage.Batch{Time: origin + 1000*at, Values: []float64{float64(i), 7}}
				lsets := []labels.Labels{storagetest.Named(name + "_counter"), storagetest.Named(name + "_constant")}
				if err := write(s, groups[name], b, lsets, storage.Synced); err != nil {
					t.Fatal(err)
				}
				if life == 0 {
					if name == "one" && i == 3 {
						victim = []int{ends[len(ends)-1]}
					}
					ends = append(ends, size(t, fs, "wal/00000001"))
				}
			}
		}
		if err := s.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	damage(t, fs, "wal/00000001", victim[0]+record.HeaderSize)

	s, replayed, err := openWith(fs, nil, head.Options{}, -1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close()
	if len(replayed.Damage) != 1 || replayed.Damage[0].Offset != int64(victim[0]) {
		t.Errorf("damage %v, want one at %d", replayed.Damage, victim[0])
	}
	want := head.Loss{Tenant: tenant.Default, Group: "one", From: origin + 15000, To: origin + 30000}
	if len(replayed.Losses) != 1 || replayed.Losses[0] != want {
		t.Errorf("losses %+v, want %+v", replayed.Losses, want)
	}
	var all []storagetest.Series
	for _, name := range []string{"one_constant", "one_counter", "two_constant", "two_counter"} {
		x := storagetest.Series{Labels: storagetest.Named(name)}
		for i := range int64(12) {
			if name[:3] == "one" && i >= 3 && i < 6 {
				continue // until the base of the second life
			}
			v := 7.0
			if name[4:] == "counter" {
				v = float64(i % 6)
			}
			x.Samples = append(x.Samples, storagetest.Sample{T: origin + 5000*(i+1), V: v})
		}
		all = append(all, x)
	}
	if d := storagetest.Diff(all, read(s)); d != "" {
		t.Error(d)
	}
}

// TestALostBaseIsReported damages the frame that introduces a group.
func TestALostBaseIsReported(t *testing.T) {
	fs := mem.New()
	s, err := open(fs, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "push"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		b := storage.Batch{Time: origin + 1000*i, Values: []float64{1}}
		if err := write(s, g, b, []labels.Labels{storagetest.Named("a")}, storage.Synced); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.log.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, fs, "wal/00000001", record.SegmentHeaderSize+record.HeaderSize)
	s, replayed, err := openWith(fs, nil, head.Options{}, -1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close()
	if len(replayed.Losses) != 1 || replayed.Losses[0].From != origin+1000 {
		t.Errorf("losses %+v, want one from the second batch on", replayed.Losses)
	}
	if got := read(s); len(got) > 0 {
		t.Errorf("read %v", got)
	}
}

func size(t *testing.T, fs *mem.FS, name string) int {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}

// damage flips the bits of one byte of a file.
func damage(t *testing.T, fs *mem.FS, name string, at int) {
	t.Helper()
	m, err := fs.Map(name)
	if err != nil {
		t.Fatal(err)
	}
	data := append([]byte(nil), m.Bytes()...)
	data[at] ^= 0xff
	if err := fs.Remove(name); err != nil {
		t.Fatal(err)
	}
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
