package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery/file"
)

// mechanism is one running way of finding targets.
type mechanism interface {
	// Run sends changed groups until ctx ends. It does not close the channel.
	Run(ctx context.Context, up chan<- []*targetgroup.Group)
	// Received tells the mechanism which groups arrived.
	Received(groups []*targetgroup.Group)
	// Problems maps what failed to why.
	Problems() map[string]string
}

// Manager runs the mechanisms of all jobs. Its methods are safe for concurrent
// use.
type Manager struct {
	file    *file.Factory
	others  *factory
	changed chan struct{}
	wg      sync.WaitGroup // of mechanisms

	mu   sync.Mutex // guards what follows
	jobs map[string]*job
	ctx  context.Context // of Run; nil before and after it
}

type job struct {
	static    []Group
	providers []*provider
}

// provider is one mechanism of one job with what it found. Manager.mu guards it.
type provider struct {
	options any
	mech    mechanism
	cancel  context.CancelFunc
	groups  map[string]Group // by upstream's source
}

// NewManager returns a Manager that finds nothing until Apply. logger and reg
// may be nil.
func NewManager(logger *slog.Logger, reg prometheus.Registerer) (*Manager, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &Manager{changed: make(chan struct{}, 1), jobs: map[string]*job{}}
	var err error
	if m.file, err = file.NewFactory(logger, reg); err != nil {
		return nil, fmt.Errorf("file discovery: %w", err)
	}
	if m.others, err = newFactory(logger, reg); err != nil {
		return nil, fmt.Errorf("metrics of discovery: %w", err)
	}
	return m, registerMetrics(reg, m)
}

// Run starts the mechanisms and returns when ctx ended and all of them have.
// It is called once.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	for _, j := range m.jobs {
		for _, p := range j.providers {
			m.startLocked(p)
		}
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock() // no mechanism starts after this
	m.ctx = nil
	m.mu.Unlock()
	m.wg.Wait()
	return nil
}

// Apply makes jobs, by name, the jobs that are looked for (I1). On an error
// nothing has changed.
func (m *Manager) Apply(jobs map[string]Options) error {
	var errs []error
	for name, o := range jobs {
		if err := o.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("discovery of job %q: %w", name, err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next := make(map[string]*job, len(jobs))
	kept := map[*provider]bool{}
	for name, o := range jobs {
		j := &job{static: o.Static}
		add := func(options any, make func() (mechanism, error)) error {
			p := m.jobs[name].find(options, kept)
			if p == nil {
				mech, err := make()
				if err != nil {
					return fmt.Errorf("discovery of job %q: %w", name, err)
				}
				p = &provider{options: options, mech: mech, groups: map[string]Group{}}
			}
			kept[p] = true
			j.providers = append(j.providers, p)
			return nil
		}
		for _, fo := range o.File {
			if err := add(fo, func() (mechanism, error) { return m.file.New(fo) }); err != nil {
				return err
			}
		}
		for _, c := range o.Others {
			if err := add(c, func() (mechanism, error) { return m.others.new(name, c) }); err != nil {
				return err
			}
		}
		next[name] = j
	}
	m.replaceLocked(next, kept)
	return nil
}

// find returns a provider with these options that nobody has taken yet.
func (j *job) find(options any, taken map[*provider]bool) *provider {
	if j == nil {
		return nil
	}
	for _, p := range j.providers {
		if !taken[p] && reflect.DeepEqual(p.options, options) {
			return p
		}
	}
	return nil
}

func (m *Manager) replaceLocked(next map[string]*job, kept map[*provider]bool) {
	for _, j := range m.jobs {
		for _, p := range j.providers {
			if !kept[p] && p.cancel != nil {
				p.cancel()
			}
		}
	}
	m.jobs = next
	for _, j := range next {
		for _, p := range j.providers {
			m.startLocked(p)
		}
	}
	m.signal()
}

// startLocked runs a provider that does not run yet.
func (m *Manager) startLocked(p *provider) {
	if m.ctx == nil || p.cancel != nil {
		return
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(m.ctx)
	up := make(chan []*targetgroup.Group)
	m.wg.Go(func() { p.mech.Run(ctx, up) })
	m.wg.Go(func() {
		for {
			select {
			case groups := <-up:
				m.receive(p, groups)
			case <-ctx.Done():
				return
			}
		}
	})
}

// receive merges changed groups into what the provider found.
func (m *Manager) receive(p *provider, groups []*targetgroup.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.mech.Received(groups)
	for _, g := range groups {
		if g == nil {
			continue
		}
		if len(g.Targets) == 0 {
			delete(p.groups, g.Source)
			continue
		}
		p.groups[g.Source] = groupOf(g)
	}
	m.signal()
}

// groupOf makes upstream's group one of ours.
func groupOf(g *targetgroup.Group) Group {
	out := Group{Source: g.Source, Targets: make([]labels.Labels, 0, len(g.Targets))}
	b := labels.NewScratchBuilder(4)
	build := func(set map[string]string) labels.Labels {
		b.Reset()
		for name, v := range set {
			b.Add(name, v)
		}
		b.Sort()
		return b.Labels()
	}
	for _, t := range g.Targets {
		out.Targets = append(out.Targets, build(plain(t)))
	}
	out.Labels = build(plain(g.Labels))
	return out
}

func plain[K, V ~string](set map[K]V) map[string]string {
	out := make(map[string]string, len(set))
	for k, v := range set {
		out[string(k)] = string(v)
	}
	return out
}

func (m *Manager) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Changed has a signal when Groups may answer otherwise than before (I3).
func (m *Manager) Changed() <-chan struct{} { return m.changed }

// Groups returns the groups of every job, in a stable order. They are shared:
// nobody changes them.
func (m *Manager) Groups() map[string][]Group {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string][]Group, len(m.jobs))
	for name, j := range m.jobs {
		var groups []Group
		for i, g := range j.static {
			g.Source = "static/" + strconv.Itoa(i)
			groups = append(groups, g)
		}
		for _, p := range j.providers {
			start := len(groups)
			for _, g := range p.groups {
				groups = append(groups, g)
			}
			slices.SortFunc(groups[start:], func(a, b Group) int {
				if a.Source < b.Source {
					return -1
				}
				return 1
			})
		}
		out[name] = groups
	}
	return out
}

// Problems returns what keeps mechanisms from answering now (I2), sorted by job
// and source.
func (m *Manager) Problems() []Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Problem
	for name, j := range m.jobs {
		for _, p := range j.providers {
			for source, text := range p.mech.Problems() {
				out = append(out, Problem{Job: name, Source: source, Text: text})
			}
		}
	}
	slices.SortFunc(out, func(a, b Problem) int {
		if a.Job+"\xff"+a.Source < b.Job+"\xff"+b.Source {
			return -1
		}
		return 1
	})
	return out
}
