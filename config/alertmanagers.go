package config

import (
	"fmt"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	"github.com/nilometer/nilometer/discovery"
)

// PrometheusAlerting is Prometheus' section: which Alertmanagers get alerts.
type PrometheusAlerting struct {
	AlertRelabel  []*relabel.Config `yaml:"alert_relabel_configs"`
	Alertmanagers []*Alertmanagers  `yaml:"alertmanagers"`
}

// Alertmanagers are the Alertmanagers that one entry finds, and how they are
// talked to.
type Alertmanagers struct {
	Scheme       string            `yaml:"scheme"`
	PathPrefix   string            `yaml:"path_prefix"`
	Timeout      model.Duration    `yaml:"timeout"`
	APIVersion   string            `yaml:"api_version"`
	Relabel      []*relabel.Config `yaml:"relabel_configs"`
	AlertRelabel []*relabel.Config `yaml:"alert_relabel_configs"`
	SigV4        *SigV4            `yaml:"sigv4"`

	StaticConfigs []*StaticConfig `yaml:"static_configs"`
	FileSDConfigs []*FileSDConfig `yaml:"file_sd_configs"`
	// Discovery has the entries of all other *_sd_configs.
	Discovery []discovery.Config `yaml:"-"`

	HTTPClient commonconfig.HTTPClientConfig `yaml:",inline"`
}

func (c *Alertmanagers) setDefaults() {
	c.Scheme = "http"
	c.Timeout = model.Duration(10 * time.Second)
	c.APIVersion = "v2"
	c.HTTPClient = commonconfig.DefaultHTTPClientConfig
}

// section reads the entries of one way to find them.
func (c *Alertmanagers) section(s *strict, key, val *yaml.Node, path string) bool {
	return readDiscovery(s, key, val, path, &c.Discovery)
}

func (c *PrometheusAlerting) setDirectory(dir string) {
	for _, a := range c.Alertmanagers {
		if a == nil {
			continue
		}
		a.HTTPClient.SetDirectory(dir)
		setDiscoveryDirectory(dir, a.Discovery, a.FileSDConfigs)
	}
}

func (c *PrometheusAlerting) check(scheme model.ValidationScheme, report func(path, text string)) {
	for i, rc := range c.AlertRelabel {
		checkRelabel(fmt.Sprintf("alerting.alert_relabel_configs[%d]", i), rc, scheme, report)
	}
	for i, a := range c.Alertmanagers {
		path := fmt.Sprintf("alerting.alertmanagers[%d]", i)
		if a == nil {
			report(path, "the entry is empty")
			continue
		}
		a.check(path, scheme, report)
	}
}

func (c *Alertmanagers) check(path string, scheme model.ValidationScheme, report func(path, text string)) {
	if c.APIVersion != "v2" {
		report(path+".api_version", fmt.Sprintf("%q is not v2, the only one that Alertmanager has", c.APIVersion))
	}
	if err := c.HTTPClient.Validate(); err != nil {
		report(path, err.Error())
	}
	ways := authentications(c.HTTPClient)
	if c.SigV4 != nil {
		ways = append(ways, "sigv4")
		c.SigV4.check(path+".sigv4", report)
	}
	checkOneWay(path, ways, report)
	for i, rc := range c.Relabel {
		checkRelabel(fmt.Sprintf("%s.relabel_configs[%d]", path, i), rc, scheme, report)
	}
	for i, rc := range c.AlertRelabel {
		checkRelabel(fmt.Sprintf("%s.alert_relabel_configs[%d]", path, i), rc, scheme, report)
	}
	checkStatics(path, c.StaticConfigs, len(c.Relabel) > 0, report)
	checkFiles(path, c.FileSDConfigs, report)
}
