package scrape

import (
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"

	"github.com/nilometer/nilometer/format/exposition"
)

// Protocol is a format in which targets show their metrics, by the name that it
// has in a configuration.
type Protocol string

// The protocols.
const (
	ProtocolProtobuf         Protocol = "PrometheusProto"
	ProtocolText004          Protocol = "PrometheusText0.0.4"
	ProtocolText100          Protocol = "PrometheusText1.0.0"
	ProtocolOpenMetricsText0 Protocol = "OpenMetricsText0.0.1"
	ProtocolOpenMetricsText1 Protocol = "OpenMetricsText1.0.0"
	// ProtocolOpenMetricsText2 may be asked for as Prometheus does; what comes in
	// it is read as the fallback, or not at all.
	ProtocolOpenMetricsText2 Protocol = "OpenMetricsText2.0.0"
)

// Escaping says how names are written that have other characters than
// letters, digits, underscores and colons.
type Escaping string

// The escaping schemes, as the Accept header has them.
const (
	EscapeNothing     Escaping = "allow-utf-8"
	EscapeUnderscores Escaping = "underscores"
	EscapeDots        Escaping = "dots"
	EscapeValues      Escaping = "values"
)

// DefaultProtocols are what targets are asked for: OpenMetrics before text, and
// protobuf before both where native histograms are wanted.
func DefaultProtocols(native bool) []Protocol {
	text := []Protocol{ProtocolOpenMetricsText1, ProtocolOpenMetricsText0, ProtocolText100, ProtocolText004}
	if native {
		return append([]Protocol{ProtocolProtobuf}, text...)
	}
	return text
}

// about is the media type with its parameters, what reads it, and whether it
// takes an escaping scheme.
func (p Protocol) about() (header string, f exposition.Format, escapes, ok bool) {
	switch p {
	case ProtocolProtobuf:
		return "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", exposition.Protobuf, false, true
	case ProtocolText004:
		return "text/plain;version=0.0.4", exposition.Text, false, true
	case ProtocolText100:
		return "text/plain;version=1.0.0", exposition.Text, true, true
	case ProtocolOpenMetricsText0:
		return "application/openmetrics-text;version=0.0.1", exposition.OpenMetrics, false, true
	case ProtocolOpenMetricsText1:
		return "application/openmetrics-text;version=1.0.0", exposition.OpenMetrics, true, true
	case ProtocolOpenMetricsText2:
		return "application/openmetrics-text;version=2.0.0", exposition.OpenMetrics, false, true
	}
	return "", 0, false, false
}

// Validate names the protocols there are when p is none.
func (p Protocol) Validate() error {
	if _, _, _, ok := p.about(); !ok {
		return fmt.Errorf("unknown protocol %q, known are %v and %s", p, DefaultProtocols(true), ProtocolOpenMetricsText2)
	}
	return nil
}

func (o *PoolOptions) validateProtocols() error {
	var errs []error
	if len(o.Protocols) == 0 {
		errs = append(errs, errors.New("the list of protocols is empty"))
	}
	for i, p := range o.Protocols {
		if err := p.Validate(); err != nil {
			errs = append(errs, err)
		}
		if slices.Contains(o.Protocols[:i], p) {
			errs = append(errs, fmt.Errorf("the protocol %s is named twice", p))
		}
	}
	if o.FallbackProtocol != "" {
		if err := o.FallbackProtocol.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("fallback: %w", err))
		}
	}
	switch o.Escaping {
	case EscapeNothing, EscapeUnderscores, EscapeDots, EscapeValues:
	default:
		errs = append(errs, fmt.Errorf("unknown escaping scheme %q", o.Escaping))
	}
	return errors.Join(errs...)
}

// accept is the Accept header: every protocol with a weight less than the one
// before, and anything else last. There are at most six: weights are one digit.
func (o *PoolOptions) accept() string {
	var parts []string
	weight := len(o.Protocols) + 1
	for _, p := range o.Protocols {
		header, _, escapes, _ := p.about()
		if escapes {
			header += ";escaping=" + string(o.Escaping)
		}
		parts = append(parts, fmt.Sprintf("%s;q=0.%d", header, weight))
		weight--
	}
	return strings.Join(append(parts, fmt.Sprintf("*/*;q=0.%d", weight)), ",")
}

// formatOf chooses what reads an answer. A Content-Type that is missing or
// unknown means the fallback, and fails without one.
func (o *PoolOptions) formatOf(contentType string) (exposition.Format, error) {
	media, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
	case media == "text/plain":
		return exposition.Text, nil
	case media == "application/openmetrics-text" && params["version"] != "2.0.0":
		return exposition.OpenMetrics, nil
	case media == "application/vnd.google.protobuf":
		return exposition.Protobuf, nil
	}
	if _, f, _, ok := o.FallbackProtocol.about(); ok {
		return f, nil
	}
	return 0, &typeError{contentType}
}

// typeError is an answer that nothing here reads.
type typeError struct{ contentType string }

// Error says what came, and the ways out.
func (e *typeError) Error() string {
	if e.contentType == "" {
		return "the answer has no Content-Type: let the target send one, or set fallback_scrape_protocol"
	}
	return fmt.Sprintf("the answer has the Content-Type %q, which is no exposition: correct the target, or set fallback_scrape_protocol", e.contentType)
}
