package scrape_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
)

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
