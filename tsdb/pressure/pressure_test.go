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
		aside          int64 // percent
	}{
		{pressure.Relaxed, 79, 1000, pressure.Relaxed, 0},
		{pressure.Relaxed, 80, 1000, pressure.SealEarly, 0},
		{pressure.Relaxed, 85, 1000, pressure.CutEarly, 0},
		{pressure.Relaxed, 90, 1000, pressure.RefuseSeries, 0},
		{pressure.Relaxed, 95, 1000, pressure.RefuseQueries, 0},
		{pressure.Relaxed, 97, 1000, pressure.RefusePushes, 0},
		{pressure.Relaxed, 300, 1000, pressure.RefusePushes, 0},
		{pressure.SealEarly, 79, 1000, pressure.SealEarly, 0},
		{pressure.SealEarly, 78, 1000, pressure.SealEarly, 0},
		{pressure.SealEarly, 77, 1000, pressure.Relaxed, 0},
		{pressure.RefuseQueries, 93, 1000, pressure.RefuseQueries, 0},
		{pressure.RefuseQueries, 92, 1000, pressure.RefuseSeries, 0},
		{pressure.RefusePushes, 50, 1000, pressure.Relaxed, 0},
		{pressure.RefusePushes, 99, 0, pressure.Relaxed, 0},
		{pressure.Relaxed, 70, 1000, pressure.RefuseSeries, 20},
		{pressure.Relaxed, 70, 1000, pressure.RefuseSeries, 200},
		{pressure.Relaxed, 95, 1000, pressure.RefuseQueries, 20},
		{pressure.RefuseSeries, 70, 1000, pressure.RefuseSeries, 18},
	} {
		if got := pressure.Next(c.was, c.limit/100*c.percent, c.limit/100*c.aside, c.limit); got != c.want {
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
		aside := rapid.Int64Range(0, limit).Draw(rt, "aside")
		more := usage + rapid.Int64Range(0, limit).Draw(rt, "more")
		now := pressure.Next(was, usage, aside, limit)
		if then := pressure.Next(was, more, aside, limit); then < now {
			rt.Fatalf("%s at %d, %s at %d", now, usage, then, more)
		}
		if again := pressure.Next(now, usage, aside, limit); again != now {
			rt.Fatalf("%s at %d, and then %s", now, usage, again)
		}
	})
}

func TestMonitor(t *testing.T) {
	u := pressure.Usage{Anonymous: 500, OffHeap: 300, Runtime: 200, Objects: 100, Live: 100}
	var heap []int64
	m := pressure.NewMonitor(1000, pressure.Deps{Look: func() pressure.Usage { return u }, SetHeapLimit: func(n int64) { heap = append(heap, n) }})
	m.Look()
	if m.Level() != pressure.Relaxed || m.Usage() != 500 || len(heap) != 1 || heap[0] != 669 {
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

// TestAdmit: between two looks as many new series come in as there is room for,
// what is set aside being none.
func TestAdmit(t *testing.T) {
	u, aside := pressure.Usage{Anonymous: 50 << 20, Live: 1}, int64(30<<20)
	m := pressure.NewMonitor(100<<20, pressure.Deps{Look: func() pressure.Usage { return u }, Aside: func() int64 { return aside }})
	admitted := func() (n int) {
		m.Look()
		for m.Admit() {
			n++
		}
		return n
	}
	if n := admitted(); n != 10<<10 {
		t.Errorf("%d series for 10 MiB", n)
	}
	if n := admitted(); n != 10<<10 {
		t.Errorf("%d after another look", n)
	}
	aside = 41 << 20
	if n := admitted(); n != 0 || m.Level() != pressure.RefuseSeries {
		t.Errorf("%d when all is set aside, %s", n, m.Level())
	}
	for unlimited := pressure.NewMonitor(0, pressure.Deps{}); aside > 0; aside -= 1 << 10 {
		if !unlimited.Admit() {
			t.Fatal("without a limit there is room")
		}
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
