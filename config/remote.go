package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/relabel"
)

// RemoteWrite is one receiver that Prometheus would send all samples to. This
// version sends nothing: see Notices.
type RemoteWrite struct {
	URL           *commonconfig.URL `yaml:"url"`
	RemoteTimeout model.Duration    `yaml:"remote_timeout"`
	Headers       map[string]string `yaml:"headers"`
	Relabel       []*relabel.Config `yaml:"write_relabel_configs"`
	Name          string            `yaml:"name"`
	Message       string            `yaml:"protobuf_message"`

	SendExemplars        bool `yaml:"send_exemplars"`
	SendNativeHistograms bool `yaml:"send_native_histograms"`
	RoundRobinDNS        bool `yaml:"round_robin_dns"`
	FailedRequestLogging bool `yaml:"failed_request_logging"`

	HTTPClient commonconfig.HTTPClientConfig `yaml:",inline"`
	Queue      RemoteQueue                   `yaml:"queue_config"`
	Metadata   RemoteMetadata                `yaml:"metadata_config"`
	SigV4      *SigV4                        `yaml:"sigv4"`
	AzureAD    *AzureAD                      `yaml:"azuread"`
	GoogleIAM  *GoogleIAM                    `yaml:"google_iam"`
}

// RemoteQueue bounds what waits to be sent, in samples.
type RemoteQueue struct {
	Capacity          int            `yaml:"capacity"`
	MaxShards         int            `yaml:"max_shards"`
	MinShards         int            `yaml:"min_shards"`
	MaxSamplesPerSend int            `yaml:"max_samples_per_send"`
	BatchSendDeadline model.Duration `yaml:"batch_send_deadline"`
	MinBackoff        model.Duration `yaml:"min_backoff"`
	MaxBackoff        model.Duration `yaml:"max_backoff"`
	RetryOnRateLimit  bool           `yaml:"retry_on_http_429"`
	SampleAgeLimit    model.Duration `yaml:"sample_age_limit"`
}

// RemoteMetadata says whether and how often metadata is sent.
type RemoteMetadata struct {
	Send              bool           `yaml:"send"`
	SendInterval      model.Duration `yaml:"send_interval"`
	MaxSamplesPerSend int            `yaml:"max_samples_per_send"`
}

// messages are the values of protobuf_message.
var messages = [...]string{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"}

func (c *RemoteWrite) setDefaults() {
	c.RemoteTimeout = model.Duration(30 * time.Second)
	c.Message = messages[0]
	c.HTTPClient = commonconfig.HTTPClientConfig{FollowRedirects: true}
	c.Queue.setDefaults()
	c.Metadata.setDefaults()
}

func (q *RemoteQueue) setDefaults() {
	*q = RemoteQueue{
		Capacity: 10_000, MaxShards: 50, MinShards: 1, MaxSamplesPerSend: 2000, BatchSendDeadline: model.Duration(5 * time.Second),
		MinBackoff: model.Duration(30 * time.Millisecond), MaxBackoff: model.Duration(5 * time.Second),
	}
}

func (m *RemoteMetadata) setDefaults() {
	*m = RemoteMetadata{Send: true, SendInterval: model.Duration(time.Minute), MaxSamplesPerSend: 2000}
}

func (c *RemoteWrite) check(path string, scheme model.ValidationScheme, report func(path, text string)) {
	if c.URL == nil {
		report(path+".url", "is missing")
	}
	checkHeaders(path, c.Headers, report)
	for i, rc := range c.Relabel {
		checkRelabel(fmt.Sprintf("%s.write_relabel_configs[%d]", path, i), rc, scheme, report)
	}
	if !slices.Contains(messages[:], c.Message) {
		report(path+".protobuf_message", fmt.Sprintf("%q is none of %s", c.Message, strings.Join(messages[:], ", ")))
	}
	if err := c.HTTPClient.Validate(); err != nil {
		report(path, err.Error())
	}
	c.Queue.check(path+".queue_config", report)
	ways := authentications(c.HTTPClient)
	if c.SigV4 != nil {
		ways = append(ways, "sigv4")
		c.SigV4.check(path+".sigv4", report)
	}
	if c.AzureAD != nil {
		ways = append(ways, "azuread")
		c.AzureAD.check(path+".azuread", report)
	}
	if c.GoogleIAM != nil {
		ways = append(ways, "google_iam")
	}
	checkOneWay(path, ways, report)
}

func (q *RemoteQueue) check(path string, report func(path, text string)) {
	for _, v := range []struct {
		key string
		n   int
	}{{"max_shards", q.MaxShards}, {"min_shards", q.MinShards}, {"max_samples_per_send", q.MaxSamplesPerSend}, {"capacity", q.Capacity}} {
		if v.n <= 0 {
			report(path+"."+v.key, fmt.Sprintf("%d is not positive", v.n))
		}
	}
	if q.MinShards > q.MaxShards {
		report(path+".min_shards", fmt.Sprintf("%d is more than max_shards, %d", q.MinShards, q.MaxShards))
	}
	if q.MaxBackoff < q.MinBackoff {
		report(path+".max_backoff", fmt.Sprintf("%s is shorter than min_backoff, %s", q.MaxBackoff, q.MinBackoff))
	}
}

// RemoteRead is one store that Prometheus would read from, too. This version
// does not: see Notices.
type RemoteRead struct {
	URL                  *commonconfig.URL `yaml:"url"`
	RemoteTimeout        model.Duration    `yaml:"remote_timeout"`
	ChunkedReadLimit     uint64            `yaml:"chunked_read_limit"`
	Headers              map[string]string `yaml:"headers"`
	ReadRecent           bool              `yaml:"read_recent"`
	Name                 string            `yaml:"name"`
	RequiredMatchers     map[string]string `yaml:"required_matchers"`
	FilterExternalLabels bool              `yaml:"filter_external_labels"`

	HTTPClient commonconfig.HTTPClientConfig `yaml:",inline"`
}

func (c *RemoteRead) setDefaults() {
	c.RemoteTimeout = model.Duration(time.Minute)
	c.FilterExternalLabels = true
	c.HTTPClient = commonconfig.DefaultHTTPClientConfig
}

func (c *RemoteRead) check(path string, report func(path, text string)) {
	if c.URL == nil {
		report(path+".url", "is missing")
	}
	checkHeaders(path, c.Headers, report)
	for name := range c.RequiredMatchers {
		if !model.UTF8Validation.IsValidLabelName(name) {
			report(path+".required_matchers", fmt.Sprintf("%q is not a valid label name", name))
		}
	}
	if err := c.HTTPClient.Validate(); err != nil {
		report(path, err.Error())
	}
}

// checkRemotes looks at both sections: the names in one differ.
func (c *Config) checkRemotes(report func(path, text string)) {
	names := map[string]bool{}
	for i, w := range c.RemoteWrite {
		path := fmt.Sprintf("remote_write[%d]", i)
		if w == nil {
			report(path, "the entry is empty")
			continue
		}
		w.check(path, c.Global.scheme(), report)
		if w.Name != "" && names[w.Name] {
			report(path+".name", fmt.Sprintf("%q is the name of another entry already", w.Name))
		}
		names[w.Name] = true
	}
	clear(names)
	for i, r := range c.RemoteRead {
		path := fmt.Sprintf("remote_read[%d]", i)
		if r == nil {
			report(path, "the entry is empty")
			continue
		}
		r.check(path, report)
		if r.Name != "" && names[r.Name] {
			report(path+".name", fmt.Sprintf("%q is the name of another entry already", r.Name))
		}
		names[r.Name] = true
	}
}
