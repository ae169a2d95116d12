package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/scrape"
)

// targetJSON is Prometheus' form of an active target, with our status beside
// its health.
type targetJSON struct {
	DiscoveredLabels   labels.Labels `json:"discoveredLabels"`
	Labels             labels.Labels `json:"labels"`
	ScrapePool         string        `json:"scrapePool"`
	ScrapeURL          string        `json:"scrapeUrl"`
	GlobalURL          string        `json:"globalUrl"`
	LastError          string        `json:"lastError"`
	LastScrape         time.Time     `json:"lastScrape"`
	LastScrapeDuration float64       `json:"lastScrapeDuration"`
	Health             string        `json:"health"`
	ScrapeInterval     string        `json:"scrapeInterval"`
	ScrapeTimeout      string        `json:"scrapeTimeout"`

	Status      string `json:"status"`
	LastWarning string `json:"lastWarning,omitempty"`
	LastSamples int    `json:"lastSamples"`
}

type droppedTargetJSON struct {
	DiscoveredLabels labels.Labels `json:"discoveredLabels"`
	ScrapePool       string        `json:"scrapePool"`
}

type targetsJSON struct {
	ActiveTargets       []targetJSON        `json:"activeTargets"`
	DroppedTargets      []droppedTargetJSON `json:"droppedTargets"`
	DroppedTargetCounts map[string]int      `json:"droppedTargetCounts"`

	DiscoveryProblems []discoveryProblemJSON `json:"discoveryProblems,omitempty"`
}

// discoveryProblemJSON is what keeps targets of a job from being found.
type discoveryProblemJSON struct {
	ScrapePool string `json:"scrapePool"`
	Source     string `json:"source"`
	Error      string `json:"error"`
}

// targets answers /api/v1/targets.
func (a *API) targets(r *http.Request) (answer, error) {
	state := r.FormValue("state")
	switch state {
	case "", "any", "active", "dropped":
	default:
		return answer{}, invalidParameter("state", fmt.Errorf("%q is none of active, dropped and any", state))
	}
	pool := r.FormValue("scrapePool")
	snap := a.deps.Targets.Targets()
	out := targetsJSON{ActiveTargets: []targetJSON{}, DroppedTargets: []droppedTargetJSON{}, DroppedTargetCounts: map[string]int{}}
	if state != "dropped" {
		for _, t := range snap.Active {
			if pool == "" || t.Pool == pool {
				out.ActiveTargets = append(out.ActiveTargets, activeTarget(t))
			}
		}
	}
	if state != "active" {
		for _, t := range snap.Dropped {
			if pool == "" || t.Pool == pool {
				out.DroppedTargets = append(out.DroppedTargets, droppedTargetJSON{t.Discovered, t.Pool})
			}
		}
	}
	for name, n := range snap.DroppedCount {
		if pool == "" || name == pool {
			out.DroppedTargetCounts[name] = n
		}
	}
	for _, p := range snap.Problems {
		if pool == "" || p.Job == pool {
			out.DiscoveryProblems = append(out.DiscoveryProblems, discoveryProblemJSON{p.Job, p.Source, p.Text})
		}
	}
	return answer{data: out}, nil
}

func activeTarget(t scrape.Target) targetJSON {
	return targetJSON{
		DiscoveredLabels:   t.Discovered,
		Labels:             t.Labels,
		ScrapePool:         t.Pool,
		ScrapeURL:          t.URL,
		GlobalURL:          globalURL(t.URL),
		LastError:          t.LastError,
		LastScrape:         t.LastScrape,
		LastScrapeDuration: t.LastDuration.Seconds(),
		Health:             string(t.Health),
		ScrapeInterval:     model.Duration(t.Interval).String(),
		ScrapeTimeout:      model.Duration(t.Timeout).String(),
		Status:             string(t.Status),
		LastWarning:        t.LastWarning,
		LastSamples:        t.LastSamples,
	}
}

// globalURL replaces a loopback host by this machine's name, so that the link
// works from elsewhere.
func globalURL(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return target
	}
	switch u.Hostname() {
	case "localhost", "127.0.0.1", "::1":
	default:
		return target
	}
	host, err := os.Hostname()
	if err != nil {
		return target
	}
	if port := u.Port(); port != "" {
		host += ":" + port
	}
	u.Host = host
	return u.String()
}

// countParam reads a number that bounds a result; -1 when there is none.
func countParam(r *http.Request, name string) (int, error) {
	s := r.FormValue(name)
	if s == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, badData(fmt.Errorf("%s must be a number", name))
	}
	return n, nil
}

type targetMetadataJSON struct {
	Target labels.Labels    `json:"target"`
	Metric string           `json:"metric,omitempty"`
	Type   model.MetricType `json:"type"`
	Help   string           `json:"help"`
	Unit   string           `json:"unit"`
}

// targetMetadata answers /api/v1/targets/metadata: what the targets that there
// are now have said, as in Prometheus; /api/v1/metadata also has what the store
// remembers.
func (a *API) targetMetadata(r *http.Request) (answer, error) {
	limit, err := countParam(r, "limit")
	if err != nil {
		return answer{}, err
	}
	var ms []*labels.Matcher
	if text := r.FormValue("match_target"); text != "" {
		if ms, err = a.parser.ParseMetricSelector(text); err != nil {
			return answer{}, invalidParameter("match_target", err)
		}
	}
	metric := r.FormValue("metric")
	out := []targetMetadataJSON{}
	var target scrape.TargetMetadata // the one before
	for _, m := range a.deps.Targets.Metadata(metric) {
		// As in Prometheus the limit ends the list at the end of a target.
		if limit >= 0 && len(out) >= limit && (len(out) == 0 || m.Pool != target.Pool || !labels.Equal(m.Labels, target.Labels)) {
			break
		}
		if !matches(m.Labels, ms) {
			continue
		}
		target = m
		entry := targetMetadataJSON{Target: m.Labels, Type: m.Type, Help: m.Help, Unit: m.Unit}
		if entry.Type == "" {
			entry.Type = model.MetricTypeUnknown
		}
		if metric == "" {
			entry.Metric = m.Family
		}
		out = append(out, entry)
	}
	return answer{data: out}, nil
}

func matches(lset labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(lset.Get(m.Name)) {
			return false
		}
	}
	return true
}

// scrapePools answers /api/v1/scrape_pools.
func (a *API) scrapePools(*http.Request) (answer, error) {
	pools := a.deps.Targets.Pools()
	if pools == nil {
		pools = []string{}
	}
	return answer{data: map[string][]string{"scrapePools": pools}}, nil
}
