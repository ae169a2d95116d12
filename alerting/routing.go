package alerting

import (
	"fmt"
	"net/url"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/config/receiver"
	"github.com/prometheus/alertmanager/dispatch"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/timeinterval"
)

// routing is what one configuration makes: it is built anew for each and never
// changed.
type routing struct {
	inhibitor  *inhibit.Inhibitor
	dispatcher *dispatch.Dispatcher
}

// build makes a routing without starting it; nothing that runs is touched.
func (m *Manager) build(conf *config.Config, externalURL *url.URL) (*routing, error) {
	tmpl, err := template.FromGlobs(conf.Templates)
	if err != nil {
		return nil, fmt.Errorf("parse templates: %w", err)
	}
	tmpl.ExternalURL = externalURL
	routes := dispatch.NewRoute(conf.Route, nil)
	receivers, err := m.receivers(conf, routes, tmpl)
	if err != nil {
		return nil, err
	}
	intervals := map[string][]timeinterval.TimeInterval{}
	for _, ti := range conf.MuteTimeIntervals {
		intervals[ti.Name] = ti.TimeIntervals
	}
	for _, ti := range conf.TimeIntervals {
		intervals[ti.Name] = ti.TimeIntervals
	}
	noWait := func() time.Duration { return 0 }
	r := &routing{inhibitor: inhibit.NewInhibitor(m.alerts, conf.InhibitRules, m.deps.Logger, m.events)}
	stages := m.pipeline.New(receivers, noWait, r.inhibitor, m.silencer, timeinterval.NewIntervener(intervals), m.groups, m.log, nil)
	r.dispatcher = dispatch.NewDispatcher(m.alerts, routes, stages, m.groups, timeout, dispatchMaintenance, nil, m.deps.Logger, m.events, m.metrics, tmpl)
	return r, nil
}

func timeout(d time.Duration) time.Duration { return max(d, notify.MinTimeout) }

// receivers builds the integrations of every receiver that a route names.
func (m *Manager) receivers(conf *config.Config, routes *dispatch.Route, tmpl *template.Template) (map[string][]notify.Integration, error) {
	used := map[string]bool{}
	routes.Walk(func(r *dispatch.Route) { used[r.RouteOpts.Receiver] = true })
	out := map[string][]notify.Integration{}
	for _, rcv := range conf.Receivers {
		if !used[rcv.Name] {
			continue
		}
		integrations, err := receiver.BuildReceiverIntegrations(rcv, tmpl, m.deps.Logger)
		if err != nil {
			return nil, fmt.Errorf("receiver %s: %w", rcv.Name, err)
		}
		out[rcv.Name] = integrations
	}
	return out, nil
}

// start runs the inhibitor first, and the dispatcher when the inhibitor knows
// the alerts: nothing is notified that will be inhibited.
func (r *routing) start(processStart time.Time) {
	go r.inhibitor.Run()
	r.inhibitor.WaitForLoading()
	go r.dispatcher.Run(processStart)
	r.dispatcher.WaitForLoading()
}

func (r *routing) stop() {
	r.inhibitor.Stop()
	r.dispatcher.Stop()
}
