package promql_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/nilometer/nilometer/promql"
)

// liveObjects is what is allocated on the Go heap, garbage included.
const liveObjects = "/memory/classes/heap/objects:bytes"

// peakOf returns by how much the heap grows while a function runs, in bytes. The
// collector runs after every percent, so that nearly all of it is in use.
func peakOf(do func()) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	heap := func() int64 {
		s := []metrics.Sample{{Name: liveObjects}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	runtime.GC()
	before := heap()
	end, most := make(chan struct{}), make(chan int64)
	go func() {
		var peak int64
		for tick := time.NewTicker(200 * time.Microsecond); ; {
			peak = max(peak, heap()-before)
			select {
			case <-tick.C:
			case <-end:
				tick.Stop()
				most <- peak
				return
			}
		}
	}()
	do()
	close(end)
	return <-most
}

// BenchmarkMemory is the peak of the heap that a query over a day of 2,000 series
// takes, for us and for upstream, beside the data of both.
func BenchmarkMemory(b *testing.B) {
	y := newYardstick(b, 100, 20, 5760)
	p := newPair(b, y.upstream(b), estimatingReader{yardReader{y: y}}, promql.Options{CacheMaxBytes: -1})
	q := y.query()
	for _, x := range []struct {
		expr string
		step time.Duration // 0: one instant
	}{
		{`sum by (job) (rate(x_total[5m]))`, 15 * time.Second},
		{`sum by (job) (rate(x_total[5m]))`, time.Minute},
		{`max by (instance) (x_total)`, 15 * time.Second},
		{`avg(rate(x_total[5m]))`, 15 * time.Second},
		{`count(x_total)`, 15 * time.Second},
		{`topk(5, sum by (n) (rate(x_total[5m])))`, 15 * time.Second},
		{`sum by (job) (rate(x_total[5m]) > 1)`, 15 * time.Second},
		{`quantile by (job) (0.9, rate(x_total[5m]))`, 15 * time.Second},
		{`sum by (job) (rate(x_total[5m])) / count by (job) (x_total)`, 15 * time.Second},
		{`rate(x_total[5m])`, 15 * time.Second},
		{`x_total / x_total`, time.Minute},
		{`max_over_time(x_total[1h])`, 5 * time.Minute},
	} {
		w := when{start: q.Start, end: q.End, step: x.step}
		b.Run(fmt.Sprintf("%s/%s", x.expr, x.step), func(b *testing.B) {
			var ours, theirs int64
			for b.Loop() {
				ours = peakOf(func() {
					if _, err := p.ask(x.expr, w); err != nil {
						b.Fatal(err)
					}
				})
				theirs = peakOf(func() {
					if res := p.askTheirs(x.expr, w); res.Err != nil {
						b.Fatal(res.Err)
					}
				})
			}
			b.ReportMetric(float64(ours)/1e6, "MB-ours")
			b.ReportMetric(float64(theirs)/1e6, "MB-upstream")
			b.ReportMetric(float64(theirs)/float64(ours), "upstream/ours")
		})
	}
}
