package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/rules"
)

// Rules is what the API asks the rules.
type Rules interface {
	Groups() []rules.GroupStatus
}

type groupJSON struct {
	Name           string    `json:"name"`
	File           string    `json:"file"`
	Rules          []any     `json:"rules"`
	Interval       float64   `json:"interval"`
	Limit          int       `json:"limit"`
	EvaluationTime float64   `json:"evaluationTime"`
	LastEvaluation time.Time `json:"lastEvaluation"`
}

type alertingRuleJSON struct {
	State          string        `json:"state"`
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Duration       float64       `json:"duration"`
	KeepFiringFor  float64       `json:"keepFiringFor"`
	Labels         labels.Labels `json:"labels"`
	Annotations    labels.Labels `json:"annotations"`
	Alerts         []alertJSON   `json:"alerts"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

type recordingRuleJSON struct {
	Name           string        `json:"name"`
	Query          string        `json:"query"`
	Labels         labels.Labels `json:"labels,omitempty"`
	Health         string        `json:"health"`
	LastError      string        `json:"lastError,omitempty"`
	EvaluationTime float64       `json:"evaluationTime"`
	LastEvaluation time.Time     `json:"lastEvaluation"`
	Type           string        `json:"type"`
}

type alertJSON struct {
	Labels          labels.Labels `json:"labels"`
	Annotations     labels.Labels `json:"annotations"`
	State           string        `json:"state"`
	ActiveAt        *time.Time    `json:"activeAt,omitempty"`
	KeepFiringSince *time.Time    `json:"keepFiringSince,omitempty"`
	Value           string        `json:"value"`
}

// ruleFilter is what a request wants to see.
type ruleFilter struct {
	kind                 string // "", "alert", "record"
	names, groups, files []string
	matchers             [][]*labels.Matcher
	withoutAlerts        bool
}

func (a *API) ruleFilter(r *http.Request) (ruleFilter, error) {
	if err := r.ParseForm(); err != nil {
		return ruleFilter{}, badData(fmt.Errorf("error parsing form values: %w", err))
	}
	f := ruleFilter{
		kind: strings.ToLower(r.FormValue("type")), names: r.Form["rule_name[]"], groups: r.Form["rule_group[]"], files: r.Form["file[]"],
	}
	if text := r.FormValue("exclude_alerts"); text != "" {
		var err error
		if f.withoutAlerts, err = strconv.ParseBool(text); err != nil {
			return f, invalidParameter("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err))
		}
	}
	if f.kind != "" && f.kind != "alert" && f.kind != "record" {
		return f, invalidParameter("type", fmt.Errorf("not supported value %q", f.kind))
	}
	for _, text := range r.Form["match[]"] {
		ms, err := a.parser.ParseMetricSelector(text)
		if err != nil {
			return f, badData(err)
		}
		f.matchers = append(f.matchers, ms)
	}
	return f, nil
}

func (f ruleFilter) wants(r rules.RuleStatus) bool {
	switch {
	case f.kind == "alert" && r.Alert == "", f.kind == "record" && r.Record == "":
		return false
	case len(f.names) > 0 && !slices.Contains(f.names, r.Record+r.Alert):
		return false
	case len(f.matchers) == 0:
		return true
	}
	return slices.ContainsFunc(f.matchers, func(ms []*labels.Matcher) bool { return matches(r.Labels, ms) })
}

// rules answers /api/v1/rules.
func (a *API) rules(r *http.Request) (answer, error) {
	f, err := a.ruleFilter(r)
	if err != nil {
		return answer{}, err
	}
	groups := []groupJSON{}
	for _, g := range a.deps.Rules.Groups() {
		if len(f.groups) > 0 && !slices.Contains(f.groups, g.Name) || len(f.files) > 0 && !slices.Contains(f.files, g.File) {
			continue
		}
		out := groupJSON{
			Name: g.Name, File: g.File, Rules: []any{}, Interval: g.Interval.Seconds(), Limit: g.Limit,
			EvaluationTime: g.LastDuration.Seconds(), LastEvaluation: g.LastEvaluation,
		}
		for _, rule := range g.Rules {
			if f.wants(rule) {
				out.Rules = append(out.Rules, ruleJSON(rule, f.withoutAlerts))
			}
		}
		if len(out.Rules) > 0 {
			groups = append(groups, out)
		}
	}
	return answer{data: map[string]any{"groups": groups}}, nil
}

func ruleJSON(r rules.RuleStatus, withoutAlerts bool) any {
	health := "unknown"
	switch {
	case r.LastError != "":
		health = "err"
	case r.Evaluated:
		health = "ok"
	}
	if r.Record != "" {
		return recordingRuleJSON{
			Name: r.Record, Query: r.Expr, Labels: r.Labels, Health: health, LastError: r.LastError,
			EvaluationTime: r.LastDuration.Seconds(), LastEvaluation: r.LastEvaluation, Type: "recording",
		}
	}
	out := alertingRuleJSON{
		State: string(r.State), Name: r.Alert, Query: r.Expr, Duration: r.Timing.For.Seconds(), KeepFiringFor: r.Timing.KeepFiringFor.Seconds(),
		Labels: r.Labels, Annotations: r.Annotations, Alerts: []alertJSON{}, Health: health, LastError: r.LastError,
		EvaluationTime: r.LastDuration.Seconds(), LastEvaluation: r.LastEvaluation, Type: "alerting",
	}
	if !withoutAlerts {
		out.Alerts = alertsJSON(r.Alerts)
	}
	return out
}

func alertsJSON(alerts []rules.Alert) []alertJSON {
	out := make([]alertJSON, 0, len(alerts))
	for _, a := range alerts {
		j := alertJSON{Labels: a.Labels, Annotations: a.Annotations, State: string(a.State), Value: string(appendValue(nil, a.Value))}
		j.ActiveAt = &a.ActiveAt
		if !a.KeepFiringSince.IsZero() {
			j.KeepFiringSince = &a.KeepFiringSince
		}
		out = append(out, j)
	}
	return out
}

// alerts answers /api/v1/alerts.
func (a *API) alerts(*http.Request) (answer, error) {
	out := []alertJSON{}
	for _, g := range a.deps.Rules.Groups() {
		for _, r := range g.Rules {
			out = append(out, alertsJSON(r.Alerts)...)
		}
	}
	return answer{data: map[string]any{"alerts": out}}, nil
}
