// Package config reads what a server should do: prometheus.yml with its rule
// files, and Nilometer's own settings under the one key "nilometer".
//
// It owns the files' meaning: names, defaults, validation, and errors that
// name file, line, key and the way out. It never acts on what it read; server
// and cli translate a Config into the options of the parts.
//
// Invariants:
//
//   - I1: Load either returns a Config that is valid as a whole or Problems that
//     list everything wrong at once; nothing unknown is ignored.
//   - I2: an empty value means Prometheus' default for the key.
//   - I3: without a file, Defaults is what the server does.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/units"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/discovery"
)

// Config is one whole configuration.
type Config struct {
	Global        Global          `yaml:"global"`
	ScrapeConfigs []*ScrapeConfig `yaml:"scrape_configs"`
	// ScrapeConfigFiles are patterns of files with more of them, which Parse reads.
	ScrapeConfigFiles []string `yaml:"scrape_config_files"`
	// RuleFiles are the patterns of the file, relative ones joined with its
	// directory. Builtin rule files are named in Nilometer.
	RuleFiles []string          `yaml:"rule_files"`
	Storage   PrometheusStorage `yaml:"storage"`

	Alerting    PrometheusAlerting `yaml:"alerting"`
	Runtime     Runtime            `yaml:"runtime"`
	RemoteWrite []*RemoteWrite     `yaml:"remote_write"`
	RemoteRead  []*RemoteRead      `yaml:"remote_read"`
	OTLP        *OTLP              `yaml:"otlp"`
	Tracing     *Tracing           `yaml:"tracing"`

	Nilometer Nilometer `yaml:"nilometer"`

	notices []Notice
	unset   []unsetVariable // of external labels
}

// PrometheusStorage is the section of Prometheus; settings of the database are
// in Storage.
type PrometheusStorage struct {
	TSDB      PrometheusTSDB `yaml:"tsdb"`
	Exemplars *Exemplars     `yaml:"exemplars"`
}

// PrometheusTSDB holds what Prometheus sets for its database in the file.
type PrometheusTSDB struct {
	// OutOfOrderTimeWindow is how far behind the newest sample one that is older
	// than its series' last may lie, scraped or pushed; nil: pushed ones 2 h,
	// scraped ones not at all.
	OutOfOrderTimeWindow *model.Duration `yaml:"out_of_order_time_window"`
	// Retention holds where Nilometer's own section says nothing.
	Retention PrometheusRetention `yaml:"retention"`

	// Nothing to switch here: the codec is chosen for every chunk, and what has
	// ended leaves memory at every cut.
	ChunkEncoding                  map[string]string `yaml:"chunk_encoding"`
	StaleSeriesCompactionThreshold float64           `yaml:"stale_series_compaction_threshold"`
}

// PrometheusRetention bounds what is kept under Prometheus' names.
type PrometheusRetention struct {
	Time       model.Duration   `yaml:"time"`
	Size       units.Base2Bytes `yaml:"size"`
	Percentage float64          `yaml:"percentage"`
}

// inherit takes what is not set from Prometheus' section.
func (r *Retention) inherit(p PrometheusRetention) {
	inheritValue(&r.Time, p.Time)
	inheritValue(&r.Size, p.Size)
	inheritValue(&r.DiskPercent, p.Percentage)
}

// Global holds the defaults of scrape configs and rule groups.
type Global struct {
	ScrapeInterval     model.Duration    `yaml:"scrape_interval"`
	ScrapeTimeout      model.Duration    `yaml:"scrape_timeout"`
	EvaluationInterval model.Duration    `yaml:"evaluation_interval"`
	RuleQueryOffset    model.Duration    `yaml:"rule_query_offset"`
	ExternalLabels     map[string]string `yaml:"external_labels"`
	BodySizeLimit      units.Base2Bytes  `yaml:"body_size_limit"`
	SampleLimit        uint              `yaml:"sample_limit"`
	LabelLimit         uint              `yaml:"label_limit"`
	LabelNameLength    uint              `yaml:"label_name_length_limit"`
	LabelValueLength   uint              `yaml:"label_value_length_limit"`
	KeepDroppedTargets uint              `yaml:"keep_dropped_targets"`

	TargetLimit        uint  `yaml:"target_limit"`
	ExtraScrapeMetrics *bool `yaml:"extra_scrape_metrics"`
	// FailureLogFile gets a line of JSON for every scrape that fails; empty: none
	// is written.
	FailureLogFile string `yaml:"scrape_failure_log_file"`

	Exposition `yaml:",inline"`

	// QueryLogFile gets a line of JSON for every query; empty: none is written.
	QueryLogFile string `yaml:"query_log_file"`
}

// The defaults of Prometheus 3.
const (
	defaultInterval = model.Duration(time.Minute)
	defaultTimeout  = model.Duration(10 * time.Second)
)

// ScrapeConfig is one job.
type ScrapeConfig struct {
	JobName            string              `yaml:"job_name"`
	HonorLabels        bool                `yaml:"honor_labels"`
	HonorTimestamps    bool                `yaml:"honor_timestamps"`
	Params             map[string][]string `yaml:"params"`
	ScrapeInterval     model.Duration      `yaml:"scrape_interval"`
	ScrapeTimeout      model.Duration      `yaml:"scrape_timeout"`
	MetricsPath        string              `yaml:"metrics_path"`
	Scheme             string              `yaml:"scheme"`
	EnableCompression  bool                `yaml:"enable_compression"`
	BodySizeLimit      units.Base2Bytes    `yaml:"body_size_limit"`
	SampleLimit        uint                `yaml:"sample_limit"`
	LabelLimit         uint                `yaml:"label_limit"`
	LabelNameLength    uint                `yaml:"label_name_length_limit"`
	LabelValueLength   uint                `yaml:"label_value_length_limit"`
	KeepDroppedTargets uint                `yaml:"keep_dropped_targets"`
	TargetLimit        uint                `yaml:"target_limit"`
	ExtraScrapeMetrics *bool               `yaml:"extra_scrape_metrics"`
	TrackTimestamps    bool                `yaml:"track_timestamps_staleness"`
	FailureLogFile     string              `yaml:"scrape_failure_log_file"`

	Exposition       `yaml:",inline"`
	FallbackProtocol string  `yaml:"fallback_scrape_protocol"`
	BucketLimit      uint    `yaml:"native_histogram_bucket_limit"`
	MinBucketFactor  float64 `yaml:"native_histogram_min_bucket_factor"`

	StaticConfigs []*StaticConfig `yaml:"static_configs"`
	FileSDConfigs []*FileSDConfig `yaml:"file_sd_configs"`
	// Discovery has the entries of all other *_sd_configs.
	Discovery []discovery.Config `yaml:"-"`

	HTTPClient commonconfig.HTTPClientConfig `yaml:",inline"`

	RelabelConfigs       []*relabel.Config `yaml:"relabel_configs"`
	MetricRelabelConfigs []*relabel.Config `yaml:"metric_relabel_configs"`

	origin *origin // nil: the main file
}

func (c *ScrapeConfig) setDefaults() {
	c.HonorTimestamps = true
	c.EnableCompression = true
	c.MetricsPath = "/metrics"
	c.Scheme = "http"
	c.HTTPClient = commonconfig.DefaultHTTPClientConfig
}

// StaticConfig is a fixed group of targets.
type StaticConfig struct {
	Targets []string          `yaml:"targets"`
	Labels  map[string]string `yaml:"labels"`
}

// FileSDConfig names files with groups of targets, watched for changes.
type FileSDConfig struct {
	Files           []string       `yaml:"files"`
	RefreshInterval model.Duration `yaml:"refresh_interval"`
}

func (c *FileSDConfig) setDefaults() { c.RefreshInterval = model.Duration(5 * time.Minute) }

// Nilometer holds the settings that Prometheus does not have.
type Nilometer struct {
	// HostCollector reports this machine under node_exporter's names.
	HostCollector bool `yaml:"host_collector"`
	// SelfScrape stores the server's own metrics.
	SelfScrape bool `yaml:"self_scrape"`
	// BuiltinRules evaluates the alert rules for host and self that come with
	// the binary.
	BuiltinRules bool     `yaml:"builtin_rules"`
	Alerting     Alerting `yaml:"alerting"`
	Storage      Storage  `yaml:"storage"`
	Limits       Limits   `yaml:"limits"`
	Query        Query    `yaml:"query"`
	Scrape       Scrape   `yaml:"scrape"`
}

// Scrape holds the settings of all jobs that Prometheus has as features.
type Scrape struct {
	// StartTimestamps stores when counters and histograms began: from protobuf,
	// which is asked for first then, and from OpenMetrics, whose samples _created
	// are taken for them and not stored.
	StartTimestamps bool `yaml:"start_timestamps"`
	// JobConcurrencyMax bounds the scrapes of one job that are under way; 0 means
	// 1,000.
	JobConcurrencyMax int `yaml:"job_concurrency_max"`
}

// jobConcurrencyMax bounds Scrape.JobConcurrencyMax: each scrape under way has a
// connection and its buffers.
const jobConcurrencyMax = 1_000_000

// Alerting says where notifications are configured.
type Alerting struct {
	// ConfigFile is an alertmanager.yml; a relative path is joined with the
	// configuration's directory. Empty: alerts are shown, not sent.
	ConfigFile string `yaml:"config_file"`
}

// memoryLimitMin is what the process needs without any series to speak of.
const memoryLimitMin = 128 * units.MiB

// Storage holds the settings of the database.
type Storage struct {
	Retention Retention `yaml:"retention"`
	// BlockRange is the span of the head and of new blocks. Default 2h; it
	// cannot change over the life of a data directory's head.
	BlockRange model.Duration `yaml:"block_range"`
	// SyncInterval bounds what a crash may lose of scraped samples. Default 1s.
	SyncInterval model.Duration `yaml:"wal_sync_interval"`
	// MemoryLimit is how much memory the process may have, "6GiB"; 0: 75 % of the
	// container's or the machine's.
	MemoryLimit units.Base2Bytes `yaml:"memory_limit"`
}

// Retention bounds what is kept. Zero values mean the defaults: 30 days, no
// bound by size.
type Retention struct {
	Time model.Duration `yaml:"time"`
	// Size bounds the data directory, "500GB"; the oldest blocks go first.
	Size units.Base2Bytes `yaml:"size"`
	// DiskPercent bounds the data directory to a share of its disk, up to 100.
	DiskPercent float64 `yaml:"disk_percent"`
	// Rules keep some series for less than Time.
	Rules []RetentionRule `yaml:"rules"`
}

// RetentionRule keeps the series of a selector for a time; of several rules the
// shortest counts.
type RetentionRule struct {
	Match string         `yaml:"match"`
	Time  model.Duration `yaml:"time"`
}

// Matchers reads the rule's selector, which a loaded configuration has checked.
func (r RetentionRule) Matchers() ([]*labels.Matcher, error) {
	return parser.NewParser(parser.Options{}).ParseMetricSelector(r.Match)
}

func (r *Retention) check(path string, report func(path, text string)) {
	if r.Size < 0 {
		report(path+".size", fmt.Sprintf("%s is negative", r.Size))
	}
	if r.DiskPercent < 0 || r.DiskPercent > 100 {
		report(path+".disk_percent", fmt.Sprintf("%v is not between 0 and 100", r.DiskPercent))
	}
	for i, rule := range r.Rules {
		at := fmt.Sprintf("%s.rules[%d]", path, i)
		if _, err := rule.Matchers(); err != nil {
			report(at+".match", err.Error())
		}
		if rule.Time <= 0 {
			report(at+".time", "is missing: say how long these series are kept")
		}
	}
}

// finish fills in what depends on other keys.
func (c *Config) finish() {
	g := &c.Global
	if g.ScrapeProtocols == nil && c.Nilometer.Scrape.StartTimestamps {
		g.ScrapeProtocols = defaultProtocols(true)
	}
	if g.ScrapeInterval == 0 {
		g.ScrapeInterval = defaultInterval
	}
	if g.ScrapeTimeout == 0 {
		g.ScrapeTimeout = min(defaultTimeout, g.ScrapeInterval)
	}
	if g.EvaluationInterval == 0 {
		g.EvaluationInterval = defaultInterval
	}
	for _, sc := range c.ScrapeConfigs {
		if sc != nil {
			sc.inherit(g)
		}
	}
	c.Nilometer.Storage.Retention.inherit(c.Storage.TSDB.Retention)
	c.expandExternalLabels(os.Getenv)
}

// inherit takes over the global values of keys that the job leaves out.
func (c *ScrapeConfig) inherit(g *Global) {
	if c.ScrapeInterval == 0 {
		c.ScrapeInterval = g.ScrapeInterval
	}
	if c.ScrapeTimeout == 0 {
		c.ScrapeTimeout = min(g.ScrapeTimeout, c.ScrapeInterval)
	}
	inheritValue(&c.BodySizeLimit, g.BodySizeLimit)
	inheritValue(&c.SampleLimit, g.SampleLimit)
	inheritValue(&c.LabelLimit, g.LabelLimit)
	inheritValue(&c.LabelNameLength, g.LabelNameLength)
	inheritValue(&c.LabelValueLength, g.LabelValueLength)
	inheritValue(&c.KeepDroppedTargets, g.KeepDroppedTargets)
	inheritValue(&c.TargetLimit, g.TargetLimit)
	inheritValue(&c.FailureLogFile, g.FailureLogFile)
	inheritFlag(&c.ExtraScrapeMetrics, g.ExtraScrapeMetrics)
	c.Exposition.inherit(&g.Exposition)
}

func inheritValue[T comparable](v *T, global T) {
	var zero T
	if *v == zero {
		*v = global
	}
}

// check returns what is wrong with values that are well-formed, as texts with
// their path.
func (c *Config) check(report func(path, text string)) {
	if c.Global.ScrapeTimeout > c.Global.ScrapeInterval {
		report("global.scrape_timeout", fmt.Sprintf("%s is longer than the scrape interval %s", c.Global.ScrapeTimeout, c.Global.ScrapeInterval))
	}
	c.Global.Exposition.check("global", report)
	for name, value := range c.Global.ExternalLabels {
		if !c.Global.scheme().IsValidLabelName(name) {
			report("global.external_labels", fmt.Sprintf("%q is not a valid label name", name))
		}
		if !utf8.ValidString(value) {
			report("global.external_labels."+name, fmt.Sprintf("%q is not valid UTF-8", value))
		}
	}
	checkPatterns("rule_files", c.RuleFiles, report)
	checkPatterns("scrape_config_files", c.ScrapeConfigFiles, report)
	c.checkStorage(report)
	c.checkRemotes(report)
	c.Alerting.check(c.Global.scheme(), report)
	c.Runtime.check("runtime", report)
	if c.OTLP != nil {
		c.OTLP.check("otlp", c.Global.scheme(), report)
	}
	if c.Tracing != nil {
		c.Tracing.check("tracing", report)
	}
	jobs := map[string]int{}
	for i, sc := range c.ScrapeConfigs {
		path := fmt.Sprintf("scrape_configs[%d]", i)
		if sc == nil {
			report(path, "the entry is empty")
			continue
		}
		if first, dup := jobs[sc.JobName]; dup && sc.JobName != "" {
			report(path+".job_name", fmt.Sprintf("%q is the name of scrape_configs[%d] already", sc.JobName, first))
		}
		jobs[sc.JobName] = i
		sc.check(path, report)
	}
	c.Nilometer.Storage.Retention.check("nilometer.storage.retention", report)
	c.Nilometer.Query.check("nilometer.query", report)
	c.Nilometer.Limits.check("nilometer.limits", report)
	if m := c.Nilometer.Storage.MemoryLimit; m < 0 || m > 0 && m < memoryLimitMin {
		report("nilometer.storage.memory_limit", fmt.Sprintf("%s is under the smallest, %s", m, memoryLimitMin))
	}
	if n := c.Nilometer.Scrape.JobConcurrencyMax; n < 0 || n > jobConcurrencyMax {
		report("nilometer.scrape.job_concurrency_max", fmt.Sprintf("%d is not between 0 (the default, 1000) and %d", n, jobConcurrencyMax))
	}
	if r := c.Nilometer.Storage.BlockRange; r != 0 && r < model.Duration(time.Second) {
		report("nilometer.storage.block_range", fmt.Sprintf("%s is under the smallest, 1s", r))
	}
}

func checkPatterns(path string, patterns []string, report func(path, text string)) {
	for i, f := range patterns {
		if strings.Contains(filepath.Dir(f), "*") {
			report(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%q has a pattern in a directory; only the last element may be one", f))
		}
	}
}

// checkStorage looks at Prometheus' section.
func (c *Config) checkStorage(report func(path, text string)) {
	const path = "storage.tsdb"
	for kind, encoding := range c.Storage.TSDB.ChunkEncoding {
		if kind != "floats" || encoding != "xor" && encoding != "xor2" {
			report(path+".chunk_encoding", fmt.Sprintf("%s: %s is neither floats: xor nor floats: xor2", kind, encoding))
		}
	}
	if r := c.Storage.TSDB.Retention; r.Percentage < 0 || r.Percentage > 100 {
		report(path+".retention.percentage", fmt.Sprintf("%v is not between 0 and 100", r.Percentage))
	}
	if v := c.Storage.TSDB.StaleSeriesCompactionThreshold; v < 0 || v > 1 {
		report(path+".stale_series_compaction_threshold", fmt.Sprintf("%v is not between 0 and 1", v))
	}
}

func (c *ScrapeConfig) check(path string, report func(path, text string)) {
	if c.JobName == "" {
		report(path+".job_name", "is missing: every job needs a name")
	}
	if c.ScrapeTimeout > c.ScrapeInterval {
		report(path+".scrape_timeout", fmt.Sprintf("%s is longer than the scrape interval %s", c.ScrapeTimeout, c.ScrapeInterval))
	}
	if c.Scheme != "http" && c.Scheme != "https" {
		report(path+".scheme", fmt.Sprintf("%q is neither http nor https", c.Scheme))
	}
	if err := c.HTTPClient.Validate(); err != nil {
		report(path, err.Error())
	}
	c.Exposition.check(path, report)
	if c.FallbackProtocol != "" {
		checkProtocol(path+".fallback_scrape_protocol", c.FallbackProtocol, report)
	}
	for i, rc := range c.RelabelConfigs {
		checkRelabel(fmt.Sprintf("%s.relabel_configs[%d]", path, i), rc, c.scheme(), report)
	}
	for i, rc := range c.MetricRelabelConfigs {
		checkRelabel(fmt.Sprintf("%s.metric_relabel_configs[%d]", path, i), rc, c.scheme(), report)
	}
	checkStatics(path, c.StaticConfigs, len(c.RelabelConfigs) > 0, report)
	checkFiles(path, c.FileSDConfigs, report)
}

func checkRelabel(path string, rc *relabel.Config, scheme model.ValidationScheme, report func(path, text string)) {
	if rc == nil {
		report(path, "the entry is empty")
		return
	}
	if err := rc.Validate(scheme); err != nil {
		report(path, err.Error())
	}
}

// checkStatics leaves targets alone where they are relabelled: rules may make a
// host of a URL.
func checkStatics(path string, configs []*StaticConfig, relabelled bool, report func(path, text string)) {
	for i, static := range configs {
		static.check(fmt.Sprintf("%s.static_configs[%d]", path, i), func(path, text string) {
			if !relabelled || !strings.HasSuffix(path, ".targets") {
				report(path, text)
			}
		})
	}
}

func (c *StaticConfig) check(path string, report func(path, text string)) {
	if c == nil {
		report(path, "the entry is empty")
		return
	}
	for name := range c.Labels {
		if !model.UTF8Validation.IsValidLabelName(name) {
			report(path+".labels", fmt.Sprintf("%q is not a valid label name", name))
		}
	}
	for _, target := range c.Targets {
		switch {
		case target == "":
			report(path+".targets", "a target is empty")
		case strings.Contains(target, "/"):
			report(path+".targets", fmt.Sprintf("%q is no host and port: a target has neither scheme nor path", target))
		}
	}
}
