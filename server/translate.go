package server

import (
	"net"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/config"
	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/discovery/file"
	"github.com/nilometer/nilometer/rules"
	"github.com/nilometer/nilometer/scrape"
)

// The jobs of the targets inside the process.
const (
	selfJob = "nilometer"
	hostJob = "host"
)

// builtinScheme is the scheme in the URL of a target that only this process
// can scrape.
const builtinScheme = "builtin"

// pools translates a configuration into the scrape pools that it asks for.
func (s *server) pools(c *config.Config) []scrape.PoolOptions {
	var out []scrape.PoolOptions
	interval, timeout := time.Duration(c.Global.ScrapeInterval), time.Duration(c.Global.ScrapeTimeout)
	inside := func(job, scheme, address string, source scrape.Source) {
		out = append(out, scrape.PoolOptions{
			Job: job, Source: source, Scheme: scheme, Interval: interval, Timeout: timeout,
			Discovery: discovery.Options{Static: []discovery.Group{discovery.StaticGroup([]string{address}, labels.EmptyLabels())}},
		})
	}
	if c.Nilometer.SelfScrape {
		inside(selfJob, "http", s.listener.Addr().String(), s.self)
	}
	if c.Nilometer.HostCollector {
		inside(hostJob, builtinScheme, s.hostname, s.host)
	}
	for _, sc := range c.ScrapeConfigs {
		o := pool(sc)
		o.ConcurrencyMax = c.Nilometer.Scrape.JobConcurrencyMax
		o.StartTimestamps = c.Nilometer.Scrape.StartTimestamps
		applyScrapeFeatures(&o, s.opts.Features)
		out = append(out, o)
	}
	return out
}

func pool(sc *config.ScrapeConfig) scrape.PoolOptions {
	client := sc.HTTPClient
	return scrape.PoolOptions{
		Job: sc.JobName, Discovery: discoveryOptions(sc.StaticConfigs, sc.FileSDConfigs, sc.Discovery),
		Interval: time.Duration(sc.ScrapeInterval), Timeout: time.Duration(sc.ScrapeTimeout),
		Scheme: sc.Scheme, Path: sc.MetricsPath, Params: url.Values(sc.Params), HTTPClient: &client,
		DisableCompression: !sc.EnableCompression, HonorLabels: sc.HonorLabels, IgnoreTimestamps: !sc.HonorTimestamps,
		Protocols: protocols(sc.ScrapeProtocols), FallbackProtocol: scrape.Protocol(sc.FallbackProtocol),
		Escaping: scrape.Escaping(sc.EscapingScheme), LegacyNames: sc.LegacyNames(),
		HistogramOptions: scrape.HistogramOptions{
			NativeHistograms: *sc.ScrapeNativeHistograms, CustomHistograms: *sc.ConvertClassic, ClassicHistograms: *sc.AlwaysScrapeClassic,
		},
		TrackTimestamps: sc.TrackTimestamps, ExtraMetrics: *sc.ExtraScrapeMetrics, TargetMax: int(sc.TargetLimit), FailureLog: sc.FailureLogFile,
		BucketMax: int(sc.BucketLimit), BucketFactorMin: sc.MinBucketFactor,
		Relabel: sc.RelabelConfigs, MetricRelabel: sc.MetricRelabelConfigs,
		SampleMax: int(sc.SampleLimit), LabelMax: int(sc.LabelLimit), LabelNameSizeMax: int(sc.LabelNameLength),
		LabelValueSizeMax: int(sc.LabelValueLength), BodySizeMax: int64(sc.BodySizeLimit), DroppedTargetsMax: int(sc.KeepDroppedTargets),
	}
}

func protocols(names []string) []scrape.Protocol {
	out := make([]scrape.Protocol, len(names))
	for i, name := range names {
		out[i] = scrape.Protocol(name)
	}
	return out
}

func discoveryOptions(static []*config.StaticConfig, files []*config.FileSDConfig, others []discovery.Config) discovery.Options {
	out := discovery.Options{Others: others}
	for _, static := range static {
		out.Static = append(out.Static, discovery.StaticGroup(static.Targets, labels.FromMap(static.Labels)))
	}
	for _, sd := range files {
		out.File = append(out.File, file.Options{Files: sd.Files, RefreshInterval: time.Duration(sd.RefreshInterval)})
	}
	return out
}

// ruleOptions translates what rule groups share.
func (s *server) ruleOptions(c *config.Config) rules.Options {
	return rules.Options{
		Interval: time.Duration(c.Global.EvaluationInterval), QueryOffset: time.Duration(c.Global.RuleQueryOffset),
		ExternalURL: s.externalURL, ExternalLabels: c.Global.ExternalLabels,
	}
}

// externalURL is what users type: the flag, or the listener's address with the
// machine's name where it listens everywhere.
func externalURL(flag string, addr net.Addr) (*url.URL, error) {
	if flag == "" {
		host, port, err := net.SplitHostPort(addr.String())
		if err != nil {
			return nil, err
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			if name, err := os.Hostname(); err == nil {
				host = name
			}
		}
		return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}, nil
	}
	return parseExternalURL(flag)
}
