package frontend_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nilometer/nilometer/promql/exec"
	"github.com/nilometer/nilometer/promql/frontend"
	"github.com/nilometer/nilometer/promql/function"
)

// TestPlanCoversEveryStepOnce: I2 and I3, of random queries and extents.
func TestPlanCoversEveryStepOnce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		step := 1 + rnd.Int64N(20)
		q := frontend.Grid{Start: rnd.Int64N(400) - 200, Step: step}
		q.End = q.Start + step*rnd.Int64N(30)
		keptStart := q.Start + step*(rnd.Int64N(50)-25)
		keptEnd := keptStart + step*(rnd.Int64N(40)-5)
		split := rnd.Int64N(80)
		pieces := frontend.Plan(q, keptStart, keptEnd, split)
		next := q.Start
		for i, p := range pieces {
			switch {
			case p.Start != next || p.End < p.Start || (p.End-p.Start)%step != 0:
				t.Fatalf("%+v, kept %d to %d, split %d: piece %d of %+v is not the next one", q, keptStart, keptEnd, split, i, pieces)
			case p.Kept && (p.Start < keptStart || p.End > keptEnd):
				t.Fatalf("%+v, kept %d to %d: piece %d of %+v is not kept", q, keptStart, keptEnd, i, pieces)
			case !p.Kept && p.Start == p.End && q.Start != q.End:
				t.Fatalf("%+v, kept %d to %d, split %d: piece %d of %+v is one step", q, keptStart, keptEnd, split, i, pieces)
			case !p.Kept && split > 3*step && p.End-p.Start > split+2*step:
				t.Fatalf("%+v, split %d: piece %d of %+v is too long", q, split, i, pieces)
			}
			next = p.End + step
		}
		if next != q.End+step {
			t.Fatalf("%+v, kept %d to %d, split %d: %+v ends early", q, keptStart, keptEnd, split, pieces)
		}
	}
}

func TestPlanKeepsAndSplits(t *testing.T) {
	for _, c := range []struct {
		name       string
		start, end int64
		kept       [2]int64
		split      int64
		want       []frontend.Piece
	}{
		{"nothing kept", 0, 100, [2]int64{1, 0}, 0, []frontend.Piece{{0, 100, false}}},
		{"all kept", 0, 100, [2]int64{-50, 200}, 10, []frontend.Piece{{0, 100, true}}},
		{"a window slides", 30, 130, [2]int64{0, 100}, 0, []frontend.Piece{{30, 100, true}, {110, 130, false}}},
		{"one new step takes the one before", 10, 110, [2]int64{0, 100}, 0, []frontend.Piece{{10, 90, true}, {100, 110, false}}},
		{"days", 30, 130, [2]int64{1, 0}, 50, []frontend.Piece{{30, 40, false}, {50, 90, false}, {100, 130, false}}},
		{"a day that begins at noon", 30, 80, [2]int64{1, 0}, 50, []frontend.Piece{{30, 80, false}}},
		{"one step", 20, 20, [2]int64{0, 100}, 5, []frontend.Piece{{20, 20, false}}},
	} {
		got := frontend.Plan(frontend.Grid{Start: c.start, End: c.end, Step: 10}, c.kept[0], c.kept[1], c.split)
		if len(got) != len(c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
				break
			}
		}
	}
}

// TestValid: a step holds when nothing it looks at has changed.
func TestValid(t *testing.T) {
	for _, c := range []struct {
		ahead, changed, last int64
		ok                   bool
	}{
		{0, math.MaxInt64, 190, true},
		{0, 1000, 190, true},
		{0, 151, 150, true},
		{0, 150, 130, true},
		{0, 110, 0, false},
		{-60, 150, 190, true}, // all of it lies a minute back
		{30, 150, 110, true},
	} {
		last, ok := frontend.Valid(110, 190, 20, c.ahead, c.changed)
		if ok != c.ok || ok && last != c.last {
			t.Errorf("ahead %d, changed at %d: %d %v, want %d %v", c.ahead, c.changed, last, ok, c.last, c.ok)
		}
	}
}

func extent(number uint64, bytes int64) *frontend.Extent {
	return &frontend.Extent{Number: number, Bytes: bytes, Matrix: exec.Matrix{Grid: function.NewGrid(0, 100, 10)}}
}

// TestCacheIsBounded: I4.
func TestCacheIsBounded(t *testing.T) {
	c := frontend.NewCache(100_000)
	key := func(i int) frontend.Key { return frontend.Key{Expr: strings.Repeat("x", i+1), Step: 1} }
	for i := range 50 {
		if !c.Put(key(i), extent(1, 10_000)) {
			t.Fatalf("extent %d was not kept", i)
		}
		if c.Get(key(0)) == nil { // used all the time, so it stays
			t.Fatalf("after %d others the one in use is gone", i)
		}
		if u := c.Usage(); u.Bytes > 100_000 || u.Bytes < int64(u.Extents)*10_000 {
			t.Fatalf("%+v", u)
		}
	}
	if u := c.Usage(); u.Extents < 8 || int64(u.Extents)+u.Replaced != 50 {
		t.Errorf("%+v", u)
	}
	if c.Put(key(1), extent(1, 20_000)) || !c.Room(10_000) || c.Room(20_000) {
		t.Error("an extent took more than an eighth")
	}
	if c.Get(key(1)) != nil {
		t.Error("the oldest is still there")
	}
	c.Put(key(49), extent(7, 100))
	if c.Put(key(49), extent(6, 100)) || c.Get(key(49)).Number != 7 {
		t.Error("an older extent took the place of a newer one")
	}
}

// TestFlights: one evaluates, the others wait, as long as they have a reason to.
func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f frontend.Flights
		k := frontend.Key{Expr: "x", Step: 10}
		all := frontend.Grid{Start: 0, End: 1000, Step: 10}
		leave, err := f.Enter(t.Context(), k, all)
		if err != nil {
			t.Fatal(err)
		}
		entered := make(chan func(bool), 10)
		enter := func(ctx context.Context, q frontend.Grid) {
			go func() {
				if leave, err := f.Enter(ctx, k, q); err == nil {
					entered <- leave
				}
			}()
			synctest.Wait()
		}
		enter(t.Context(), frontend.Grid{Start: 5000, End: 6000, Step: 10})
		(<-entered)(true) // nothing of it is under way
		enter(t.Context(), all)
		enter(t.Context(), frontend.Grid{Start: 0, End: 1900, Step: 10})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		enter(short, all)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(entered) != 0 {
			t.Fatal("somebody did not wait")
		}
		leave(false) // it failed: one of the others evaluates
		synctest.Wait()
		if len(entered) != 1 {
			t.Fatalf("%d evaluate after a failure, want 1", len(entered))
		}
		enter(t.Context(), all)
		(<-entered)(true)
		synctest.Wait()
		if len(entered) != 2 {
			t.Fatalf("%d go on after an answer, want 2", len(entered))
		}
	})
}
