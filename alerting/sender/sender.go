// Package sender sends alerts to Alertmanagers outside of the process, as the
// section alerting of a prometheus.yml says it.
//
// It owns the finding of the Alertmanagers, what alerts look like to them
// (external labels, relabelling), and one queue and goroutine for each.
//
// Invariants:
//
//   - I1: Put never waits: a full queue loses its oldest alerts, counted. Who
//     evaluates rules hands over again what still fires.
//   - I2: each Alertmanager gets alerts in the order of Put; one that is slow or
//     away delays no other. What it cannot take now is tried again.
//   - I3: Apply is a diff: the same options leave everything as it is, and an
//     Alertmanager that stays keeps its queue and the request under way. One that
//     is not found again gets what waited for leaveMax, then it is lost, counted.
package sender

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/alerting"
	"github.com/nilometer/nilometer/discovery"
)

// Options say which Alertmanagers get alerts. The zero value sends nothing.
type Options struct {
	// ExternalLabels are added to alerts that do not have them.
	ExternalLabels labels.Labels
	// AlertRelabel is applied to all alerts, before a group's own.
	AlertRelabel []*relabel.Config
	Groups       []Group
}

// Group are Alertmanagers that are found and talked to in one way.
type Group struct {
	Discovery discovery.Options
	// Relabel is applied to the labels of a found Alertmanager: __address__,
	// __scheme__ and __alerts_path__ are where alerts go.
	Relabel []*relabel.Config
	// AlertRelabel is applied to the alerts for this group.
	AlertRelabel       []*relabel.Config
	Scheme, PathPrefix string
	// Timeout bounds one request.
	Timeout    time.Duration
	HTTPClient commonconfig.HTTPClientConfig
}

// Deps are what a Sender works with.
type Deps struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	UserAgent  string
}

// Sender sends alerts. Its methods are safe for concurrent use.
type Sender struct {
	deps    Deps
	found   *discovery.Manager
	metrics *metrics
	wg      sync.WaitGroup // of loops
	applied chan struct{}  // at most one pending: Run looks again

	mu      sync.Mutex // guards what follows
	options Options
	clients []*http.Client     // of the groups
	loops   []map[string]*loop // of the groups, by URL
	leaving []*loop            // of earlier options, until their URL is found or leaveAt
	leaveAt time.Time
	dropped []string        // URLs that relabelling dropped, sorted
	ctx     context.Context // of Run; nil before it
	ended   bool
}

// leaveMax is how long what waited for an Alertmanager of earlier options may
// still be sent there: a discovery that starts anew finds it within seconds.
const leaveMax = 10 * time.Second

// New returns a Sender that sends nothing until Apply and Run.
func New(deps Deps) (*Sender, error) {
	s := &Sender{deps: deps, applied: make(chan struct{}, 1)}
	var err error
	// Its metrics have the names of those of scraping: they stay by themselves.
	if s.found, err = discovery.NewManager(deps.Logger, nil); err != nil {
		return nil, fmt.Errorf("discovery of Alertmanagers: %w", err)
	}
	if s.metrics, err = newMetrics(deps.Registerer, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Run sends until ctx ends, and then, within a few seconds, what still waits.
func (s *Sender) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	before := slices.Clone(s.leaving) // of what was found before
	for _, group := range s.loops {
		before = slices.AppendSeq(before, maps.Values(group))
	}
	for _, l := range before {
		s.wg.Go(func() { l.run(ctx) })
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = s.found.Run(ctx) })
	for ctx.Err() == nil {
		var leave <-chan time.Time
		if wait := s.sync(); wait > 0 {
			leave = time.After(wait)
		}
		select {
		case <-s.found.Changed():
		case <-s.applied:
		case <-leave:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	s.mu.Lock()
	s.ended = true // no loop starts after this
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// Apply makes these the options (I3). On an error nothing has changed.
func (s *Sender) Apply(o Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reflect.DeepEqual(o, s.options) {
		return nil
	}
	clients := make([]*http.Client, len(o.Groups))
	jobs := map[string]discovery.Options{}
	for i, g := range o.Groups {
		var err error
		if clients[i], err = commonconfig.NewClientFromConfig(g.HTTPClient, "alertmanager"); err != nil {
			return fmt.Errorf("HTTP client of alerting.alertmanagers[%d]: %w", i, err)
		}
		jobs[strconv.Itoa(i)] = g.Discovery
	}
	if err := s.found.Apply(jobs); err != nil {
		return fmt.Errorf("discovery of Alertmanagers: %w", err)
	}
	for _, group := range s.loops {
		s.leaving = slices.AppendSeq(s.leaving, maps.Values(group))
	}
	s.leaveAt = time.Now().Add(leaveMax)
	s.options, s.clients = o, clients
	s.loops = make([]map[string]*loop, len(o.Groups))
	s.syncLocked()
	select {
	case s.applied <- struct{}{}:
	default:
	}
	return nil
}

// sync starts loops of Alertmanagers that are new, and ends those of gone ones.
// It returns when it must be called again at the latest; 0: never.
func (s *Sender) sync() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncLocked()
	if len(s.leaving) == 0 {
		return 0
	}
	return max(time.Until(s.leaveAt), time.Millisecond)
}

// syncLocked takes over loops of earlier options for equal URLs.
func (s *Sender) syncLocked() {
	found := s.found.Groups()
	if s.ended {
		return
	}
	s.dropped = nil
	for i, g := range s.options.Groups {
		urls, dropped := g.endpoints(found[strconv.Itoa(i)])
		s.dropped = append(s.dropped, dropped...)
		if s.loops[i] == nil {
			s.loops[i] = map[string]*loop{}
		}
		for url, l := range s.loops[i] {
			if !slices.Contains(urls, url) {
				l.end()
				delete(s.loops[i], url)
			}
		}
		for _, url := range urls {
			if s.loops[i][url] == nil {
				s.loops[i][url] = s.loopLocked(i, url)
			}
		}
	}
	slices.Sort(s.dropped)
	s.dropped = slices.Compact(s.dropped)
	if !time.Now().Before(s.leaveAt) {
		for _, l := range s.leaving {
			l.end()
		}
		s.leaving = nil
	}
}

// loopLocked returns the loop of a URL in a group: one of earlier options, which
// goes on with what it has, or a new one.
func (s *Sender) loopLocked(group int, url string) *loop {
	timeout := s.options.Groups[group].Timeout
	if i := slices.IndexFunc(s.leaving, func(l *loop) bool { return l.url == url }); i >= 0 {
		l := s.leaving[i]
		s.leaving = slices.Delete(s.leaving, i, i+1)
		l.use(s.clients[group], timeout)
		return l
	}
	l := newLoop(url, timeout, s.clients[group], s.deps, s.metrics)
	if ctx := s.ctx; ctx != nil {
		s.wg.Go(func() { l.run(ctx) })
	}
	return l
}

// Put takes alerts to send (I1).
func (s *Sender) Put(alerts []alerting.Alert) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.options.Groups) == 0 {
		return
	}
	all := relabelled(alerts, s.options.ExternalLabels, s.options.AlertRelabel)
	reached := false
	for i, g := range s.options.Groups {
		if len(s.loops[i]) == 0 {
			continue
		}
		reached = true
		own := relabelled(all, labels.EmptyLabels(), g.AlertRelabel)
		for _, l := range s.loops[i] {
			l.put(own)
		}
	}
	if !reached {
		s.metrics.dropped.WithLabelValues(droppedNobody).Add(float64(len(all)))
	}
}

// Endpoints are the URLs that alerts are sent to now, sorted.
func (s *Sender) Endpoints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	urls := map[string]bool{}
	for _, group := range s.loops {
		for url := range group {
			urls[url] = true
		}
	}
	return slices.Sorted(maps.Keys(urls))
}

// Dropped are the URLs of Alertmanagers that were found and that relabelling
// dropped, sorted, as they were before it.
func (s *Sender) Dropped() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.dropped)
}

// Problems are failures to find Alertmanagers.
func (s *Sender) Problems() []discovery.Problem { return s.found.Problems() }

// waiting is the length of the longest queue.
func (s *Sender) waiting() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, group := range s.loops {
		for _, l := range group {
			n = max(n, l.len())
		}
	}
	return n
}
