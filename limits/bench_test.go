package limits_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// nothing is an index without series.
var nothing = []labels.Labels{}

// BenchmarkNewSeries is what a new series costs here, by how far its labels are
// from their limits. Known series cost nothing: nobody is asked.
func BenchmarkNewSeries(b *testing.B) {
	for _, c := range []struct {
		name    string
		options limits.Options
		metrics int // over which the series are spread
	}{
		{"unwatched", limits.Options{}, 100_000},
		{"watched", limits.Options{Scoped: limits.Scoped{ValuesMax: 1 << 40, TargetValuesMax: 2}}, 10},
		{"scoped", limits.Options{SeriesMax: 1 << 40, Scoped: limits.Scoped{JobSeriesMax: 1 << 40, TargetSeriesMax: 1 << 40, MetricSeriesMax: 1 << 40}}, 100_000},
		{"refused", limits.Options{Scoped: limits.Scoped{ValuesMax: 2, TargetValuesMax: 2, Policy: limits.Refuse}}, 10},
		{"hashed", limits.Options{Scoped: limits.Scoped{ValuesMax: 2, TargetValuesMax: 2, Policy: limits.Hash}}, 10},
	} {
		lsets := make([]labels.Labels, 100_000)
		for i := range lsets {
			lsets[i] = labels.FromStrings("__name__", fmt.Sprint("metric_", i%c.metrics), "instance", "10.0.0.7:9100", "job", "node", "path", "/api", "user", fmt.Sprint("u", i))
		}
		for _, parallel := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/parallel=%t", c.name, parallel), func(b *testing.B) {
				l, err := limits.New(c.options, limits.Deps{})
				if err != nil {
					b.Fatal(err)
				}
				l.Follow(counts{series: &nothing})
				one := func(i int) {
					as, _, _ := l.Shape(tenant.Default, 0, lsets[i%len(lsets)], storage.Offer{Merges: true})
					l.Admit(tenant.Default, 0, as)
				}
				b.ReportAllocs()
				if !parallel {
					for i := range b.N {
						one(i)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						one(i)
					}
				})
			})
		}
	}
}
