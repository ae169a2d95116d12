package tsdb_test

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestClockGoesBackwards runs the loops with a clock that goes back an hour each
// time it is asked: they come round all the same.
func TestClockGoesBackwards(t *testing.T) {
	var now atomic.Int64
	now.Store(at(1e6))
	clock := func() time.Time { return time.UnixMilli(now.Add(-time.Hour.Milliseconds())) }
	opts := quiet(2 * time.Hour)
	opts.MaintenanceInterval = 10 * time.Millisecond
	reg := prometheus.NewRegistry()
	mustStart(t, mem.New(), opts, tsdb.Deps{Clock: clock, Registerer: reg})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		runs := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "nilometer_tsdb_loop_runs_total" {
					runs[m.GetLabel()[0].GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
		if len(runs) > 1 && slices.Min(slices.Collect(maps.Values(runs))) >= 3 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the loops came round so often: %v", runs)
		}
	}
}
