package discovery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	upstream "github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// factory makes upstream's mechanisms. Those of one kind share their metrics,
// which are there from the first one on.
type factory struct {
	logger    *slog.Logger
	reg       prometheus.Registerer
	refreshes upstream.RefreshMetricsManager

	mu      sync.Mutex // guards metrics
	metrics map[string]upstream.DiscovererMetrics
}

func newFactory(logger *slog.Logger, reg prometheus.Registerer) (*factory, error) {
	f := &factory{logger: logger, reg: reg, refreshes: upstream.NewRefreshMetrics(reg), metrics: map[string]upstream.DiscovererMetrics{}}
	return f, f.refreshes.Register()
}

// metricsOf returns the metrics of a kind of mechanism.
func (f *factory) metricsOf(c upstream.Config) (upstream.DiscovererMetrics, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.metrics[c.Name()]; m != nil {
		return m, nil
	}
	m := c.NewDiscovererMetrics(f.reg, f.refreshes)
	if err := m.Register(); err != nil {
		return nil, fmt.Errorf("metrics of the discovery %s: %w", c.Name(), err)
	}
	f.metrics[c.Name()] = m
	return m, nil
}

// new returns the mechanism of a job's section.
func (f *factory) new(job string, c Config) (*foreign, error) {
	metrics, err := f.metricsOf(c.inner)
	if err != nil {
		return nil, err
	}
	m := &foreign{section: c.Section}
	logger := slog.New(&listener{Handler: f.logger.Handler(), hears: m.hear}).With("job", job, "discovery", c.inner.Name())
	m.inner, err = c.inner.NewDiscoverer(upstream.DiscovererOptions{Logger: logger, Metrics: metrics, SetName: job})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Section, err)
	}
	return m, nil
}

// foreign is a mechanism of upstream's.
type foreign struct {
	section string
	inner   upstream.Discoverer

	mu      sync.Mutex // guards what follows
	problem string
	fresh   bool // the problem was heard since groups came last
}

// partial is the section whose mechanism sends what it has of a round in which
// something failed: groups alone do not tell that it has recovered.
const partial = "dns" + sectionSuffix

func (m *foreign) Run(ctx context.Context, up chan<- []*targetgroup.Group) { m.inner.Run(ctx, up) }

// Received: whoever answers has recovered, but see partial.
func (m *foreign) Received([]*targetgroup.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fresh || m.section != partial {
		m.problem = ""
	}
	m.fresh = false
}

func (m *foreign) hear(problem string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problem, m.fresh = problem, true
}

// Problems is the last failure that it has not recovered from.
func (m *foreign) Problems() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.problem == "" {
		return nil
	}
	return map[string]string{m.section: m.problem}
}

// listener hears the errors that upstream only logs.
type listener struct {
	slog.Handler
	hears func(problem string)
}

// Handle notes errors and passes everything on where the level is logged.
func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		text := r.Message
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "err" || a.Key == "error" {
				text += ": " + a.Value.String()
			}
			return true
		})
		l.hears(text)
	}
	if !l.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// Enabled lets errors through, whatever is logged.
func (l *listener) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError || l.Handler.Enabled(ctx, level)
}

// WithAttrs keeps listening.
func (l *listener) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &listener{l.Handler.WithAttrs(attrs), l.hears}
}

// WithGroup keeps listening.
func (l *listener) WithGroup(name string) slog.Handler {
	return &listener{l.Handler.WithGroup(name), l.hears}
}
