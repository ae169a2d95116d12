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
//     Alertmanager that stays keeps its queue, but for the request under way.
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

	mu      sync.Mutex // guards what follows
	options Options
	clients []*http.Client     // of the groups
	loops   []map[string]*loop // of the groups, by URL
	ctx     context.Context    // of Run; nil before it
	ended   bool
}

// New returns a Sender that sends nothing until Apply and Run.
func New(deps Deps) (*Sender, error) {
	s := &Sender{deps: deps}
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
	for _, group := range s.loops {
		for _, l := range group { // of what was found before
			s.wg.Go(func() { l.run(ctx) })
		}
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	var err error
	wg.Go(func() { err = s.found.Run(ctx) })
	for ctx.Err() == nil {
		s.sync()
		select {
		case <-s.found.Changed():
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
	waiting := map[string][]alerting.Alert{}
	for _, group := range s.loops {
		for url, l := range group {
			waiting[url] = append(waiting[url], l.end()...)
		}
	}
	s.options, s.clients = o, clients
	s.loops = make([]map[string]*loop, len(o.Groups))
	s.syncLocked(waiting)
	return nil
}

// sync starts loops of Alertmanagers that are new, and ends those of gone ones.
func (s *Sender) sync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.syncLocked(nil)
}

// syncLocked gives new loops what waited in old ones of the same URL.
func (s *Sender) syncLocked(waiting map[string][]alerting.Alert) {
	found := s.found.Groups()
	if s.ended {
		return
	}
	for i, g := range s.options.Groups {
		urls := g.endpoints(found[strconv.Itoa(i)])
		if s.loops[i] == nil {
			s.loops[i] = map[string]*loop{}
		}
		for url, l := range s.loops[i] {
			if !slices.Contains(urls, url) {
				s.metrics.dropped.WithLabelValues(droppedGone).Add(float64(len(l.end())))
				delete(s.loops[i], url)
			}
		}
		for _, url := range urls {
			if s.loops[i][url] != nil {
				continue
			}
			l := newLoop(url, g.Timeout, s.clients[i], s.deps, s.metrics)
			l.put(waiting[url])
			delete(waiting, url)
			s.loops[i][url] = l
			if ctx := s.ctx; ctx != nil {
				s.wg.Go(func() { l.run(ctx) })
			}
		}
	}
	for _, rest := range waiting {
		s.metrics.dropped.WithLabelValues(droppedGone).Add(float64(len(rest)))
	}
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
