package file

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	upstream "github.com/prometheus/prometheus/discovery/file"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// Factory makes mechanisms that share their metrics.
type Factory struct {
	logger  *slog.Logger
	metrics discovery.DiscovererMetrics
}

// NewFactory registers the metrics of file discovery.
func NewFactory(logger *slog.Logger, reg prometheus.Registerer) (*Factory, error) {
	metrics := new(upstream.SDConfig).NewDiscovererMetrics(reg, nil)
	return &Factory{logger, metrics}, metrics.Register()
}

// Mechanism watches files. It runs once.
type Mechanism struct {
	inner    *upstream.Discovery
	mu       sync.Mutex        // guards problems
	problems map[string]string // by path
}

// New returns a Mechanism for o, which is valid.
func (f *Factory) New(o Options) (*Mechanism, error) {
	interval := o.RefreshInterval
	if interval == 0 {
		interval = RefreshIntervalDefault
	}
	m := &Mechanism{problems: map[string]string{}}
	var err error
	m.inner, err = upstream.NewDiscovery(
		&upstream.SDConfig{Files: o.Files, RefreshInterval: model.Duration(interval)},
		slog.New(&listener{Handler: f.logger.Handler(), mech: m}), f.metrics)
	return m, err
}

// Run sends changed groups until ctx ends.
func (m *Mechanism) Run(ctx context.Context, up chan<- []*targetgroup.Group) { m.inner.Run(ctx, up) }

// Received tells that groups arrived: their file was read whole.
func (m *Mechanism) Received(groups []*targetgroup.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range groups {
		if g == nil {
			continue
		}
		if i := strings.LastIndexByte(g.Source, ':'); i > 0 { // upstream's source is path:index
			delete(m.problems, g.Source[:i])
		}
	}
}

// Problems maps the paths that could not be read or parsed to the reason. A
// file that is no more has no problem.
func (m *Mechanism) Problems() map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.problems, func(path, _ string) bool {
		_, err := os.Stat(path)
		return errors.Is(err, os.ErrNotExist)
	})
	return maps.Clone(m.problems)
}

// listener hears what upstream only logs: its errors that name a path.
type listener struct {
	slog.Handler
	mech *Mechanism
}

// Handle notes errors and passes everything on where the level is logged.
func (l *listener) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		var path string
		err := errors.New(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			switch v := a.Value.Any().(type) {
			case string:
				if a.Key == "path" {
					path = v
				}
			case error:
				err = v
			}
			return true
		})
		if path != "" {
			l.mech.mu.Lock()
			l.mech.problems[path] = err.Error()
			l.mech.mu.Unlock()
		}
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
