package sender

import (
	"net/url"
	"path"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/alerting"
	"github.com/nilometer/nilometer/discovery"
)

// pathLabel is the label that says where an Alertmanager takes alerts.
const pathLabel = "__alerts_path__"

// apiPath is where version 2 of its API takes them.
const apiPath = "/api/v2/alerts"

// endpoints are the URLs of what was found, after relabelling, and those of what
// relabelling dropped, as they were before it; each once.
func (g *Group) endpoints(found []discovery.Group) (active, dropped []string) {
	for _, group := range found {
		for _, target := range group.Targets {
			b := labels.NewBuilder(group.Labels)
			target.Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
			if b.Get(model.SchemeLabel) == "" {
				b.Set(model.SchemeLabel, g.Scheme)
			}
			if b.Get(pathLabel) == "" {
				b.Set(pathLabel, path.Join("/", g.PathPrefix, apiPath))
			}
			before := urlOf(b)
			if !relabel.ProcessBuilder(b, g.Relabel...) || b.Get(model.AddressLabel) == "" {
				dropped = append(dropped, before)
				continue
			}
			active = append(active, urlOf(b))
		}
	}
	slices.Sort(active)
	slices.Sort(dropped)
	return slices.Compact(active), slices.Compact(dropped)
}

// urlOf is where an Alertmanager with these labels takes alerts.
func urlOf(b *labels.Builder) string {
	u := url.URL{Scheme: b.Get(model.SchemeLabel), Host: b.Get(model.AddressLabel), Path: b.Get(pathLabel)}
	return u.String()
}

// relabelled returns alerts with external labels where they have none of the
// name, and with the rules applied; dropped ones are left out. The alerts given
// stay as they are.
func relabelled(alerts []alerting.Alert, external labels.Labels, rules []*relabel.Config) []alerting.Alert {
	if external.IsEmpty() && len(rules) == 0 {
		return alerts
	}
	out := make([]alerting.Alert, 0, len(alerts))
	for _, a := range alerts {
		b := labels.NewBuilder(a.Labels)
		external.Range(func(l labels.Label) {
			if a.Labels.Get(l.Name) == "" {
				b.Set(l.Name, l.Value)
			}
		})
		if !relabel.ProcessBuilder(b, rules...) {
			continue
		}
		a.Labels = b.Labels()
		out = append(out, a)
	}
	return out
}
