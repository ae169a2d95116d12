package config

import (
	"fmt"
	"slices"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
)

// Runtime is Prometheus' section about the process.
type Runtime struct {
	// GoGC is how much garbage may grow beside what lives, in percent; negative:
	// without bound but the memory limit; 0: the server's own pace.
	GoGC     int    `yaml:"gogc"`
	LogLevel string `yaml:"log_level"`
}

func (r *Runtime) check(path string, report func(path, text string)) {
	if r.LogLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(r.LogLevel)) {
		report(path+".log_level", fmt.Sprintf("%q is none of debug, info, warn, error", r.LogLevel))
	}
}

// Exemplars is Prometheus' section about them.
type Exemplars struct {
	Max int64 `yaml:"max_exemplars"`
}

// Tracing is where Prometheus would send spans of its own work to.
type Tracing struct {
	ClientType       string                 `yaml:"client_type"`
	Endpoint         string                 `yaml:"endpoint"`
	SamplingFraction float64                `yaml:"sampling_fraction"`
	Insecure         bool                   `yaml:"insecure"`
	TLS              commonconfig.TLSConfig `yaml:"tls_config"`
	Headers          map[string]string      `yaml:"headers"`
	Compression      string                 `yaml:"compression"`
	Timeout          model.Duration         `yaml:"timeout"`
}

func (t *Tracing) setDefaults() { t.ClientType = "grpc" }

func (t *Tracing) check(path string, report func(path, text string)) {
	if t.ClientType != "grpc" && t.ClientType != "http" {
		report(path+".client_type", fmt.Sprintf("%q is neither grpc nor http", t.ClientType))
	}
	if t.Endpoint == "" {
		report(path+".endpoint", "is missing")
	}
	if t.Compression != "" && t.Compression != "gzip" {
		report(path+".compression", fmt.Sprintf("%q is not gzip", t.Compression))
	}
	checkHeaders(path, t.Headers, report)
}

// OTLP says how Prometheus would translate what it is pushed by OTLP.
type OTLP struct {
	PromoteAll          bool     `yaml:"promote_all_resource_attributes"`
	Promote             []string `yaml:"promote_resource_attributes"`
	Ignore              []string `yaml:"ignore_resource_attributes"`
	TranslationStrategy string   `yaml:"translation_strategy"`

	KeepIdentifying         bool `yaml:"keep_identifying_resource_attributes"`
	ConvertHistograms       bool `yaml:"convert_histograms_to_nhcb"`
	PromoteScope            bool `yaml:"promote_scope_metadata"`
	UnderscoreSanitization  bool `yaml:"label_name_underscore_sanitization"`
	PreserveManyUnderscores bool `yaml:"label_name_preserve_multiple_underscores"`
}

func (o *OTLP) check(path string, scheme model.ValidationScheme, report func(path, text string)) {
	switch o.TranslationStrategy {
	case "", "UnderscoreEscapingWithSuffixes", "UnderscoreEscapingWithoutSuffixes":
	case "NoTranslation", "NoUTF8EscapingWithSuffixes":
		if scheme == model.LegacyValidation {
			report(path+".translation_strategy", o.TranslationStrategy+" makes names that metric_name_validation_scheme: legacy refuses")
		}
	default:
		report(path+".translation_strategy", fmt.Sprintf("%q is no strategy", o.TranslationStrategy))
	}
	switch {
	case o.PromoteAll && len(o.Promote) > 0:
		report(path, "promote_all_resource_attributes leaves nothing to promote_resource_attributes")
	case !o.PromoteAll && len(o.Ignore) > 0:
		report(path+".ignore_resource_attributes", "means something only with promote_all_resource_attributes")
	}
	checkAttributes(path+".promote_resource_attributes", o.Promote, report)
	checkAttributes(path+".ignore_resource_attributes", o.Ignore, report)
}

func checkAttributes(path string, attributes []string, report func(path, text string)) {
	seen := map[string]bool{}
	for _, a := range attributes {
		a = strings.TrimSpace(a)
		switch {
		case a == "":
			report(path, "an attribute is empty")
		case seen[a]:
			report(path, fmt.Sprintf("%q stands there twice", a))
		}
		seen[a] = true
	}
}
