package server

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/alerting/sender"
	"github.com/nilometer/nilometer/config"
)

// senderOptions translates the section alerting. Alertmanagers that need signed
// requests are left out: the configuration has a notice of them.
func senderOptions(c *config.Config) sender.Options {
	o := sender.Options{ExternalLabels: labels.FromMap(c.Global.ExternalLabels), AlertRelabel: c.Alerting.AlertRelabel}
	for _, a := range c.Alerting.Alertmanagers {
		if a.SigV4 != nil {
			continue
		}
		o.Groups = append(o.Groups, sender.Group{
			Discovery: discoveryOptions(a.StaticConfigs, a.FileSDConfigs, a.Discovery), Relabel: a.Relabel, AlertRelabel: a.AlertRelabel,
			Scheme: a.Scheme, PathPrefix: a.PathPrefix, Timeout: time.Duration(a.Timeout), HTTPClient: a.HTTPClient,
		})
	}
	return o
}
