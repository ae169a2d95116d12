package rules

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	upstream "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"

	"github.com/nilometer/nilometer/promql"
)

// rule is one rule of a group and what its last evaluation left.
type rule struct {
	record, alert string // one of them is set
	expr          string
	timing        Timing
	labels        labels.Labels // the group's and the rule's own
	annotations   labels.Labels

	// The rest is guarded by group.mu.
	alerts     map[Fingerprint]Alert
	written    []labels.Labels // series of the last evaluation, to be ended by stale markers
	lastError  string
	lastAt     time.Time
	lastTook   time.Duration
	evaluated  bool
	loaded     bool // states were read from the database
	persisted  map[Fingerprint]persisted
	identifier string // the rule's id in the database, "" when not known yet
}

func newRule(r rulefmt.Rule, groupLabels map[string]string, p parser.Parser) (*rule, error) {
	expr, err := p.ParseExpr(r.Expr)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.Record+r.Alert, err)
	}
	merged := map[string]string{}
	for k, v := range groupLabels {
		merged[k] = v
	}
	for k, v := range r.Labels {
		merged[k] = v
	}
	return &rule{
		record: r.Record, alert: r.Alert, expr: expr.String(),
		timing:      Timing{For: time.Duration(r.For), KeepFiringFor: time.Duration(r.KeepFiringFor)},
		labels:      labels.FromMap(merged),
		annotations: labels.FromMap(r.Annotations),
		alerts:      map[Fingerprint]Alert{},
		persisted:   map[Fingerprint]persisted{},
	}, nil
}

// key tells rules of a group apart across a reload.
func (r *rule) key() string { return r.record + "\x00" + r.alert + "\x00" + r.labels.String() }

// sample is one sample to store.
type sample struct {
	lset labels.Labels
	v    float64
	h    *histogram.FloatHistogram // the value in place of v, unless nil
}

// recorded turns the answer of a recording rule's expression into its series.
func (r *rule) recorded(res *promql.Result) ([]sample, error) {
	vector, err := asVector(res)
	if err != nil {
		return nil, err
	}
	out := make([]sample, 0, len(vector))
	seen := make(map[Fingerprint]struct{}, len(vector))
	lb := labels.NewBuilder(labels.EmptyLabels())
	for _, s := range vector {
		lb.Reset(s.Labels)
		lb.Set(model.MetricNameLabel, r.record)
		r.labels.Range(func(l labels.Label) { lb.Set(l.Name, l.Value) })
		lset := lb.Labels()
		fp := FingerprintOf(lset)
		if _, twice := seen[fp]; twice {
			return nil, fmt.Errorf("vector contains metrics with the same labelset after applying rule labels: %s", lset)
		}
		seen[fp] = struct{}{}
		out = append(out, sample{lset: lset, v: s.V, h: s.H})
	}
	return out, nil
}

func asVector(res *promql.Result) ([]promql.Sample, error) {
	switch res.Type {
	case parser.ValueTypeVector:
		return res.Vector, nil
	case parser.ValueTypeScalar:
		return []promql.Sample{{T: res.Scalar.T, V: res.Scalar.V}}, nil
	}
	return nil, fmt.Errorf("rule result is a %s, not a vector or scalar", parser.DocumentedType(res.Type))
}

// expansion is what templates of one evaluation can see.
type expansion struct {
	query          func(ctx context.Context, expr string, at time.Time) (*promql.Result, error)
	externalLabels map[string]string
	externalURL    *url.URL
	logger         *slog.Logger
}

// templatePrefix defines the short names that templates of rules use.
const templatePrefix = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// active turns the answer of an alerting rule's expression into the alerts that
// hold now: labels and annotations expanded.
func (r *rule) active(ctx context.Context, res *promql.Result, at time.Time, x expansion) (map[Fingerprint]Alert, error) {
	vector, err := asVector(res)
	if err != nil {
		return nil, err
	}
	out := make(map[Fingerprint]Alert, len(vector))
	lb := labels.NewBuilder(labels.EmptyLabels())
	for _, s := range vector {
		data := template.AlertTemplateData(s.Labels.Map(), x.externalLabels, x.externalURL.String(), upstream.Sample{F: s.V, H: s.H})
		expand := func(text string) string { return r.expand(ctx, text, data, at, x) }
		lb.Reset(s.Labels)
		lb.Del(model.MetricNameLabel)
		r.labels.Range(func(l labels.Label) { lb.Set(l.Name, expand(l.Value)) })
		lb.Set(labels.AlertName, r.alert)
		a := Alert{Labels: lb.Labels(), Value: s.V}
		lb.Reset(labels.EmptyLabels())
		r.annotations.Range(func(l labels.Label) { lb.Set(l.Name, expand(l.Value)) })
		a.Annotations = lb.Labels()
		fp := FingerprintOf(a.Labels)
		if _, twice := out[fp]; twice {
			return nil, fmt.Errorf("vector contains metrics with the same labelset after applying alert labels: %s", a.Labels)
		}
		out[fp] = a
	}
	return out, nil
}

func (r *rule) expand(ctx context.Context, text string, data any, at time.Time, x expansion) string {
	query := func(ctx context.Context, expr string, at time.Time) (upstream.Vector, error) {
		res, err := x.query(ctx, expr, at)
		if err != nil {
			return nil, err
		}
		vector, err := asVector(res)
		out := make(upstream.Vector, len(vector))
		for i, s := range vector {
			out[i] = upstream.Sample{T: s.T, F: s.V, H: s.H, Metric: s.Labels}
		}
		return out, err
	}
	e := template.NewTemplateExpander(ctx, templatePrefix+text, "__alert_"+r.alert, data, model.TimeFromUnixNano(at.UnixNano()), query, x.externalURL, nil)
	result, err := e.Expand()
	if err != nil {
		x.logger.Warn("alert template not expanded", "alert", r.alert, "err", err)
		return fmt.Sprintf("<error expanding template: %s>", err)
	}
	return result
}

// The metrics that show alerts, as Prometheus names them.
const (
	alertMetric         = "ALERTS"
	alertForStateMetric = "ALERTS_FOR_STATE"
	alertStateLabel     = "alertstate"
)

// alertSamples are the series that show the rule's alerts.
func alertSamples(alerts map[Fingerprint]Alert) []sample {
	out := make([]sample, 0, 2*len(alerts))
	lb := labels.NewBuilder(labels.EmptyLabels())
	for _, a := range alerts {
		if a.State == Inactive {
			continue
		}
		lb.Reset(a.Labels)
		lb.Set(model.MetricNameLabel, alertForStateMetric)
		out = append(out, sample{lset: lb.Labels(), v: float64(a.ActiveAt.Unix())})
		lb.Set(model.MetricNameLabel, alertMetric)
		lb.Set(alertStateLabel, string(a.State))
		out = append(out, sample{lset: lb.Labels(), v: 1})
	}
	return out
}
