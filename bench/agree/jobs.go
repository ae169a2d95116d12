package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/gogo/protobuf/types"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"
)

// job scrapes one page of the targets with settings of its own.
type job struct {
	name, page string
	settings   []string
	refused    bool // a limit ends the scrape: how much of the body counts then is not the same
}

func jobs() []job {
	drop := "metric_relabel_configs: [{source_labels: [__name__], regex: drop_me, action: drop}]"
	out := []job{
		{name: "duplicates", page: "duplicates"},
		{name: "conflicts", page: "conflicts"},
		{name: "honor_labels", page: "conflicts", settings: []string{"honor_labels: true"}},
		{name: "over_sample_limit", page: "five", settings: []string{"sample_limit: 3", drop}},
		{name: "sample_limit", page: "five", settings: []string{"sample_limit: 4", drop}},
		{name: "over_label_limit", page: "labels", settings: []string{"label_limit: 4"}, refused: true},
		{name: "label_limit", page: "labels", settings: []string{"label_limit: 6"}},
		{name: "name_length", page: "long_name", settings: []string{"label_name_length_limit: 20"}, refused: true},
		{name: "value_length", page: "long_value", settings: []string{"label_value_length_limit: 50"}, refused: true},
		{name: "body_size", page: "five", settings: []string{"body_size_limit: 10B"}},
		{name: "special_values", page: "special_values"},
		{name: "broken", page: "broken"},
		{name: "utf8", page: "utf8"},
		{name: "legacy", page: "utf8", settings: []string{"metric_name_validation_scheme: legacy"}, refused: true},
		{name: "empty", page: "empty"},
		{name: "empty_label", page: "empty_label"},
		{name: "timestamps", page: "timestamps"},
		{name: "ignored_timestamps", page: "timestamps", settings: []string{"honor_timestamps: false"}},
		{name: "tracked_timestamps", page: "timestamps", settings: []string{"track_timestamps_staleness: true"}},
		{name: "classic", page: "classic"},
		{name: "classic_converted", page: "classic", settings: []string{"convert_classic_histograms_to_nhcb: true"}},
		{name: "classic_both", page: "classic", settings: []string{"convert_classic_histograms_to_nhcb: true", "always_scrape_classic_histograms: true"}},
		{name: "openmetrics", page: "openmetrics"},
		{name: "openmetrics_converted", page: "openmetrics", settings: []string{"convert_classic_histograms_to_nhcb: true"}},
		{name: "openmetrics_timestamps", page: "old", settings: []string{"honor_timestamps: false"}},
		{name: "buckets", page: "protobuf", settings: []string{"scrape_native_histograms: true", "native_histogram_bucket_limit: 3"}},
		{name: "too_many_buckets", page: "protobuf", refused: true,
			settings: []string{"scrape_native_histograms: true", "native_histogram_bucket_limit: 1", "native_histogram_min_bucket_factor: 4"}},
		{name: "bucket_factor", page: "protobuf", settings: []string{"scrape_native_histograms: true", "native_histogram_min_bucket_factor: 1.5"}},
		{name: "no_type", page: "no_type"},
		{name: "no_type_fallback", page: "no_type", settings: []string{"fallback_scrape_protocol: PrometheusText0.0.4"}},
		{name: "html", page: "html"},
		{name: "html_fallback", page: "html", settings: []string{"fallback_scrape_protocol: PrometheusText0.0.4"}},
		{name: "error", page: "error"},
	}
	for i := range 8 {
		out = append(out, job{name: fmt.Sprintf("protobuf_%d", i), page: "protobuf", settings: []string{
			fmt.Sprintf("scrape_native_histograms: %v", i&1 != 0), fmt.Sprintf("convert_classic_histograms_to_nhcb: %v", i&2 != 0),
			fmt.Sprintf("always_scrape_classic_histograms: %v", i&4 != 0),
		}})
	}
	return out
}

func refused(name string) bool {
	for _, j := range jobs() {
		if j.name == name {
			return j.refused
		}
	}
	return false
}

// configOf scrapes all jobs at an address, and two targets of a job that may
// have one.
func configOf(address string) string {
	var b strings.Builder
	b.WriteString("global: {scrape_interval: 1s, scrape_timeout: 1s, extra_scrape_metrics: true}\nscrape_configs:\n")
	for _, j := range jobs() {
		fmt.Fprintf(&b, "- job_name: %s\n  metrics_path: /%s\n  static_configs: [{targets: [%q], labels: {instance: i}}]\n", j.name, j.page, address)
		for _, s := range j.settings {
			b.WriteString("  " + s + "\n")
		}
	}
	fmt.Fprintf(&b, "- job_name: target_limit\n  metrics_path: /five\n  target_limit: 1\n  static_configs: [{targets: [%q, \"localhost:1\"]}]\n", address)
	fmt.Fprintf(&b, "- job_name: by_label\n  metrics_path: /classic\n  static_configs: [{targets: [%q], labels: {__convert_classic_histograms_to_nhcb__: \"true\"}}]\n", address)
	return b.String()
}

func targetMux() *http.ServeMux {
	mux := http.NewServeMux()
	page := func(name, contentType, body string) {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{contentType}
			_, _ = w.Write([]byte(body)) // who hangs up misses it
		})
	}
	const plain, openMetrics = "text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"
	page("duplicates", plain, "a 1\na 2\na{x=\"1\"} 3\na{x=\"1\"} 3\nb 1\n")
	page("conflicts", plain, "a{job=\"own\",instance=\"i\"} 1\nb{job=\"\"} 2\nc{exported_job=\"e\",job=\"x\"} 3\nd{exported_exported_job=\"e\",exported_job=\"f\",job=\"x\"} 4\n")
	page("five", plain, "a 1\nb 2\nc 3\nd 4\ndrop_me 5\n")
	page("labels", plain, "a{b=\"1\",c=\"2\",d=\"3\"} 1\n")
	page("long_name", plain, "a{"+strings.Repeat("b", 30)+"=\"1\"} 1\n")
	page("long_value", plain, "a{b=\""+strings.Repeat("x", 100)+"\"} 1\n")
	page("special_values", plain, "a NaN\nb +Inf\nc -Inf\nd -0\ne 1e-320\n")
	page("broken", plain, "a 1\nb 2\nc !\nd 1\n")
	page("utf8", plain, "{\"a.b\",\"c.d\"=\"e\"} 1\nplain 2\n")
	page("empty", plain, "")
	page("empty_label", plain, "a{b=\"\",c=\"d\"} 1\n")
	page("classic", plain, "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n# TYPE s summary\ns{quantile=\"0.50\"} 1\ns_sum 1\ns_count 2\n")
	page("old", openMetrics, "a 1 1700000000.5\n# EOF\n")
	page("no_type", "", "a 1\n")
	page("html", "text/html", "a 1\n")
	page("openmetrics", openMetrics, openMetricsPage)
	page("protobuf", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", protobufPage())
	mux.HandleFunc("/error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	mux.HandleFunc("/timestamps", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now().UnixMilli()
		_, _ = fmt.Fprintf(w, "now 1 %d\nnone 2\nfuture 1 %d\nold 1 %d\n", now-500, now+3_600_000, now-7_200_000)
	})
	return mux
}

const openMetricsPage = `# TYPE c counter
# HELP c Some.
c_total{a="b"} 5 # {trace_id="x"} 1 1700000000
c_created{a="b"} 1700000000
# TYPE g_seconds gauge
# UNIT g_seconds seconds
g_seconds 3
# TYPE i info
i_info{v="1"} 1
# TYPE st stateset
st{st="on"} 1
# TYPE gh gaugehistogram
gh_bucket{le="1"} 1
gh_bucket{le="+Inf"} 1
gh_gsum 1
gh_gcount 1
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 3 # {trace_id="y"} 2 1700000001
h_sum 4
h_count 3
h_created 1700000000
# EOF
`

// protobufPage has a metric of every type, histograms of every kind.
func protobufPage() string {
	at := &types.Timestamp{Seconds: 1700000000}
	labelled := []dto.LabelPair{{Name: "job", Value: "x"}}
	exemplar := &dto.Exemplar{Label: []dto.LabelPair{{Name: "trace_id", Value: "z"}}, Value: 1, Timestamp: at}
	family := func(name string, t dto.MetricType, m dto.Metric) *dto.MetricFamily {
		return &dto.MetricFamily{Name: name, Type: t, Metric: []dto.Metric{m}}
	}
	families := []*dto.MetricFamily{
		family("c_total", dto.MetricType_COUNTER, dto.Metric{Label: labelled, Counter: &dto.Counter{Value: 3, StartTimestamp: at, Exemplar: exemplar}}),
		family("u.tf", dto.MetricType_GAUGE, dto.Metric{Gauge: &dto.Gauge{Value: math.Inf(1)}}),
		family("s", dto.MetricType_SUMMARY, dto.Metric{Summary: &dto.Summary{SampleCount: 3, SampleSum: 1, Quantile: []dto.Quantile{{Quantile: 0.5, Value: 2}}}}),
		family("n", dto.MetricType_HISTOGRAM, dto.Metric{Histogram: &dto.Histogram{
			SampleCount: 12, SampleSum: 4, Schema: 3, ZeroThreshold: 0.001, ZeroCount: 1,
			PositiveSpan: []dto.BucketSpan{{Offset: 1, Length: 3}, {Offset: 2, Length: 1}}, PositiveDelta: []int64{1, 1, 1, 1},
			NegativeSpan: []dto.BucketSpan{{Length: 1}}, NegativeDelta: []int64{1},
			Bucket: []dto.Bucket{{CumulativeCount: 2, UpperBound: 1, Exemplar: exemplar}, {CumulativeCount: 12, UpperBound: 10}},
		}}),
		family("f", dto.MetricType_GAUGE_HISTOGRAM, dto.Metric{Histogram: &dto.Histogram{
			SampleCountFloat: 3.5, SampleSum: 4, Schema: 1, ZeroThreshold: 0.001, ZeroCountFloat: 1.5,
			PositiveSpan: []dto.BucketSpan{{Offset: 1, Length: 2}}, PositiveCount: []float64{1, 1},
		}}),
		family("o", dto.MetricType_HISTOGRAM, dto.Metric{Histogram: &dto.Histogram{
			SampleCount: 4, SampleSum: 4, Bucket: []dto.Bucket{{CumulativeCount: 2, UpperBound: 1}, {CumulativeCount: 3, UpperBound: 10}},
		}}),
		family("t", dto.MetricType_UNTYPED, dto.Metric{Untyped: &dto.Untyped{Value: 9}, TimestampMs: time.Now().UnixMilli()}),
	}
	var out []byte
	for _, f := range families {
		b, err := f.Marshal()
		if err != nil {
			panic(err) // the families above are whole
		}
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return string(out)
}
