package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
)

// Exposition holds the keys about how targets show their metrics and what is
// taken of them. They stand in global and in every job; a job's own win.
type Exposition struct {
	// ScrapeProtocols are asked for in this order; empty in a loaded
	// configuration never.
	ScrapeProtocols []string `yaml:"scrape_protocols"`
	// ScrapeNativeHistograms and the keys below it are nil where the file says
	// nothing; in a job of a loaded configuration never.
	ScrapeNativeHistograms *bool `yaml:"scrape_native_histograms"`
	ConvertClassic         *bool `yaml:"convert_classic_histograms_to_nhcb"`
	AlwaysScrapeClassic    *bool `yaml:"always_scrape_classic_histograms"`
	// ValidationScheme is "utf8" or "legacy", EscapingScheme as the Accept
	// header has it.
	ValidationScheme string `yaml:"metric_name_validation_scheme"`
	EscapingScheme   string `yaml:"metric_name_escaping_scheme"`
}

// The values of metric_name_validation_scheme.
const (
	validationUTF8   = "utf8"
	validationLegacy = "legacy"
)

// LegacyNames tells whether names are held to the classic characters.
func (e *Exposition) LegacyNames() bool { return e.ValidationScheme == validationLegacy }

func (e *Exposition) scheme() model.ValidationScheme {
	if e.LegacyNames() {
		return model.LegacyValidation
	}
	return model.UTF8Validation
}

func protocolNames() []string {
	return append(defaultProtocols(false), "PrometheusProto", "OpenMetricsText2.0.0")
}

// defaultProtocols are the text formats, after protobuf where what only it has
// is wanted.
func defaultProtocols(protobuf bool) []string {
	text := []string{"OpenMetricsText1.0.0", "OpenMetricsText0.0.1", "PrometheusText1.0.0", "PrometheusText0.0.4"}
	if protobuf {
		return append([]string{"PrometheusProto"}, text...)
	}
	return text
}

func escapingSchemes() []string {
	return []string{model.AllowUTF8, model.EscapeUnderscores, model.EscapeDots, model.EscapeValues}
}

// inherit takes over the global values of keys that the job leaves out, and
// then the defaults.
func (e *Exposition) inherit(g *Exposition) {
	inheritFlag(&e.ScrapeNativeHistograms, g.ScrapeNativeHistograms)
	inheritFlag(&e.ConvertClassic, g.ConvertClassic)
	inheritFlag(&e.AlwaysScrapeClassic, g.AlwaysScrapeClassic)
	if e.ScrapeProtocols == nil {
		e.ScrapeProtocols = g.ScrapeProtocols
	}
	if e.ScrapeProtocols == nil {
		e.ScrapeProtocols = defaultProtocols(*e.ScrapeNativeHistograms)
	}
	own := e.ValidationScheme != ""
	inheritValue(&e.ValidationScheme, g.ValidationScheme)
	inheritValue(&e.ValidationScheme, validationUTF8)
	if !own {
		inheritValue(&e.EscapingScheme, g.EscapingScheme)
	}
	if e.EscapingScheme == "" {
		e.EscapingScheme = model.AllowUTF8
		if e.LegacyNames() {
			e.EscapingScheme = model.EscapeUnderscores
		}
	}
}

func inheritFlag(v **bool, global *bool) {
	if *v == nil {
		*v = global
	}
	if *v == nil {
		*v = new(bool)
	}
}

// check reports wrong values of the keys. The job's scheme decides what it may
// ask for; global keys are only held to what they may say.
func (e *Exposition) check(path string, report func(path, text string)) {
	if e.ScrapeProtocols != nil && len(e.ScrapeProtocols) == 0 {
		report(path+".scrape_protocols", "is empty: name at least one, or leave the key out")
	}
	for i, p := range e.ScrapeProtocols {
		at := fmt.Sprintf("%s.scrape_protocols[%d]", path, i)
		checkProtocol(at, p, report)
		if slices.ContainsFunc(e.ScrapeProtocols[:i], func(before string) bool { return strings.EqualFold(p, before) }) {
			report(at, fmt.Sprintf("%q is named twice", p))
		}
	}
	switch e.ValidationScheme {
	case "", validationUTF8, validationLegacy:
	default:
		report(path+".metric_name_validation_scheme", fmt.Sprintf("%q is neither utf8 nor legacy", e.ValidationScheme))
	}
	switch {
	case e.EscapingScheme == "":
	case !slices.Contains(escapingSchemes(), e.EscapingScheme):
		report(path+".metric_name_escaping_scheme", fmt.Sprintf("%q is none of %v", e.EscapingScheme, escapingSchemes()))
	case e.EscapingScheme == model.AllowUTF8 && e.LegacyNames():
		report(path+".metric_name_escaping_scheme", "asks for UTF-8 names, which metric_name_validation_scheme: legacy refuses")
	}
}

func checkProtocol(path, p string, report func(path, text string)) {
	if !slices.Contains(protocolNames(), p) {
		report(path, fmt.Sprintf("%q is none of the protocols: %v", p, protocolNames()))
	}
}
