package pressure_test

import (
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/tsdb/pressure"
)

func TestNext(t *testing.T) {
	for _, c := range []struct {
		was            pressure.Level
		percent, limit int64
		want           pressure.Level
	}{
		{pressure.Relaxed, 79, 1000, pressure.Relaxed},
		{pressure.Relaxed, 80, 1000, pressure.SealEarly},
		{pressure.Relaxed, 85, 1000, pressure.CutEarly},
		{pressure.Relaxed, 90, 1000, pressure.RefuseSeries},
		{pressure.Relaxed, 95, 1000, pressure.RefuseQueries},
		{pressure.Relaxed, 97, 1000, pressure.RefusePushes},
		{pressure.Relaxed, 300, 1000, pressure.RefusePushes},
		{pressure.SealEarly, 79, 1000, pressure.SealEarly},
		{pressure.SealEarly, 78, 1000, pressure.SealEarly},
		{pressure.SealEarly, 77, 1000, pressure.Relaxed},
		{pressure.RefuseQueries, 93, 1000, pressure.RefuseQueries},
		{pressure.RefuseQueries, 92, 1000, pressure.RefuseSeries},
		{pressure.RefusePushes, 50, 1000, pressure.Relaxed},
		{pressure.RefusePushes, 99, 0, pressure.Relaxed},
	} {
		if got := pressure.Next(c.was, c.limit/100*c.percent, c.limit); got != c.want {
			t.Errorf("from %s at %d%% of %d: %s, want %s", c.was, c.percent, c.limit, got, c.want)
		}
	}
}

// TestLadderIsSteady: more usage never means a lower level, and a level that was
// reached is kept when usage stays.
func TestLadderIsSteady(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.Int64Range(1, 1<<40).Draw(rt, "limit")
		was := rapid.SampledFrom(pressure.Levels()).Draw(rt, "was")
		usage := rapid.Int64Range(0, 2*limit).Draw(rt, "usage")
		more := usage + rapid.Int64Range(0, limit).Draw(rt, "more")
		now := pressure.Next(was, usage, limit)
		if then := pressure.Next(was, more, limit); then < now {
			rt.Fatalf("%s at %d, %s at %d", now, usage, then, more)
		}
		if again := pressure.Next(now, usage, limit); again != now {
			rt.Fatalf("%s at %d, and then %s", now, usage, again)
		}
	})
}

func TestMonitor(t *testing.T) {
	u := pressure.Usage{Anonymous: 500, OffHeap: 300, Objects: 100, Live: 100}
	var heap []int64
	m := pressure.NewMonitor(1000, pressure.Deps{Look: func() pressure.Usage { return u }, SetHeapLimit: func(n int64) { heap = append(heap, n) }})
	m.Look()
	if m.Level() != pressure.Relaxed || m.Usage() != 500 || len(heap) != 1 || heap[0] != 700 {
		t.Errorf("%s at %d, heap %d", m.Level(), m.Usage(), heap)
	}
	u.OffHeap = 302
	m.Look()
	if len(heap) != 1 {
		t.Errorf("a change of 2 of 1000 is told: %d", heap)
	}
	u = pressure.Usage{Anonymous: 990, OffHeap: 950, Objects: 40, Live: 10}
	m.Look()
	if m.Level() != pressure.RefuseQueries || len(heap) != 2 || heap[1] != 125 {
		t.Errorf("%s at %d without 30 of garbage, heap %d", m.Level(), m.Usage(), heap)
	}
	u.Anonymous = 100
	u.OffHeap = 50
	m.Look()
	if m.Level() != pressure.Relaxed {
		t.Errorf("%s at %d", m.Level(), m.Usage())
	}
}

func TestOfProcess(t *testing.T) {
	held := make([]byte, 64<<20)
	for i := range held {
		held[i] = 1
	}
	runtime.GC() // until then it would count as garbage
	if u := pressure.OfProcess(0); u.InUse() < 64<<20 || u.Runtime < 64<<20 {
		t.Errorf("64 MiB are in use at least: %+v", u)
	}
	if held[1000] != 1 {
		t.Fatal("lost")
	}
}
