// Package alerting delivers alerts: it runs Alertmanager's own packages
// (grouping, inhibition, silences, routing, notification) inside the process,
// configured by an alertmanager.yml.
//
// It owns the wiring of those packages and nothing of what they do. Without a
// configuration alerts are kept and shown, and nobody is notified.
//
// Invariants:
//
//   - I1: Apply builds everything that can fail first: on an error the
//     configuration before goes on undisturbed.
//   - I2: silences and the notification log survive a restart: they are
//     snapshots below the directory given, written within a second of a change
//     and at the end.
//   - I3: Put never waits for a delivery.
package alerting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/eventrecorder"
	"github.com/prometheus/alertmanager/featurecontrol"
	"github.com/prometheus/alertmanager/marker"
	"github.com/prometheus/alertmanager/matcher/compat"
	"github.com/prometheus/alertmanager/nflog"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/provider/mem"
	"github.com/prometheus/alertmanager/silence"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Alertmanager's own defaults.
const (
	retention           = 120 * time.Hour
	maintenanceInterval = 15 * time.Minute
	gcInterval          = 30 * time.Minute
	dispatchMaintenance = 30 * time.Second
)

// Limits on what is kept.
const (
	silencesMax     = 100_000
	silenceSizeMax  = 1 << 20 // bytes
	perAlertNameMax = 100_000 // alerts with one alertname
)

// Alert is one alert as a rule hands it over. EndsAt in the future means that
// it fires until then unless it is handed over again.
type Alert struct {
	Labels, Annotations labels.Labels
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
}

// Deps are what the manager works with.
type Deps struct {
	// Dir keeps snapshots of silences and the notification log; it is made when
	// it is missing. Alertmanager's packages write it with the os package.
	Dir        string
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Manager is a running Alertmanager without an HTTP server.
type Manager struct {
	deps     Deps
	flags    featurecontrol.Flagger
	events   eventrecorder.Recorder
	log      *nflog.Log
	silences *silence.Silences
	silencer *silence.Silencer
	groups   marker.GroupMarker
	alerts   *mem.Alerts
	pipeline *notify.PipelineBuilder
	metrics  *dispatch.DispatcherMetrics
	started  time.Time

	mu       sync.Mutex // guards the fields below; one Apply at a time
	active   *routing   // nil: nobody is notified
	finished bool
}

// New returns a manager that notifies nobody until Apply.
func New(deps Deps) (*Manager, error) {
	if err := os.MkdirAll(deps.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make directory of silences: %w", err)
	}
	m := &Manager{deps: deps, flags: featurecontrol.NoopFlags{}, events: eventrecorder.NopRecorder(), groups: marker.NewGroupMarker(), started: time.Now()}
	compat.InitFromFlags(deps.Logger, m.flags)
	var err error
	m.log, err = nflog.New(nflog.Options{
		SnapshotFile: m.file("nflog"), Retention: retention, Logger: deps.Logger, Metrics: deps.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("open notification log %s: %w; move the file away to start without it", m.file("nflog"), err)
	}
	m.silences, err = silence.New(silence.Options{
		SnapshotFile: m.file("silences"), Retention: retention, Logger: deps.Logger, Metrics: deps.Registerer, EventRecorder: m.events,
		Limits: silence.Limits{
			MaxSilences:         func() int { return silencesMax },
			MaxSilenceSizeBytes: func() int { return silenceSizeMax },
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open silences %s: %w; move the file away to start without it", m.file("silences"), err)
	}
	m.silencer = silence.NewSilencer(m.silences, deps.Logger, m.events)
	m.alerts, err = mem.NewAlerts(context.Background(), gcInterval, perAlertNameMax, m.silencer, deps.Logger, m.events, deps.Registerer, m.flags)
	if err != nil {
		return nil, fmt.Errorf("make the store of alerts: %w", err)
	}
	m.pipeline = notify.NewPipelineBuilder(deps.Registerer, m.flags, m.events)
	m.metrics = dispatch.NewDispatcherMetrics(false, deps.Registerer, m.flags)
	return m, nil
}

func (m *Manager) file(name string) string { return filepath.Join(m.deps.Dir, name) }

// Run writes the snapshots after changes until ctx ends, then ends the routing
// and writes them a last time.
func (m *Manager) Run(ctx context.Context) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	log, silences := newSaver(m.file("nflog"), m.log.Snapshot), newSaver(m.file("silences"), m.silences.Snapshot)
	m.log.SetBroadcast(log.note)
	m.silences.SetBroadcast(silences.note)
	log.note(nil) // a notification may have been sent since Apply
	failed := func(err error) {
		m.deps.Logger.Error("alerting state not saved, it is tried again", "err", err, "retry_after", saveInterval.String())
	}
	wg.Go(func() { log.run(ctx, failed) })
	wg.Go(func() { silences.run(ctx, failed) })
	wg.Go(func() { m.log.Maintenance(maintenanceInterval, m.file("nflog"), stop, nil) })
	wg.Go(func() { m.silences.Maintenance(maintenanceInterval, m.file("silences"), stop, nil) })
	<-ctx.Done()
	m.mu.Lock()
	m.finished = true
	if m.active != nil {
		m.active.stop()
	}
	m.mu.Unlock()
	close(stop) // the last snapshots are written on the way out
	wg.Wait()
	m.alerts.Close()
	return nil
}

// Check reads a configuration file and reports what is wrong with it.
func Check(file string) error {
	if _, err := config.LoadFile(file); err != nil {
		return fmt.Errorf("read alerting configuration %s: %w", file, err)
	}
	return nil
}

// Apply routes alerts as the file says; "" ends notification. externalURL is
// where users reach the server.
func (m *Manager) Apply(file string, externalURL *url.URL) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.finished {
		return errors.New("apply alerting configuration: the manager has ended")
	}
	if file == "" {
		if m.active != nil {
			m.active.stop()
			m.active = nil
		}
		return nil
	}
	conf, err := config.LoadFile(file)
	if err != nil {
		return fmt.Errorf("read alerting configuration %s: %w", file, err)
	}
	next, err := m.build(conf, externalURL)
	if err != nil {
		return fmt.Errorf("apply alerting configuration %s: %w", file, err)
	}
	if m.active != nil {
		m.active.stop()
	}
	next.start(m.started)
	m.active = next
	return nil
}

// Put takes alerts. The error names what could not be kept (a limit).
func (m *Manager) Put(ctx context.Context, alerts []Alert) error {
	now := time.Now()
	out := make([]*alert.Alert, 0, len(alerts))
	for _, a := range alerts {
		t := &alert.Alert{UpdatedAt: now}
		t.Labels, t.Annotations = labelSet(a.Labels), labelSet(a.Annotations)
		t.StartsAt, t.EndsAt, t.GeneratorURL = a.StartsAt, a.EndsAt, a.GeneratorURL
		t.Timeout = a.EndsAt.After(now)
		out = append(out, t)
	}
	if err := m.alerts.Put(ctx, out...); err != nil {
		return fmt.Errorf("keep alerts for notification: %w", err)
	}
	return nil
}

func labelSet(lset labels.Labels) model.LabelSet {
	out := make(model.LabelSet, lset.Len())
	lset.Range(func(l labels.Label) { out[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
	return out
}
