package scrape_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/goleak"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSeriesVanishAndReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		e := &exporter{body: "x 1\ny 2\n"}
		b.apply(one(e))
		time.Sleep(time.Second)
		e.set("x 3\n")
		time.Sleep(10 * time.Second)
		e.set("y 5\nx 4\n")
		time.Sleep(10 * time.Second)
		b.want(begin, name("up")+": 1@0 1@10 1@20", name("x")+": 1@0 3@10 4@20", name("y")+": 2@0 S@10 5@20")
	})
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name    string
		breakIt func(*exporter)
		options func(*scrape.PoolOptions)
		status  metadb.TargetStatus
		text    string
	}{
		{"unreachable", func(e *exporter) { e.fail(errors.New("no route")) }, nil, metadb.TargetDown, "no route"},
		{"bad line", func(e *exporter) { e.set("x 1\ny 2z\n") }, nil, metadb.TargetParseError, `line 2: the value is not a number: "y 2z"`},
		{"name missing", func(e *exporter) { e.set("x 1\n{} 1\n") }, nil, metadb.TargetParseError, "line 2"},
		{"label twice", func(e *exporter) { e.set("x{a=\"1\",a=\"2\"} 1\n") }, nil, metadb.TargetParseError, `line 1: the label "a" occurs twice`},
		{"hangs", func(e *exporter) { e.hang(time.Hour) }, nil, metadb.TargetTimeout, "within 5s"},
		{
			"too many samples", func(e *exporter) { e.set("x 1\ny 2\nz 3\n") },
			func(o *scrape.PoolOptions) { o.SampleMax = 2 }, metadb.TargetOverlimit, "limit of sample_limit is 2",
		},
		{
			"too many labels", func(e *exporter) { e.set("x{a=\"1\",b=\"2\"} 1\n") },
			func(o *scrape.PoolOptions) { o.LabelMax = 4 }, metadb.TargetOverlimit, "limit of label_limit is 4",
		},
		{
			"long value", func(e *exporter) { e.set("x{a=\"12345\"} 1\n") },
			func(o *scrape.PoolOptions) { o.LabelValueSizeMax = 4 }, metadb.TargetOverlimit, "limit of label_value_length_limit is 4",
		},
		{
			"large body", func(e *exporter) { e.set(strings.Repeat("#\n", 1000)) },
			func(o *scrape.PoolOptions) { o.BodySizeMax = 1000 }, metadb.TargetOverlimit, "body_size_limit",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, storagetest.MemoryOptions{}, nil)
				begin := time.Now()
				e := &exporter{body: "x 1\ny 2\n"}
				o := one(e)
				o.Timeout = 5 * time.Second
				if c.options != nil {
					c.options(&o)
				}
				b.apply(o)
				time.Sleep(time.Second)
				c.breakIt(e)
				time.Sleep(15 * time.Second)
				target := b.only()
				if target.Status != c.status || target.Health != scrape.HealthDown || !strings.Contains(target.LastError, c.text) {
					t.Errorf("status %s, error %q", target.Status, target.LastError)
				}
				e.set("x 7\ny 8\n")
				time.Sleep(10 * time.Second)
				b.want(begin, name("up")+": 1@0 0@10 1@20", name("x")+": 1@0 S@10 7@20", name("y")+": 2@0 S@10 8@20")
				if target := b.only(); target.Status != metadb.TargetUp || target.LastError != "" {
					t.Errorf("afterwards %s, %q", target.Status, target.LastError)
				}
			})
		})
	}
}

func TestLabels(t *testing.T) {
	body := "x{job=\"own\",instance=\"i\",exported_job=\"e\"} 1\ny{job=\"\"} 2\nx_total{a=\"b\"} 3\n"
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: body}))
		time.Sleep(11 * time.Second)
		b.want(time.Time{}, name("up")+": 1 1",
			`{__name__="x", exported_exported_job="own", exported_instance="i", exported_job="e", `+inst+`}: 1 1`,
			`{__name__="x_total", a="b", `+inst+`}: 3 3`, name("y")+": 2 2")
	})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		o := one(&exporter{body: body})
		o.HonorLabels = true
		b.apply(o)
		time.Sleep(11 * time.Second)
		b.want(time.Time{}, name("up")+": 1 1",
			`{__name__="x", exported_job="e", instance="i", job="own"}: 1 1`,
			`{__name__="x_total", a="b", `+inst+`}: 3 3`, `{__name__="y", instance="a:1"}: 2 2`)
	})
}

func TestDuplicates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: "x 1\ny 2\nx 3\nup 77\n"}))
		time.Sleep(11 * time.Second)
		b.want(time.Time{}, name("up")+": 1 1", name("x")+": 1 1", name("y")+": 2 2")
		if w := b.only().LastWarning; !strings.HasPrefix(w, "2 duplicate samples") {
			t.Errorf("warning %q", w)
		}
	})
}

func TestTimestamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		e := &exporter{}
		at := func(s int) int64 { return begin.UnixMilli() + int64(s)*1000 }
		e.set(fmt.Sprintf("x 1 %d\ny 2 %d\nz 3\n", at(-5), at(-6)))
		b.apply(one(e))
		time.Sleep(time.Second)
		e.set(fmt.Sprintf("x 4 %d\ny 5 %d\nz 6\n", at(5), at(5)))
		time.Sleep(10 * time.Second)
		e.set("z 7\n") // no markers for what has timestamps of its own
		time.Sleep(10 * time.Second)
		b.want(begin, name("up")+": 1@0 1@10 1@20", name("x")+": 1@-5 4@5", name("y")+": 2@-6 5@5", name("z")+": 3@0 6@10 7@20")
	})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		o := one(&exporter{body: "x 1 1000\nx 2 3000\n"})
		o.IgnoreTimestamps = true
		b.apply(o)
		time.Sleep(11 * time.Second)
		b.want(begin, name("up")+": 1@0 1@10", name("x")+": 1@0 1@10")
	})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		e := &exporter{body: "x 1\ny 1\n"}
		b.apply(one(e))
		time.Sleep(time.Second)
		e.set(fmt.Sprintf("x 2 %d\ny 2\n", begin.UnixMilli()+9000))
		time.Sleep(10 * time.Second)
		e.set("x 3\ny 3\n")
		time.Sleep(10 * time.Second)
		b.want(begin, name("up")+": 1@0 1@10 1@20", name("x")+": 1@0 2@9 S@10 3@20", name("y")+": 1@0 2@10 3@20")
	})
}

func TestReportSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{body: "x 1\ny 2\n"}
		b.apply(one(e))
		time.Sleep(time.Second)
		e.set("x 1\nz 2\nz 3\n")
		time.Sleep(10 * time.Second)
		e.fail(errors.New("gone"))
		time.Sleep(10 * time.Second)
		got := b.dump(time.Time{}, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "scrape_s.*"))
		want := strings.Join([]string{
			name("scrape_samples_post_metric_relabeling") + ": 2 3 0",
			name("scrape_samples_scraped") + ": 2 3 0",
			name("scrape_series_added") + ": 2 1 0",
		}, "\n")
		if got != want {
			t.Errorf("report:\n%s\nwant:\n%s", got, want)
		}
	})
}

// limited admits a number of series.
type limited struct {
	mu   sync.Mutex // guards left
	left int
}

func (l *limited) Admit(tenant.ID, seriesKey, labels.Labels) storage.Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left--; l.left < 0 {
		return storage.ReasonSeriesLimit
	}
	return storage.ReasonNone
}

func TestRefusedSeriesDoNotFailTheScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		admit := &limited{left: 7}
		b := start(t, storagetest.MemoryOptions{Admitter: admit}, nil)
		b.apply(one(&exporter{body: "a 1\nb 2\nc 3\nd 4\n"}))
		time.Sleep(11 * time.Second)
		b.want(time.Time{}, name("a")+": 1 1", name("b")+": 2 2", name("up")+": 1 1")
		target := b.only()
		if target.Status != metadb.TargetUp || target.LastWarning != "2 samples refused: series_limit" {
			t.Errorf("%s, warning %q", target.Status, target.LastWarning)
		}
		admit.mu.Lock()
		admit.left = 100
		admit.mu.Unlock()
		time.Sleep(160 * time.Second)
		if got := b.dump(time.Time{}); !strings.Contains(got, name("c")+": 3") {
			t.Errorf("refused series were not offered again:\n%s", got)
		}
	})
}

func TestMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: "# HELP x help\n# TYPE x counter\nx 1\n# TYPE y gauge\ny 1\n"}))
		time.Sleep(time.Second)
		if all := b.Metadata(""); len(all) != 2 || all[0].Family != "x" || all[0].Help != "help" || all[0].Type != "counter" || all[1].Family != "y" {
			t.Errorf("metadata %v", all)
		}
		v, err := b.store.View(t.Context(), tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if md, err := v.Metadata(t.Context(), "", 10); err != nil || len(md) != 2 {
			t.Errorf("stored metadata %v, %v", md, err)
		}
	})
}

// TestLongMetadata: what a target says about its metrics is cut, and left out
// where the metric can have no series.
func TestLongMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: "# HELP x " + strings.Repeat("\u00e4", 1<<20) + "\nx 1\n# TYPE " + strings.Repeat("y", 2<<10) + " gauge\n# HELP z a" + strings.Repeat("\u00e4", 1<<20) + "\n"}))
		time.Sleep(time.Second)
		all := b.Metadata("")
		if len(all) != 2 || len(all[0].Help) != 4096 || len(all[1].Help) != 4095 || !utf8.ValidString(all[1].Help) {
			t.Errorf("%d families: %.300v", len(all), all)
		}
	})
}

func TestManyNewSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{}
		var body strings.Builder
		for i := range 20_000 {
			fmt.Fprintf(&body, "x{n=\"%d\"} %d\n", i, i)
		}
		e.set(body.String())
		o := one(e)
		o.SampleMax = 15_000 // found after the first series were resolved
		b.apply(o)
		time.Sleep(time.Second)
		if target := b.only(); target.Status != metadb.TargetOverlimit {
			t.Errorf("%s %q", target.Status, target.LastError)
		}
		b.want(time.Time{}, name("up")+": 0")
		o.SampleMax = 0
		b.apply(o)
		time.Sleep(time.Second)
		if target := b.only(); target.LastSeriesAdded != 20_000 || target.Status != metadb.TargetUp {
			t.Errorf("%d added, %s", target.LastSeriesAdded, target.LastError)
		}
	})
}

func TestValuesBitForBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: "x -0\n"}))
		time.Sleep(11 * time.Second)
		all, err := storagetest.ReadAll(t.Context(), b.store, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, "__name__", "x"))
		if err != nil || len(all) != 1 || len(all[0].Samples) != 2 {
			t.Fatal(all, err)
		}
		for _, s := range all[0].Samples {
			if math.Float64bits(s.V) != 1<<63 {
				t.Errorf("value %x", math.Float64bits(s.V))
			}
		}
	})
}
