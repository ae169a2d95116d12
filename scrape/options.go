package scrape

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/discovery"
)

// Defaults and bounds of PoolOptions.
const (
	IntervalDefault    = time.Minute
	TimeoutDefault     = 10 * time.Second
	IntervalMin        = 10 * time.Millisecond
	PathDefault        = "/metrics"
	SchemeDefault      = "http"
	BodySizeMaxDefault = 256 << 20 // bytes, uncompressed
	ConcurrencyDefault = 1000      // scrapes of one pool under way
	jobLengthMax       = 128       // bytes, what the metadata database takes
)

// Source is a target inside the process. It is compared by == to tell whether
// a pool has changed, so implementations are pointers.
type Source interface {
	// AppendMetrics appends an exposition in the text format 0.0.4 to dst and
	// returns it. On an error the scrape fails, whatever was appended. Calls
	// for one target do not overlap.
	AppendMetrics(ctx context.Context, dst []byte) ([]byte, error)
}

// PoolOptions says what a scrape pool (a job) scrapes and how. Only Job and a
// way to find targets are needed; the zero value of every other field is its
// default.
type PoolOptions struct {
	// Job is the pool's name and the "job" label: 1 to 128 bytes, unique.
	Job string
	// Discovery says where the targets come from.
	Discovery discovery.Options
	// Source, when not nil, answers the scrapes of every target of the pool in
	// place of HTTP. Its targets are scraped at once when the pool starts.
	Source Source

	// Interval between scrapes, at least 10 ms. Default 1 m.
	Interval time.Duration
	// Timeout of one scrape, at most Interval. Default 10 s, or Interval when
	// that is shorter.
	Timeout time.Duration
	// Scheme is "http" or "https" (anything with a Source). Default "http".
	Scheme string
	// Path of the target's URL. Default "/metrics".
	Path string
	// Params of the target's URL.
	Params url.Values
	// HTTPClient configures TLS, authentication, proxies and redirects; nil
	// means commonconfig.DefaultHTTPClientConfig.
	HTTPClient *commonconfig.HTTPClientConfig
	// DisableCompression asks for bodies as they are.
	DisableCompression bool
	// Protocols are the formats that targets are asked for, the best first; nil
	// means DefaultProtocols.
	Protocols []Protocol
	// FallbackProtocol is what an answer is read as whose Content-Type is
	// missing or none of a format that is read; empty: such a scrape fails.
	FallbackProtocol Protocol
	// Escaping asks targets to write names that are UTF-8 beyond the classic
	// characters in another way; the zero value asks for them as they are.
	Escaping Escaping
	// LegacyNames fails a scrape with a name of other than the classic
	// characters.
	LegacyNames bool

	// Relabel rewrites targets before they are scraped, MetricRelabel samples
	// before they are stored.
	Relabel       []*relabel.Config
	MetricRelabel []*relabel.Config
	// HonorLabels keeps an exposed label that has the name of one of the
	// target's; otherwise it is renamed to exported_….
	HonorLabels bool
	// IgnoreTimestamps stores every sample at the scrape's time, even when it
	// has a timestamp of its own (honor_timestamps: false).
	IgnoreTimestamps bool
	// TrackTimestamps marks series with timestamps of their own stale, too, when
	// they vanish from the body or the scrape fails.
	TrackTimestamps bool
	// ExtraMetrics adds to the report what the options of the scrape are, and
	// the body's size.
	ExtraMetrics bool

	// HistogramOptions hold for every target that does not say otherwise by the
	// labels __scrape_native_histograms__, __convert_classic_histograms_to_nhcb__
	// and __always_scrape_classic_histograms__.
	HistogramOptions
	// StartTimestamps stores the start timestamps of protobuf, and takes the
	// samples _created of OpenMetrics for them instead of storing them.
	StartTimestamps bool
	// BucketMax lowers the resolution of native histograms until they have at
	// most so many buckets, and fails a scrape where that is not enough; 0: no
	// limit.
	BucketMax int
	// BucketFactorMin lowers the resolution of native histograms until one
	// bucket is at least so many times as wide as the one before; up to 1: as
	// they come.
	BucketFactorMin float64

	// SampleMax fails a scrape with more samples after relabelling; 0: no limit.
	SampleMax int
	// LabelMax, LabelNameSizeMax (bytes) and LabelValueSizeMax (bytes) fail a
	// scrape with a label set over them, after relabelling; 0: no limit.
	LabelMax          int
	LabelNameSizeMax  int
	LabelValueSizeMax int
	// BodySizeMax fails a scrape with a larger body (bytes, uncompressed); 0
	// means 256 MiB.
	BodySizeMax int64
	// ConcurrencyMax bounds the scrapes of the pool that are under way; a
	// target that finds no place until its deadline fails. 0 means 1,000.
	ConcurrencyMax int
	// TargetMax fails all scrapes of the pool while it has more targets; 0: no
	// limit.
	TargetMax int
	// FailureLog is the path of a file that gets a line of JSON for every scrape
	// that fails; empty: none is written. Apply opens it anew.
	FailureLog string
	// DroppedTargetsMax bounds the dropped targets kept for showing; 0: all.
	DroppedTargetsMax int
}

// HistogramOptions say in which form histograms are stored.
type HistogramOptions struct {
	// NativeHistograms stores the native histograms of protobuf; without it
	// their classic parts are.
	NativeHistograms bool
	// CustomHistograms converts classic histograms to native ones with custom
	// buckets.
	CustomHistograms bool
	// ClassicHistograms keeps the classic parts of native and converted
	// histograms beside them.
	ClassicHistograms bool
}

func (o PoolOptions) withDefaults() PoolOptions {
	if o.Interval == 0 {
		o.Interval = IntervalDefault
	}
	if o.Timeout == 0 {
		o.Timeout = min(TimeoutDefault, o.Interval)
	}
	if o.Scheme == "" {
		o.Scheme = SchemeDefault
	}
	if o.Path == "" {
		o.Path = PathDefault
	}
	if o.HTTPClient == nil {
		c := commonconfig.DefaultHTTPClientConfig
		o.HTTPClient = &c
	}
	if o.Protocols == nil {
		o.Protocols = DefaultProtocols(o.NativeHistograms)
	}
	if o.Escaping == "" {
		o.Escaping = EscapeNothing
	}
	if o.BodySizeMax == 0 {
		o.BodySizeMax = BodySizeMaxDefault
	}
	if o.ConcurrencyMax == 0 {
		o.ConcurrencyMax = ConcurrencyDefault
	}
	return o
}

// Validate reports every problem of o at once.
func (o PoolOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.Job == "" || len(o.Job) > jobLengthMax {
		add("job name %q has %d bytes, 1 to %d are allowed", o.Job, len(o.Job), jobLengthMax)
	}
	if o.Interval < IntervalMin {
		add("interval %s is under the smallest, %s", o.Interval, IntervalMin)
	}
	if o.Timeout <= 0 || o.Timeout > o.Interval {
		add("timeout %s is not between 0 and the interval %s", o.Timeout, o.Interval)
	}
	if o.Source == nil && o.Scheme != "http" && o.Scheme != "https" {
		add("scheme %q is neither http nor https", o.Scheme)
	}
	if o.SampleMax < 0 || o.LabelMax < 0 || o.LabelNameSizeMax < 0 || o.LabelValueSizeMax < 0 ||
		o.BodySizeMax < 0 || o.ConcurrencyMax < 0 || o.DroppedTargetsMax < 0 || o.BucketMax < 0 || o.TargetMax < 0 {
		add("a limit is negative; 0 means no limit or the default")
	}
	if err := o.validateProtocols(); err != nil {
		errs = append(errs, err)
	}
	if err := o.HTTPClient.Validate(); err != nil {
		add("http client: %w", err)
	}
	for _, list := range [][]*relabel.Config{o.Relabel, o.MetricRelabel} {
		for i, rc := range list {
			if rc == nil {
				add("relabel rule %d is empty", i)
			}
		}
	}
	if err := o.Discovery.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// same tells whether the loops of a pool with options o serve p as they are:
// everything but discovery, whose changes reach a pool as targets.
func (o PoolOptions) same(p PoolOptions) bool {
	if o.Source != p.Source {
		return false
	}
	o.Source, p.Source = nil, nil
	o.Discovery, p.Discovery = discovery.Options{}, discovery.Options{}
	return reflect.DeepEqual(o, p)
}
