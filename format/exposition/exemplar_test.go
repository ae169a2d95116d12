package exposition_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gogo/protobuf/types"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"

	"github.com/nilometer/nilometer/format/exposition"
)

// exemplarBody is a body of counters, each with an exemplar of the given trace,
// none for "".
func exemplarBody(f exposition.Format, traces ...string) []byte {
	var out strings.Builder
	var families []*dto.MetricFamily
	for i, trace := range traces {
		family := &dto.MetricFamily{Name: fmt.Sprintf("c%d_total", i), Metric: []dto.Metric{{Counter: &dto.Counter{Value: float64(i)}}}}
		fmt.Fprintf(&out, "# TYPE %s counter\n%s %d", strings.TrimSuffix(family.Name, "_total"), family.Name, i)
		if trace != "" {
			fmt.Fprintf(&out, " # {trace=%q} 1.5 7", trace)
			family.Metric[0].Counter.Exemplar = &dto.Exemplar{
				Label: []dto.LabelPair{{Name: "trace", Value: trace}}, Value: 1.5, Timestamp: &types.Timestamp{Seconds: 7},
			}
		}
		out.WriteByte('\n')
		families = append(families, family)
	}
	if f == exposition.Protobuf {
		return delimited(families...)
	}
	return []byte(out.String() + "# EOF\n")
}

// TestExemplarsOnce: an exemplar is shown when its series did not have it in
// the body before.
func TestExemplarsOnce(t *testing.T) {
	for _, f := range []exposition.Format{exposition.OpenMetrics, exposition.Protobuf} {
		k := newKeeper()
		for i, c := range []struct{ traces, want string }{
			{"a b c d", "a b c d"},
			{"a b c d", ""},
			{"a e c d", "e"},
			{"a e c -", ""},
			{"- e c -", ""},
			{"- e c f", "f"},
			{"a e c f", "a"},
			{"e a c f", "e a"},
			{"e a c f g h", "g h"},
			{"e a c f g h", ""},
		} {
			traces := strings.Fields(strings.ReplaceAll(c.traces, "-", `""`))
			for j, s := range traces {
				traces[j] = strings.Trim(s, `"`)
			}
			if _, _, err := k.all(exemplarBody(f, traces...), exposition.Options{Format: f}); err != nil {
				t.Fatal(err)
			}
			var got []string
			for j := range k.scan.Exemplars {
				l, _ := k.scan.ExemplarLabels(j)
				got = append(got, l.Get("trace"))
			}
			if !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("format %d, body %d (%s): exemplars %v, want %s", f, i, c.traces, got, c.want)
			}
		}
	}
}

// BenchmarkExemplars reads a body whose lines all have an exemplar, the same
// each time.
func BenchmarkExemplars(b *testing.B) {
	traces := make([]string, 500)
	for i := range traces {
		traces[i] = "4bf92f3577b34da6a3ce929d0e0e4736"
	}
	for name, f := range map[string]exposition.Format{"openmetrics": exposition.OpenMetrics, "protobuf": exposition.Protobuf} {
		b.Run(name, func(b *testing.B) {
			scan(b, [][]byte{exemplarBody(f, traces...)}, exposition.Options{Format: f}, false)
		})
	}
}
