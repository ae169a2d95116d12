package scrape

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/discovery"
)

// spec is a target as discovery and relabelling made it. It never changes.
type spec struct {
	labels            labels.Labels // public ones, on every sample
	discovered        labels.Labels
	url               string
	interval, timeout time.Duration
	histograms        HistogramOptions
	socket            string // of a target behind a Unix socket; empty for all others
}

// Labels by which relabelling chooses the form of a target's histograms.
const (
	nativeLabel  = "__scrape_native_histograms__"
	customLabel  = "__convert_classic_histograms_to_nhcb__"
	classicLabel = "__always_scrape_classic_histograms__"
)

// socketLabel is the path of the Unix socket that a target listens on, in place
// of its address.
const socketLabel = "__unix_socket__"

// same tells whether a loop for s serves t as it is, where their keys are one.
func (s *spec) same(t *spec) bool {
	return s.interval == t.interval && s.timeout == t.timeout && s.histograms == t.histograms
}

// key tells targets of a pool apart.
func (s *spec) key() string { return s.url + "\xff" + s.labels.String() + s.socket }

// phaseStep is the finest that targets are spread: those of one step are scraped
// together, which spares most of them the price of waking the process.
const phaseStep = 100 * time.Millisecond

// phase is where in its interval the target is scraped: a hash spreads the
// targets, the same way after every start, in steps of at most a hundredth of the
// interval.
func (s *spec) phase() time.Duration {
	h := fnv.New64a()
	h.Write([]byte(s.key()))
	step := uint64(min(phaseStep, s.interval/100))
	return time.Duration(h.Sum64() % (uint64(s.interval) / step) * step)
}

// found is what one pool's discovery comes to.
type found struct {
	specs   []*spec
	dropped []labels.Labels
	// bad are targets that cannot be scraped.
	bad []discovery.Problem
}

// specsOf makes targets of groups: labels of the target, the group and the
// pool, relabelled and checked. Of equal targets one is kept.
func specsOf(o *PoolOptions, groups []discovery.Group) found {
	var f found
	lb := labels.NewBuilder(labels.EmptyLabels())
	seen := map[string]bool{}
	for _, g := range groups {
		for _, t := range g.Targets {
			discovered := discoveredLabels(lb, o, t, g.Labels)
			s, err := specOf(lb, o, discovered)
			switch {
			case err != nil:
				f.bad = append(f.bad, discovery.Problem{Job: o.Job, Source: discovered.Get(model.AddressLabel), Text: err.Error()})
			case s == nil:
				f.dropped = append(f.dropped, discovered)
			case !seen[s.key()]:
				seen[s.key()] = true
				f.specs = append(f.specs, s)
			}
		}
	}
	return f
}

// discoveredLabels is what relabelling begins with.
func discoveredLabels(lb *labels.Builder, o *PoolOptions, target, group labels.Labels) labels.Labels {
	lb.Reset(target)
	add := func(name, v string) {
		if lb.Get(name) == "" {
			lb.Set(name, v)
		}
	}
	group.Range(func(l labels.Label) {
		if !target.Has(l.Name) {
			lb.Set(l.Name, l.Value)
		}
	})
	add(model.JobLabel, o.Job)
	add(model.ScrapeIntervalLabel, model.Duration(o.Interval).String())
	add(model.ScrapeTimeoutLabel, model.Duration(o.Timeout).String())
	add(model.MetricsPathLabel, o.Path)
	add(model.SchemeLabel, o.Scheme)
	add(nativeLabel, strconv.FormatBool(o.NativeHistograms))
	add(customLabel, strconv.FormatBool(o.CustomHistograms))
	add(classicLabel, strconv.FormatBool(o.ClassicHistograms))
	for name, values := range o.Params {
		if len(values) > 0 {
			add(model.ParamLabelPrefix+name, values[0])
		}
	}
	return lb.Labels()
}

// specOf relabels and checks one target; nil without an error when relabelling
// dropped it.
func specOf(lb *labels.Builder, o *PoolOptions, discovered labels.Labels) (*spec, error) {
	lb.Reset(discovered)
	if !relabel.ProcessBuilder(lb, o.Relabel...) {
		return nil, nil
	}
	address := lb.Get(model.AddressLabel)
	if address == "" {
		return nil, errors.New("the target has no address")
	}
	if o.Source == nil && strings.Contains(address, "/") {
		return nil, fmt.Errorf("the address %q is no host or host:port", address)
	}
	s := &spec{discovered: discovered}
	var err error
	if s.interval, s.timeout, err = timing(lb); err != nil {
		return nil, err
	}
	if s.histograms, err = histogramsOf(lb, o); err != nil {
		return nil, err
	}
	s.socket = lb.Get(socketLabel)
	if lb.Get(model.InstanceLabel) == "" {
		lb.Set(model.InstanceLabel, address)
	}
	all := lb.Labels()
	s.url = targetURL(o, all, address)
	lb.Range(func(l labels.Label) {
		if strings.HasPrefix(l.Name, model.ReservedLabelPrefix) {
			lb.Del(l.Name)
		}
	})
	s.labels = lb.Labels()
	return s, s.labels.Validate(func(l labels.Label) error {
		if !model.UTF8Validation.IsValidLabelName(l.Name) || !model.LabelValue(l.Value).IsValid() {
			return fmt.Errorf("the label %q=%q is not valid UTF-8", l.Name, l.Value)
		}
		return nil
	})
}

// timing reads interval and timeout, which relabelling may have set.
func timing(lb *labels.Builder) (interval, timeout time.Duration, err error) {
	parse := func(label string) (time.Duration, error) {
		d, err := model.ParseDuration(lb.Get(label))
		if err != nil {
			return 0, fmt.Errorf("the label %s: %w", label, err)
		}
		return time.Duration(d), nil
	}
	if interval, err = parse(model.ScrapeIntervalLabel); err != nil {
		return 0, 0, err
	}
	if timeout, err = parse(model.ScrapeTimeoutLabel); err != nil {
		return 0, 0, err
	}
	if interval < IntervalMin || timeout <= 0 || timeout > interval {
		return 0, 0, fmt.Errorf("interval %s and timeout %s: the interval is at least %s, the timeout above 0 and at most the interval",
			interval, timeout, IntervalMin)
	}
	return interval, timeout, nil
}

// histogramsOf reads the form of histograms, which relabelling may have set. A
// label that it removed leaves the pool's.
func histogramsOf(lb *labels.Builder, o *PoolOptions) (h HistogramOptions, err error) {
	h = o.HistogramOptions
	for _, l := range []struct {
		label string
		to    *bool
	}{{nativeLabel, &h.NativeHistograms}, {customLabel, &h.CustomHistograms}, {classicLabel, &h.ClassicHistograms}} {
		v := lb.Get(l.label)
		if v == "" {
			continue
		}
		if *l.to, err = strconv.ParseBool(v); err != nil {
			return h, fmt.Errorf("the label %s is %q, neither true nor false", l.label, v)
		}
	}
	return h, nil
}

func targetURL(o *PoolOptions, all labels.Labels, address string) string {
	params := url.Values{}
	for name, values := range o.Params {
		params[name] = slices.Clone(values)
	}
	all.Range(func(l labels.Label) {
		name, ok := strings.CutPrefix(l.Name, model.ParamLabelPrefix)
		if !ok {
			return
		}
		if len(params[name]) > 0 {
			params[name][0] = l.Value
		} else {
			params[name] = []string{l.Value}
		}
	})
	u := url.URL{
		Scheme: all.Get(model.SchemeLabel), Host: address,
		Path: all.Get(model.MetricsPathLabel), RawQuery: params.Encode(),
	}
	return u.String()
}
