package tsdb_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestCardinality: what there is most of, what is new within the hour, how often
// it is written, and what has grown.
func TestCardinality(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := mustStart(t, mem.New(), tsdb.Options{MaintenanceInterval: time.Minute}, tsdb.Deps{Clock: time.Now})
		g, err := db.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Closed, "scrape"))
		if err != nil {
			t.Fatal(err)
		}
		var lsets []labels.Labels
		add := func(metric string, n int) {
			for range n {
				lsets = append(lsets, labels.FromStrings("__name__", metric, "instance", "a", "job", "app", "n", fmt.Sprint(len(lsets))))
			}
		}
		scrape := func() {
			out := make([]storage.Resolution, len(lsets))
			b := &storage.Batch{Time: time.Now().UnixMilli(), Values: make([]float64, len(lsets))}
			if b.Version, err = g.Resolve(t.Context(), lsets, out); err != nil {
				t.Fatal(err)
			}
			for _, r := range out {
				b.Slots = append(b.Slots, r.Slot)
			}
			if _, err := g.Append(t.Context(), b, storage.Logged); err != nil {
				t.Fatal(err)
			}
		}
		add("steady", 20)
		add("bomb", 5)
		for range 80 { // minutes
			scrape()
			time.Sleep(time.Minute)
		}
		add("bomb", 30)
		for range 5 {
			scrape()
			time.Sleep(time.Minute)
		}
		c, err := db.Cardinality(t.Context(), tenant.Default, 1)
		if err != nil {
			t.Fatal(err)
		}
		m := c.Metrics
		if c.Series != 55 || len(m.BySeries) != 1 || m.BySeries[0].Name != "bomb" || m.BySeries[0].Series != 35 {
			t.Errorf("%d series, by series %+v", c.Series, m.BySeries)
		}
		if len(m.ByChurn) != 1 || m.ByChurn[0].Name != "bomb" || m.ByChurn[0].New != 30 {
			t.Errorf("by churn %+v", m.ByChurn)
		}
		if len(m.ByGrowth) != 1 || m.ByGrowth[0].Name != "bomb" || m.ByGrowth[0].Growth != 30 {
			t.Errorf("by growth %+v", m.ByGrowth)
		}
		if r := c.Targets.BySamples; len(r) != 1 || r[0].Name != "app/a" || r[0].SamplesPerSecond < 0.9 || r[0].SamplesPerSecond > 0.93 {
			t.Errorf("targets by samples %+v", r)
		}
		if age := time.Since(c.ChurnSince); age < time.Hour || age > 62*time.Minute {
			t.Errorf("churn is of %s", age)
		}
		if age := time.Since(c.GrowthSince); age < time.Hour || age > 76*time.Minute {
			t.Errorf("growth is of %s", age)
		}
	})
}
