package rules

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// GroupStatus is what a group looks like from outside at one moment. It belongs
// to the caller.
type GroupStatus struct {
	File, Name     string
	Interval       time.Duration
	Limit          int
	Rules          []RuleStatus
	LastEvaluation time.Time // zero before the first
	LastDuration   time.Duration
}

// RuleStatus is what a rule looks like.
type RuleStatus struct {
	// Record or Alert is the name; the other is empty.
	Record, Alert  string
	Expr           string
	Timing         Timing
	Labels         labels.Labels
	Annotations    labels.Labels
	Alerts         []Alert // pending and firing, in order of their labels
	State          State   // the worst of the alerts'
	Evaluated      bool
	LastError      string
	LastEvaluation time.Time
	LastDuration   time.Duration
}

// Groups returns the state of all groups, in order of files and of groups in
// them.
func (m *Manager) Groups() []GroupStatus {
	m.mu.Lock()
	groups := m.groups
	m.mu.Unlock()
	out := make([]GroupStatus, 0, len(groups))
	for _, g := range groups {
		out = append(out, g.status())
	}
	return out
}

func (g *group) status() GroupStatus {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := GroupStatus{
		File: g.file, Name: g.name, Interval: g.interval, Limit: g.spec.Limit,
		LastEvaluation: g.lastAt, LastDuration: g.lastTook,
	}
	for _, r := range g.rules {
		out.Rules = append(out.Rules, r.statusLocked())
	}
	return out
}

// statusLocked is called with the group's mu held.
func (r *rule) statusLocked() RuleStatus {
	s := RuleStatus{
		Record: r.record, Alert: r.alert, Expr: r.expr, Timing: r.timing, Labels: r.labels, Annotations: r.annotations,
		State: Inactive, Evaluated: r.evaluated, LastError: r.lastError, LastEvaluation: r.lastAt, LastDuration: r.lastTook,
	}
	for _, a := range r.alerts {
		if a.State == Inactive {
			continue
		}
		s.Alerts = append(s.Alerts, a)
		if a.State == Firing || s.State == Inactive {
			s.State = a.State
		}
	}
	sortAlerts(s.Alerts)
	return s
}
