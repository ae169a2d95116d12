package promql_test

import (
	"testing"
	"time"

	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestReadTogether: two readings of the same series select them once, and where
// the rows of both do not fit into memory at one time, each reads by itself.
func TestReadTogether(t *testing.T) {
	store := memory(t, generate(3, 10, 200), storagetest.MemoryOptions{})
	at := func(seconds int64) time.Time { return time.UnixMilli(dataStart + seconds*1000) }
	w := when{start: at(600), end: at(1800), step: 15 * time.Second}
	for _, c := range []struct {
		expr     string
		options  promql.Options
		selected int64
	}{
		{`sum(rate(requests_total[5m]))`, promql.Options{}, 26},
		{`sum(rate(requests_total[5m])) / sum(rate(requests_total[10m]))`, promql.Options{}, 27},
		{`sum(rate(requests_total{path="/"}[5m])) / sum(rate(requests_total[5m]))`, promql.Options{}, 26},
		{`sum(rate(requests_total[5m])) / sum(rate(requests_total[5m] offset 5h))`, promql.Options{}, 26},
		{`count(abs(rate(requests_total[5m]))) / count(abs(rate(requests_total[10m])))`, promql.Options{}, 27},
		{`count(abs(rate(requests_total[5m]))) / count(abs(rate(requests_total[10m])))`, promql.Options{SamplesMax: 2600}, 80},
	} {
		p := &pair{ours: newEngine(t, whole(c.options)), reader: store}
		res, err := p.ask(c.expr, w)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if res.Stats.SeriesSelected != c.selected {
			t.Errorf("%s: %d series selected, want %d", c.expr, res.Stats.SeriesSelected, c.selected)
		}
		res.Close()
	}
}
