package scrape_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gogo/protobuf/types"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// noted is a writer that notes exemplars on their way to another.
type noted struct {
	storage.Writer
	mu        sync.Mutex // guards exemplars
	exemplars []string
}

type notedGroup struct {
	storage.Group
	to *noted
}

func (n *noted) OpenGroup(ctx context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	g, err := n.Writer.OpenGroup(ctx, id, spec)
	return notedGroup{g, n}, err
}

func (g notedGroup) Prepare(ctx context.Context, b *storage.Batch) (storage.Prepared, error) {
	g.to.mu.Lock()
	for _, x := range b.Exemplars {
		g.to.exemplars = append(g.to.exemplars, fmt.Sprintf("%s %v@%d", x.Exemplar.Labels, x.Exemplar.Value, x.Exemplar.Ts))
	}
	g.to.mu.Unlock()
	return g.Group.Prepare(ctx, b)
}

func (n *noted) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.exemplars)
}

// page is a protobuf body with a metric of every kind; n moves the values.
func page(n uint64) []byte {
	at := &types.Timestamp{Seconds: 1000}
	ex := &dto.Exemplar{Label: []dto.LabelPair{{Name: "trace_id", Value: fmt.Sprint(n / 4)}}, Value: 0.5, Timestamp: &types.Timestamp{Seconds: 2000 + int64(n/4)}}
	families := []*dto.MetricFamily{
		{Name: "hits_total", Type: dto.MetricType_COUNTER, Help: "Hits.", Metric: []dto.Metric{
			{Label: []dto.LabelPair{{Name: "code", Value: "200"}}, Counter: &dto.Counter{Value: float64(n), StartTimestamp: at, Exemplar: ex}},
		}},
		{Name: "lag", Unit: "lag", Type: dto.MetricType_GAUGE, Metric: []dto.Metric{{Gauge: &dto.Gauge{Value: 7}}}},
		{Name: "wait", Type: dto.MetricType_HISTOGRAM, Metric: []dto.Metric{
			{Histogram: &dto.Histogram{SampleCount: 3 + n, SampleSum: 4, Schema: 3, ZeroThreshold: 0.001, ZeroCount: n,
				PositiveSpan: []dto.BucketSpan{{Offset: 1, Length: 2}}, PositiveDelta: []int64{1, 1},
				Bucket: []dto.Bucket{{CumulativeCount: 2, UpperBound: 1}}, StartTimestamp: at}},
		}},
		{Name: "old", Type: dto.MetricType_HISTOGRAM, Metric: []dto.Metric{
			{Histogram: &dto.Histogram{SampleCount: 2, SampleSum: 4, Bucket: []dto.Bucket{{CumulativeCount: 1, UpperBound: 1}}}},
		}},
	}
	var out []byte
	for _, f := range families {
		b, err := f.Marshal()
		if err != nil {
			panic(err)
		}
		out = append(binary.AppendUvarint(out, uint64(len(b))), b...)
	}
	return out
}

func TestProtobufScrapes(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scrape.PoolOptions)
		want   string // series, starts behind them, and H for histograms
	}{
		{"classic", func(*scrape.PoolOptions) {},
			"hits_total lag old_bucket{1.0} old_bucket{+Inf} old_count old_sum up wait_bucket{1.0} wait_bucket{+Inf} wait_count wait_sum"},
		{"native", func(o *scrape.PoolOptions) { o.NativeHistograms = true },
			"hits_total lag old_bucket{1.0} old_bucket{+Inf} old_count old_sum up wait:H"},
		{"native and classic", func(o *scrape.PoolOptions) { o.NativeHistograms, o.ClassicHistograms = true, true },
			"hits_total lag old_bucket{1.0} old_bucket{+Inf} old_count old_sum up wait:H wait_bucket{1.0} wait_bucket{+Inf} wait_count wait_sum"},
		{"custom", func(o *scrape.PoolOptions) { o.NativeHistograms, o.CustomHistograms = true, true },
			"hits_total lag old:H up wait:H"},
		{"starts", func(o *scrape.PoolOptions) { o.NativeHistograms, o.StartTimestamps = true, true },
			"hits_total@1000 lag old_bucket{1.0} old_bucket{+Inf} old_count old_sum up wait:H@1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n uint64
			o := web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
				_, _ = w.Write(page(n))
				n++
			}))
			c.change(&o)
			writer := &noted{}
			b := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) { writer.Writer, d.Writer = d.Writer, writer })
			b.apply(o)
			wait(t, "two exemplars", func() bool { return len(writer.all()) >= 2 })
			b.stop()
			if got := b.series(); got != c.want {
				t.Errorf("stored\n%s\nwant\n%s", got, c.want)
			}
			// One exemplar in four scrapes is new.
			if got := fmt.Sprint(writer.all()[:2]); got != `[{trace_id="0"} 0.5@2000000 {trace_id="1"} 0.5@2001000]` {
				t.Errorf("exemplars %s", got)
			}
			if m := b.Metadata("hits_total"); len(m) != 1 || m[0].Type != "counter" || m[0].Help != "Hits." {
				t.Errorf("metadata %v", m)
			}
			if m := b.Metadata("lag"); len(m) != 1 || m[0].Unit != "lag" {
				t.Errorf("metadata %v", m)
			}
		})
	}
}

// series names what is stored, with what is special about the newest sample.
func (b *bench) series() string {
	b.t.Helper()
	all, err := storagetest.ReadAll(b.t.Context(), b.store, tenant.Default)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		name := s.Labels.Get("__name__")
		if strings.HasPrefix(name, "scrape_") {
			continue
		}
		if le := s.Labels.Get("le"); le != "" {
			name += "{" + le + "}"
		}
		last := s.Samples[len(s.Samples)-1]
		if !last.H.IsZero() {
			name += ":H"
		}
		if last.Start != 0 {
			name += fmt.Sprint("@", last.Start/1000)
		}
		out = append(out, name)
	}
	slices.SortFunc(out, func(a, b string) int {
		return strings.Compare(strings.ReplaceAll(a, "+", "~"), strings.ReplaceAll(b, "+", "~"))
	})
	return strings.Join(out, " ")
}

func TestHistogramLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scrape.PoolOptions)
		status metadb.TargetStatus
		schema int32
	}{
		{"none", func(*scrape.PoolOptions) {}, metadb.TargetUp, 3},
		{"buckets", func(o *scrape.PoolOptions) { o.BucketMax = 1 }, metadb.TargetUp, 2},
		{"buckets of custom ones", func(o *scrape.PoolOptions) { o.BucketMax, o.CustomHistograms = 1, true }, metadb.TargetOverlimit, 0},
		{"factor", func(o *scrape.PoolOptions) { o.BucketFactorMin = 2 }, metadb.TargetUp, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.google.protobuf")
				_, _ = w.Write(page(1))
			}))
			o.NativeHistograms = true
			c.change(&o)
			b, target := outcome(t, o)
			if target.Status != c.status || c.status != metadb.TargetUp && !strings.Contains(target.LastError, "native_histogram_bucket_limit") {
				t.Fatalf("%s: %q", target.Status, target.LastError)
			}
			b.stop()
			if c.status != metadb.TargetUp {
				return
			}
			all, err := storagetest.ReadAll(t.Context(), b.store, tenant.Default)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				if h := s.Samples[0].H; s.Labels.Get("__name__") == "wait" && (h.Int == nil || h.Int.Schema != c.schema) {
					t.Errorf("stored %+v, want schema %d", h.Int, c.schema)
				}
			}
		})
	}
}

func TestDamagedProtobuf(t *testing.T) {
	o := web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.google.protobuf")
		body := page(1)
		_, _ = w.Write(body[:len(body)-3])
	}))
	if _, target := outcome(t, o); target.Status != metadb.TargetParseError || !strings.Contains(target.LastError, "longer than the body") {
		t.Errorf("%s: %q", target.Status, target.LastError)
	}
}

func TestNegotiation(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*scrape.PoolOptions)
		accept string
	}{
		{"default", func(*scrape.PoolOptions) {},
			"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"},
		{"native", func(o *scrape.PoolOptions) { o.NativeHistograms = true },
			"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"},
		{"chosen", func(o *scrape.PoolOptions) {
			o.Protocols, o.Escaping = []scrape.Protocol{scrape.ProtocolText100, scrape.ProtocolText004}, scrape.EscapeDots
		}, "text/plain;version=1.0.0;escaping=dots;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"},
		{"OpenMetrics 2", func(o *scrape.PoolOptions) {
			o.Protocols = []scrape.Protocol{scrape.ProtocolOpenMetricsText2, scrape.ProtocolText004}
		}, "application/openmetrics-text;version=2.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := make(chan string, 1)
			o := web(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case seen <- r.Header.Get("Accept"):
				default:
				}
				_, _ = w.Write([]byte(plain))
			}))
			c.change(&o)
			outcome(t, o)
			if got := <-seen; got != c.accept {
				t.Errorf("Accept\n%s\nwant\n%s", got, c.accept)
			}
		})
	}
}

func TestFallback(t *testing.T) {
	for _, c := range []struct {
		contentType string
		fallback    scrape.Protocol
		body        string
		want        metadb.TargetStatus
	}{
		{"", scrape.ProtocolText004, plain, metadb.TargetUp},
		{"", scrape.ProtocolOpenMetricsText1, plain, metadb.TargetParseError},
		{"", scrape.ProtocolProtobuf, string(page(1)), metadb.TargetUp},
		{"text/html", scrape.ProtocolText100, plain, metadb.TargetUp},
		{"a/b/c", scrape.ProtocolText100, plain, metadb.TargetUp},
		{"a/b/c", "", plain, metadb.TargetDown},
		{"application/openmetrics-text;version=2.0.0", "", plain, metadb.TargetDown},
		{"text/plain", scrape.ProtocolProtobuf, plain, metadb.TargetUp},
	} {
		o := web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{c.contentType}
			_, _ = w.Write([]byte(c.body))
		}))
		o.FallbackProtocol = c.fallback
		if _, target := outcome(t, o); target.Status != c.want {
			t.Errorf("%q with fallback %q: %s, %q", c.contentType, c.fallback, target.Status, target.LastError)
		}
	}
}

// TestHistogramsEnd: native histograms get stale markers as floats do, and a
// series may become a float.
func TestHistogramsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{}
		h := func(n int) string {
			return fmt.Sprintf("# TYPE h histogram\nh_bucket{le=\"1\"} %d\nh_bucket{le=\"+Inf\"} %d\nh_sum 1\nh_count %d\n", n, n, n)
		}
		e.set(h(1))
		o := one(e)
		o.CustomHistograms = true
		b.apply(o)
		for _, body := range []string{h(1), h(2), "x 1\n", h(3), "h 4\n", h(5), "x !\n", h(6)} {
			time.Sleep(9 * time.Second)
			e.set(body)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		b.stop()
		all, err := storagetest.ReadAll(t.Context(), b.store, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, "__name__", "h"))
		if err != nil || len(all) != 1 {
			t.Fatal(len(all), err)
		}
		var got []string
		for _, s := range all[0].Samples {
			switch {
			case s.H.Int != nil:
				got = append(got, fmt.Sprint("H", s.H.Int.Count))
			case value.IsStaleNaN(s.V):
				got = append(got, "S")
			default:
				got = append(got, fmt.Sprint(s.V))
			}
		}
		if want := "H1 H1 H2 S H3 4 H5 S H6"; strings.Join(got, " ") != want {
			t.Errorf("stored %v, want %s", got, want)
		}
	})
}
