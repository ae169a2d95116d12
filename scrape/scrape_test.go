package scrape_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"go.uber.org/goleak"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exporter is a source whose answer the test sets.
type exporter struct {
	mu    sync.Mutex // guards what follows
	body  string
	err   error
	wait  time.Duration
	calls []time.Time
}

func (e *exporter) set(body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.body, e.err, e.wait = body, nil, 0
}

func (e *exporter) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

func (e *exporter) hang(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wait = d
}

func (e *exporter) called() []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]time.Time(nil), e.calls...)
}

func (e *exporter) AppendMetrics(ctx context.Context, dst []byte) ([]byte, error) {
	e.mu.Lock()
	body, err, wait := e.body, e.err, e.wait
	e.calls = append(e.calls, time.Now())
	e.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return dst, ctx.Err()
		}
	}
	return append(dst, body...), err
}

// bench is a manager with a store in memory.
type bench struct {
	t     *testing.T
	store *storagetest.Memory
	*scrape.Manager
	stop func()
}

func start(t *testing.T, opts storagetest.MemoryOptions, change func(*scrape.Deps)) *bench {
	t.Helper()
	b := &bench{t: t, store: storagetest.NewMemory(opts)}
	deps := scrape.Deps{Writer: b.store, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	if change != nil {
		change(&deps)
	}
	var err error
	if b.Manager, err = scrape.NewManager(deps); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the manager ended with %v", err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func (b *bench) apply(pools ...scrape.PoolOptions) {
	b.t.Helper()
	if err := b.Apply(pools); err != nil {
		b.t.Fatal(err)
	}
}

// one is a pool with one target in the process, scraped every 10 s.
func one(e *exporter) scrape.PoolOptions {
	return scrape.PoolOptions{
		Job: "j", Source: e, Interval: 10 * time.Second,
		Discovery: discovery.Options{Static: []discovery.Group{discovery.StaticGroup([]string{"a:1"}, labels.EmptyLabels())}},
	}
}

// dump shows what is stored, one line a series: values in order, S for a stale
// marker; with seconds after since when it is not zero.
func (b *bench) dump(since time.Time, matchers ...*labels.Matcher) string {
	b.t.Helper()
	all, err := storagetest.ReadAll(b.t.Context(), b.store, tenant.Default, matchers...)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		if strings.HasPrefix(s.Labels.Get("__name__"), "scrape_") && len(matchers) == 0 {
			continue
		}
		line := s.Labels.String() + ":"
		for _, x := range s.Samples {
			line += " "
			if value.IsStaleNaN(x.V) {
				line += "S"
			} else {
				line += fmt.Sprint(x.V)
			}
			if !since.IsZero() {
				line += fmt.Sprintf("@%d", (x.T-since.UnixMilli())/1000)
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func (b *bench) want(since time.Time, want ...string) {
	b.t.Helper()
	if got := b.dump(since); got != strings.Join(want, "\n") {
		b.t.Errorf("stored:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func (b *bench) only() scrape.Target {
	b.t.Helper()
	s := b.Targets()
	if len(s.Active) != 1 {
		b.t.Fatalf("%d active targets", len(s.Active))
	}
	return s.Active[0]
}

const inst = `instance="a:1", job="j"`

func name(n string) string { return `{__name__="` + n + `", ` + inst + `}` }

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

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{body: "x 1\n"}
		begin := time.Now()
		b.apply(one(e))
		time.Sleep(25 * time.Second)
		e.hang(time.Hour) // each takes until its deadline, 9.5 s
		time.Sleep(40 * time.Second)
		for i, c := range e.called() {
			if got := c.Sub(begin); got != time.Duration(i)*10*time.Second {
				t.Errorf("scrape %d began after %s", i, got)
			}
		}
		if n := len(e.called()); n != 7 {
			t.Errorf("%d scrapes in 65 s", n)
		}
	})
}

func TestTargetGoesAndManagerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		e := &exporter{body: "x 1\n"}
		o := one(e)
		o.Discovery.Static = append(o.Discovery.Static, discovery.StaticGroup([]string{"b:2"}, labels.FromStrings("extra", "e")))
		b.apply(o)
		time.Sleep(11 * time.Second)
		o.Discovery.Static = o.Discovery.Static[:1]
		b.apply(o)
		time.Sleep(time.Second)
		want := []string{
			`{__name__="up", extra="e", instance="b:2", job="j"}: 1@0 1@10 S@11`, name("up") + ": 1@0 1@10",
			`{__name__="x", extra="e", instance="b:2", job="j"}: 1@0 1@10 S@11`, name("x") + ": 1@0 1@10",
		}
		b.want(begin, want...)
		b.stop() // no markers: a restart goes on
		b.want(begin, want...)
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		changed, same := &exporter{body: "x 1\ny 2\n"}, &exporter{body: "s 1\n"}
		o, p := one(changed), one(same)
		p.Job = "same"
		b.apply(o, p)
		time.Sleep(11 * time.Second)

		// Refused as a whole: nothing changes.
		bad := p
		bad.Job, bad.Scheme, bad.Source = "bad", "gopher", nil
		if err := b.Apply([]scrape.PoolOptions{bad}); err == nil || !strings.Contains(err.Error(), "gopher") {
			t.Errorf("bad options gave %v", err)
		}
		if err := b.Apply([]scrape.PoolOptions{p, p}); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("a job twice gave %v", err)
		}

		// y is dropped by the new options: it gets its marker in the next scrape.
		o.MetricRelabel = []*relabelConfig{dropName("y")}
		b.apply(o, p)
		time.Sleep(10500 * time.Millisecond)
		got := b.dump(begin, labels.MustNewMatcher(labels.MatchEqual, "job", "j"), labels.MustNewMatcher(labels.MatchRegexp, "__name__", "x|y"))
		if want := name("x") + ": 1@0 1@10 1@11 1@21\n" + name("y") + ": 2@0 2@10 S@11"; got != want {
			t.Errorf("stored\n%s\nwant\n%s", got, want)
		}
		for i, c := range same.called() {
			if c.Sub(begin) != time.Duration(i)*10*time.Second {
				t.Errorf("the untouched pool's scrape %d began after %s", i, c.Sub(begin))
			}
		}
		b.apply()
		time.Sleep(time.Second)
		if n := len(b.Targets().Active); n != 0 || len(b.Pools()) != 0 {
			t.Errorf("%d targets left", n)
		}
	})
}

func TestStoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *faulty
		b := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) {
			f = &faulty{Writer: d.Writer}
			d.Writer = f
		})
		begin := time.Now()
		e := &exporter{body: "x 1\ny 2\n"}
		b.apply(one(e))
		time.Sleep(time.Second)
		f.set(fmt.Errorf("disk full: %w", storage.ErrReadOnly))
		time.Sleep(10 * time.Second)
		if target := b.only(); target.Status != metadb.TargetDown || !strings.Contains(target.LastError, "disk full") {
			t.Errorf("%s, %q", target.Status, target.LastError)
		}
		f.set(nil)
		e.set("x 3\n")
		time.Sleep(10 * time.Second)
		b.want(begin, name("up")+": 1@0 1@20", name("x")+": 1@0 3@20", name("y")+": 2@0 S@20")
	})
}

func TestAnotherWriterTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: "x 1\n"}))
		time.Sleep(time.Second)
		other := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) { d.Writer = b.store })
		other.apply(one(&exporter{body: "x 2\n"}))
		time.Sleep(time.Second)
		other.stop()
		time.Sleep(30 * time.Second)
		if target := b.only(); target.Status != metadb.TargetUp {
			t.Errorf("not recovered: %s, %q", target.Status, target.LastError)
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
