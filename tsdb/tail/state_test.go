package tail_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/tail"
)

// writer makes payloads of one group.
type writer struct {
	seq  uint64
	last map[uint32]uint64
}

func base(id string, group, seq uint64, kind storage.GroupKind, members ...record.Member) []byte {
	return record.AppendRecord(nil, record.TypeBase, record.AppendBase(nil, &record.Base{
		Tenant: id, Group: group, Kind: byte(kind), Name: "scrape", Seq: seq, Members: members,
	}))
}

func name(slot uint32) labels.Labels { return labels.FromStrings("__name__", fmt.Sprint("m", slot)) }

// batch has new members, values by slot, and stale slots.
func (w *writer) batch(group uint64, t int64, flags byte, fresh []uint32, values map[uint32]float64, stale ...uint32) []byte {
	w.seq++
	if w.last == nil {
		w.last = map[uint32]uint64{}
	}
	var b record.BatchWriter
	b.Reset(group, w.seq, t, flags)
	for _, slot := range fresh {
		b.AddMember(slot, uint64(slot)+1, name(slot))
	}
	for slot := range uint32(10) {
		if v, ok := values[slot]; ok {
			var hint record.Hint
			b.AddValue(slot, w.last[slot], math.Float64bits(v), &hint)
			w.last[slot] = math.Float64bits(v)
		}
	}
	for _, slot := range stale {
		b.AddStale(slot)
	}
	return record.AppendRecord(nil, record.TypeBatch, b.Append(nil))
}

// apply returns what a payload brings, as "time: m0=1 m1=2".
func apply(t *testing.T, s *tail.State, payload []byte) (out []string) {
	t.Helper()
	err := s.Apply(payload, func(b *storage.TailBatch) {
		text := fmt.Sprint(b.Time, ":")
		for i, lset := range b.Labels {
			v := fmt.Sprint(b.Values[i])
			if column.IsStale(b.Values[i]) {
				v = "stale"
			}
			text += fmt.Sprintf(" %s=%s", lset.Get("__name__"), v)
		}
		out = append(out, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestClosedGroupsCarryOn(t *testing.T) {
	s, w := tail.New(tenant.Default), &writer{}
	expect(t, apply(t, s, base("default", 1, 0, storage.Closed)))
	expect(t, apply(t, s, w.batch(1, 10, 0, []uint32{0, 1, 2}, map[uint32]float64{0: 1, 1: 2, 2: 3})), "10: m0=1 m1=2 m2=3")
	expect(t, apply(t, s, w.batch(1, 20, 0, nil, map[uint32]float64{1: 5})), "20: m0=1 m1=5 m2=3")
	expect(t, apply(t, s, w.batch(1, 30, 0, nil, nil, 0)), "30: m0=stale m1=5 m2=3")
	expect(t, apply(t, s, w.batch(1, 40, record.FlagTakeover, nil, map[uint32]float64{2: 3})), "40: m2=3")
	expect(t, apply(t, s, w.batch(1, 40, 0, nil, map[uint32]float64{0: 7})), "40: m0=7")
	expect(t, apply(t, s, w.batch(1, 50, record.FlagBodyStale, nil, map[uint32]float64{0: 8})), "50: m0=8 m2=stale")
	if s.Series() != 3 || s.Lost() != 0 {
		t.Errorf("%d series, %d lost", s.Series(), s.Lost())
	}
}

func TestOpenGroupsDoNot(t *testing.T) {
	s, w := tail.New(tenant.Default), &writer{}
	apply(t, s, base("default", 1, 0, storage.Open))
	expect(t, apply(t, s, w.batch(1, 10, 0, []uint32{0, 1}, map[uint32]float64{0: 1, 1: 2})), "10: m0=1 m1=2")
	expect(t, apply(t, s, w.batch(1, 20, 0, nil, map[uint32]float64{1: 5})), "20: m1=5")
}

// TestMissingRecords: a group says nothing from a missing record on to its next
// base, and nothing twice.
func TestMissingRecords(t *testing.T) {
	s, w := tail.New(tenant.Default), &writer{}
	apply(t, s, base("default", 1, 0, storage.Closed))
	first := w.batch(1, 10, 0, []uint32{0, 1}, map[uint32]float64{0: 1, 1: 2})
	expect(t, apply(t, s, first), "10: m0=1 m1=2")
	expect(t, apply(t, s, first))
	w.batch(1, 20, 0, nil, map[uint32]float64{1: 5}) // it is lost
	expect(t, apply(t, s, w.batch(1, 30, 0, nil, map[uint32]float64{1: 6})))
	expect(t, apply(t, s, w.batch(1, 40, 0, nil, map[uint32]float64{1: 7})))
	if s.Lost() != 1 {
		t.Errorf("%d losses", s.Lost())
	}
	one := func(slot uint32, v float64) record.Member {
		return record.Member{Slot: slot, Series: uint64(slot) + 1, Labels: name(slot), Bits: math.Float64bits(v), HasValue: true, Present: true}
	}
	expect(t, apply(t, s, base("default", 1, w.seq, storage.Closed, one(0, 1), one(1, 7))))
	expect(t, apply(t, s, w.batch(1, 50, 0, nil, map[uint32]float64{1: 8})), "50: m0=1 m1=8")
	if s.Series() != 2 {
		t.Errorf("%d series", s.Series())
	}
}

func TestOtherTenants(t *testing.T) {
	s, w := tail.New(tenant.Default), &writer{}
	apply(t, s, base("other", 1, 0, storage.Closed))
	expect(t, apply(t, s, w.batch(1, 10, 0, []uint32{0}, map[uint32]float64{0: 1})))
	if s.Lost() != 0 || s.Series() != 0 {
		t.Errorf("%d losses, %d series", s.Lost(), s.Series())
	}
}

// FuzzApply: whatever a payload has, it is refused or applied.
func FuzzApply(f *testing.F) {
	w := &writer{}
	f.Add(append(base("default", 1, 0, storage.Closed), w.batch(1, 10, 0, []uint32{0, 1}, map[uint32]float64{0: 1, 1: 2})...))
	f.Fuzz(func(_ *testing.T, payload []byte) {
		_ = tail.New(tenant.Default).Apply(payload, func(*storage.TailBatch) {})
	})
}

// BenchmarkApply is a scrape of 1,000 series of which a fifth changes.
func BenchmarkApply(b *testing.B) {
	s, w := tail.New(tenant.Default), &record.BatchWriter{}
	if err := s.Apply(base("default", 1, 0, storage.Closed), func(*storage.TailBatch) {}); err != nil {
		b.Fatal(err)
	}
	const series = 1000
	hints := make([]record.Hint, series)
	samples, seq := 0, uint64(0)
	for i := 0; b.Loop(); i++ {
		seq++
		w.Reset(1, seq, int64(i)*15_000, 0)
		for slot := range uint32(series) {
			if i == 0 {
				w.AddMember(slot, uint64(slot)+1, name(slot))
			}
		}
		for slot := range uint32(series) {
			if i == 0 || slot%5 == 0 {
				prev := math.Float64bits(float64(i - 1))
				if i == 0 {
					prev = 0
				}
				w.AddValue(slot, prev, math.Float64bits(float64(i)), &hints[slot])
			}
		}
		payload := record.AppendRecord(nil, record.TypeBatch, w.Append(nil))
		if err := s.Apply(payload, func(t *storage.TailBatch) { samples += len(t.Labels) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
}
