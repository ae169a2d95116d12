package scrape_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestTrackTimestamps: series with timestamps of their own end with a marker
// when they are tracked, and only then.
func TestTrackTimestamps(t *testing.T) {
	for _, tracked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, storagetest.MemoryOptions{}, nil)
			begin := time.Now()
			e := &exporter{}
			set := func(names ...string) {
				var body strings.Builder
				for _, n := range names {
					fmt.Fprintf(&body, "%s 1 %d\n", n, time.Now().UnixMilli()-1000)
				}
				e.set(body.String())
			}
			set("x", "y", "z")
			o := one(e)
			o.TrackTimestamps = tracked
			b.apply(o)
			time.Sleep(9 * time.Second)
			set("x", "y") // z vanishes
			time.Sleep(10 * time.Second)
			e.fail(context.Canceled) // all end
			time.Sleep(10 * time.Second)
			set("x")
			time.Sleep(5 * time.Second)
			b.apply()
			time.Sleep(time.Second)
			if tracked {
				b.want(begin, name("up")+": 1@0 1@10 0@20 1@30 S@34", name("x")+": 1@-1 1@8 S@20 1@28 S@34",
					name("y")+": 1@-1 1@8 S@20", name("z")+": 1@-1 S@10")
			} else {
				b.want(begin, name("up")+": 1@0 1@10 0@20 1@30 S@34", name("x")+": 1@-1 1@8 1@28", name("y")+": 1@-1 1@8", name("z")+": 1@-1")
			}
		})
	}
}

// TestTargetLimit: too many targets fail all of the job, until some are gone.
func TestTargetLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		o := one(&exporter{body: "x 1\n"})
		o.TargetMax = 1
		b.apply(o)
		time.Sleep(5 * time.Second)
		more := o
		more.Discovery.Static = append(more.Discovery.Static[:1:1], discovery.StaticGroup([]string{"b:1"}, labels.EmptyLabels()))
		b.apply(more)
		time.Sleep(9 * time.Second)
		for _, target := range b.Targets().Active {
			if target.Status != metadb.TargetOverlimit || !strings.Contains(target.LastError, "the limit of target_limit is 1, the job has 2") {
				t.Errorf("%s: %q", target.Status, target.LastError)
			}
		}
		b.apply(o)
		time.Sleep(10 * time.Second)
		other := `instance="b:1", job="j"}`
		b.want(begin, name("up")+": 1@0 0@10 1@20", `{__name__="up", `+other+`: 0@5 S@14`, name("x")+": 1@0 S@10 1@20")
	})
}

// TestExtraMetrics: the report tells the options, and the size of the body.
func TestExtraMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{body: "x 1\n"}
		o := one(e)
		o.ExtraMetrics, o.SampleMax, o.Timeout, o.BodySizeMax = true, 3, 5*time.Second, 10
		b.apply(o)
		for _, body := range []string{"x 1\ny 1\n", "x !\n", "x 1\ny 1\nz 1\n"} {
			time.Sleep(9 * time.Second)
			e.set(body)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		for metric, want := range map[string]string{
			"scrape_body_size_bytes": "4 8 4 -1", "scrape_timeout_seconds": "5 5 5 5", "scrape_sample_limit": "3 3 3 3",
			"scrape_samples_scraped": "1 2 0 0",
		} {
			got := b.dump(time.Time{}, labels.MustNewMatcher(labels.MatchEqual, "__name__", metric))
			if got != name(metric)+": "+want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

// TestSampleLimitCounts: a scrape over its limit says by how much.
func TestSampleLimitCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{body: "a 1\nb 1\n"}
		o := one(e)
		o.SampleMax = 3
		o.MetricRelabel = []*relabel.Config{dropName("gone")}
		b.apply(o)
		time.Sleep(time.Second)
		e.set("a 1\nb 1\nc 1\nd 1\ngone 1\ne 1\n")
		time.Sleep(10 * time.Second)
		if target := b.only(); !strings.Contains(target.LastError, "sample_limit is 3, the scrape has 5:") {
			t.Errorf("%q", target.LastError)
		}
		got := b.dump(time.Time{}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "scrape_samples_post_metric_relabeling"))
		if want := name("scrape_samples_post_metric_relabeling") + ": 2 5"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

const classic = `# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 2
h_sum 3
h_count 2
h_created 77
# TYPE c counter
c_total 5
c_created 88
# EOF
`

// TestTextHistogramsAndStarts: what protobuf has by itself, text has where it is
// asked for.
func TestTextHistogramsAndStarts(t *testing.T) {
	parts := "h_bucket{1.0} h_bucket{+Inf} h_count"
	for _, c := range []struct {
		name   string
		change func(*scrape.PoolOptions)
		want   string
	}{
		{"plain", func(*scrape.PoolOptions) {}, "c_created c_total " + parts + " h_created h_sum up"},
		{"converted", func(o *scrape.PoolOptions) { o.CustomHistograms = true }, "c_created c_total h:H h_created up"},
		{"both", func(o *scrape.PoolOptions) { o.CustomHistograms, o.ClassicHistograms = true, true },
			"c_created c_total h:H " + parts + " h_created h_sum up"},
		{"starts", func(o *scrape.PoolOptions) { o.StartTimestamps = true }, "c_total@88 h_bucket{1.0}@77 h_bucket{+Inf}@77 h_count@77 h_sum@77 up"},
		{"converted with starts", func(o *scrape.PoolOptions) { o.CustomHistograms, o.StartTimestamps = true, true }, "c_total@88 h:H@77 up"},
		{"by relabelling", func(o *scrape.PoolOptions) {
			o.CustomHistograms = true
			o.Discovery.Static[0].Labels = labels.FromStrings("__convert_classic_histograms_to_nhcb__", "false", "instance", "a:1", "job", "j")
		}, "c_created c_total " + parts + " h_created h_sum up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/openmetrics-text")
				_, _ = w.Write([]byte(classic))
			}))
			c.change(&o)
			b, target := outcome(t, o)
			if target.Status != metadb.TargetUp {
				t.Fatalf("%s: %q", target.Status, target.LastError)
			}
			b.stop()
			if got := b.series(); got != c.want {
				t.Errorf("stored\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	o := web(t, http.NotFoundHandler())
	o.Discovery.Static[0].Labels = labels.FromStrings("__scrape_native_histograms__", "perhaps")
	b := start(t, storagetest.MemoryOptions{}, nil)
	b.apply(o)
	wait(t, "a problem", func() bool {
		p := b.Targets().Problems
		return len(p) == 1 && strings.Contains(p[0].Text, `__scrape_native_histograms__ is "perhaps"`)
	})
}

// TestFailureLog: failed scrapes are written to the job's file, which a reload
// opens anew.
func TestFailureLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "failures.log")
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{body: "x !\n"}
		o := one(e)
		o.FailureLog = path
		b.apply(o)
		time.Sleep(11 * time.Second) // two scrapes
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
		b.apply(o)
		time.Sleep(10 * time.Second)
		e.set("x 1\n")
		time.Sleep(10 * time.Second)
		b.stop()
	})
	for file, want := range map[string]int{path + ".1": 2, path: 1} {
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(got), `"level":"ERROR","msg":"line 1: the value is not a number: \"x !\"","job":"j","target":"http://a:1/metrics"`) != want ||
			strings.Count(string(got), "\n") != want {
			t.Errorf("%s has\n%s\nwant %d lines", file, got, want)
		}
	}
	b := start(t, storagetest.MemoryOptions{}, nil)
	o := one(&exporter{})
	o.FailureLog = filepath.Join(dir, "no", "such", "directory")
	if err := b.Apply([]scrape.PoolOptions{o}); err == nil || !strings.Contains(err.Error(), "scrape_failure_log_file") {
		t.Errorf("a file that cannot be opened: %v", err)
	}
}
