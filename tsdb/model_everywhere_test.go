package tsdb_test

import (
	"fmt"
	"math"
	"testing"
)

// lifetime is a script that comes by everything a database does on a disk:
// what scrapes and senders bring, cuts, compactions, a start with and without
// much in the log. between is put before the last of its three parts.
func lifetime(first ...op) script {
	pushes := func(at int64) op {
		o := op{Do: doAppend, Group: "P", Synced: true}
		for i := range int64(4) {
			r := row{At: at + 1_000*i}
			r.add("s5", float64(i)/8) // of A, too
			r.add("s9", float64(i))
			o.Rows = append(o.Rows, r)
		}
		return o
	}
	scrapes := func(at int64) op {
		return op{Do: doScrapes, Group: "A", From: at, Count: 12, Interval: 1_000, Seed: uint64(at)}
	}
	all := op{Do: doRead, From: math.MinInt64 / 2, To: math.MaxInt64 / 2}
	s := script{Settings: settings{BlockRangeMs: 10_000}, Ops: first}
	s.Ops = append(s.Ops,
		scrapes(0), pushes(11_000), scrapes(20_000), all, op{Do: doCut}, pushes(33_000),
		scrapes(40_000), op{Do: doCut}, op{Do: doCompact}, all,
		op{Do: doRestart}, scrapes(60_000), pushes(73_000), op{Do: doCut}, op{Do: doCompact}, op{Do: doCompact}, all,
		op{Do: doHeal}, scrapes(90_000), pushes(103_000), scrapes(120_000), op{Do: doCut}, op{Do: doCompact}, all,
	)
	return s
}

// everywhere plays scripts for 1, 2, 3 and so on up to the number of operations
// of the disk in a lifetime, of which it draws some unless crashVariable says
// otherwise.
func everywhere(t *testing.T, standard int, make func(n int) script) {
	t.Helper()
	total := 0
	if _, err := bubbleOf(t, lifetime(), func(r *run) { total = r.faults.Count() }); err != nil {
		t.Fatal(err)
	}
	// The count is of the time after the last start; the time before it has about
	// as many.
	total *= 2
	if testing.Short() {
		standard = 2
	}
	step := max(1, total/crashes(t, standard).StopsMax)
	for n := 1; n <= total; n += step {
		s := make(n)
		if _, err := bubble(t, s); err != nil {
			t.Fatalf("%s\nthis script fails; with it in a file, run with %s=FILE:\n%s", err, modelScriptFile, s)
		}
	}
}

// TestFaultsEverywhere lets any operation of the disk fail, alone or with those
// after it: nothing that was acknowledged is lost, reads go on, and the database
// goes on by itself when the disk does.
func TestFaultsEverywhere(t *testing.T) {
	for _, fault := range []string{"full", "sync", "write", "link"} {
		for _, count := range []int{1, 3, 0} {
			t.Run(fmt.Sprintf("%s %d", fault, count), func(t *testing.T) {
				everywhere(t, 6, func(n int) script {
					return lifetime(op{Do: doFault, Fault: fault, At: n, Count: count})
				})
			})
		}
	}
}

// TestCancelEverywhere ends the context of cuts, compactions and starts before
// any operation of the disk.
func TestCancelEverywhere(t *testing.T) {
	for _, what := range []kind{doCut, doCompact, doRestart} {
		t.Run(string(what), func(t *testing.T) {
			everywhere(t, 20, func(n int) script {
				s := lifetime()
				for i := range s.Ops {
					if s.Ops[i].Do == what {
						s.Ops[i].Cancel, s.Ops[i].Count = n%60, n%2
					}
				}
				return s
			})
		})
	}
}
