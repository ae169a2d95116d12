package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/util/strutil"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
)

// Notification is an alert on its way to people. EndsAt lies in the past for a
// resolved alert and in the future for a firing one.
type Notification struct {
	Labels, Annotations labels.Labels
	StartsAt, EndsAt    time.Time
	GeneratorURL        string
}

// Notifier takes alerts. Notify must not block on delivery.
type Notifier interface {
	Notify(ctx context.Context, alerts []Notification)
}

// Options are the settings of all groups.
type Options struct {
	// Interval of groups that name none. Default 1 min.
	Interval time.Duration
	// QueryOffset moves the timestamps of groups that name none into the past.
	QueryOffset time.Duration
	// ExternalURL is where users reach the server: links in notifications.
	ExternalURL *url.URL
	// ExternalLabels are added to notifications, and seen by templates.
	ExternalLabels map[string]string
}

// concurrencyMax bounds the groups evaluated at once.
const concurrencyMax = 8

// File is a source of groups.
type File struct {
	Path   string
	Groups []rulefmt.RuleGroup
}

// Deps are the parts that rules work with.
type Deps struct {
	Engine *promql.Engine
	Reader storage.Reader
	Writer storage.Writer
	// Database keeps alert states; nil keeps them in memory alone.
	Database   Database
	Notifier   Notifier
	Tenant     tenant.ID
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	slots    semaphore
	identify func(ctx context.Context, file, group string, position int) string
}

// Manager runs rule groups.
type Manager struct {
	deps    Deps
	metrics *metrics
	ids     identifiers

	applying sync.Mutex // one Apply at a time, and none after the end of Run

	mu     sync.Mutex // guards the fields below
	groups []*group   // in order of files and of groups in them
	run    context.Context
	ended  bool
}

// New returns a manager without groups.
func New(deps Deps) *Manager {
	m := &Manager{deps: deps, metrics: newMetrics(deps.Registerer)}
	m.ids = identifiers{db: deps.Database, id: deps.Tenant, logger: deps.Logger}
	m.deps.slots = make(semaphore, concurrencyMax)
	m.deps.identify = m.ids.of
	return m
}

// Run evaluates the groups until ctx ends, and returns when the last evaluation
// has.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.run = ctx
	for _, g := range m.groups {
		m.start(g)
	}
	m.mu.Unlock()
	<-ctx.Done()
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	m.ended = true
	groups := m.groups
	m.mu.Unlock()
	for _, g := range groups {
		<-g.done
	}
	return nil
}

// start runs a group's loop; m.mu is held.
func (m *Manager) start(g *group) {
	ctx, cancel := context.WithCancel(m.run)
	g.stop = cancel
	go g.run(ctx)
}

// Apply makes files and options the ones that run. Groups that stay as they
// are go on undisturbed; on an error nothing has changed. Before Run it reads the
// states of alerts, for 5 s at most: they are shown before any evaluation.
func (m *Manager) Apply(files []File, opts Options) error {
	if opts.Interval == 0 {
		opts.Interval = time.Minute
	}
	if opts.ExternalURL == nil {
		opts.ExternalURL = &url.URL{}
	}
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	current, running, ended := m.groups, m.run != nil, m.ended
	m.mu.Unlock()
	if ended {
		return errors.New("apply rules: the manager has ended")
	}
	old := map[string]*group{}
	for _, g := range current {
		old[groupKey(g.file, g.name)] = g
	}
	next, err := m.plan(files, opts, old)
	if err != nil {
		return err
	}
	kept := map[*group]bool{}
	for _, g := range next {
		kept[g] = true
	}
	now := time.Now()
	for _, g := range current {
		if kept[g] {
			continue
		}
		if running {
			g.stop()
			<-g.done
		}
	}
	m.ids.declare(next)
	for _, g := range next {
		if from := old[groupKey(g.file, g.name)]; from != nil && from != g {
			g.inherit(from)
		}
	}
	if !running {
		restoreBefore(next)
	}
	m.mu.Lock()
	m.groups = next
	if running {
		for _, g := range next {
			if g.stop == nil {
				m.start(g)
			}
		}
	}
	ctx := m.run
	m.mu.Unlock()
	for _, g := range current {
		if !kept[g] && running && !replaced(g, next) {
			g.end(ctx, now)
		}
	}
	return nil
}

// restoreMax bounds how long the first Apply waits for the states of alerts; what
// is left then is read by the groups' loops.
const restoreMax = 5 * time.Second

// restoreBefore reads the states of groups that do not run yet.
func restoreBefore(groups []*group) {
	ctx, cancel := context.WithTimeout(context.Background(), restoreMax)
	defer cancel()
	for _, g := range groups {
		g.restoreAll(ctx)
	}
}

// plan makes the groups of files, taking over those that did not change.
func (m *Manager) plan(files []File, opts Options, old map[string]*group) ([]*group, error) {
	var next []*group
	var errs []error
	seen := map[string]bool{}
	p := promql.NewParser()
	for _, f := range files {
		for _, spec := range f.Groups {
			key := groupKey(f.Path, spec.Name)
			if seen[key] {
				errs = append(errs, fmt.Errorf("%s: two groups have the name %s", f.Path, spec.Name))
				continue
			}
			seen[key] = true
			if was := old[key]; was != nil && reflect.DeepEqual(was.spec, spec) && reflect.DeepEqual(was.opts, opts) {
				next = append(next, was)
				continue
			}
			g, err := newGroup(f.Path, spec, opts, m.deps, m.metrics, p)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			next = append(next, g)
		}
	}
	return next, errors.Join(errs...)
}

func replaced(g *group, next []*group) bool {
	for _, n := range next {
		if n.file == g.file && n.name == g.name {
			return true
		}
	}
	return false
}

func groupKey(file, name string) string { return file + "\x00" + name }

// identifiers finds the database's ids of alerting rules.
type identifiers struct {
	db     Database
	id     tenant.ID
	logger *slog.Logger

	mu    sync.Mutex // guards the fields below
	specs []metadb.RuleSpec
	known map[metadb.RuleKey]metadb.RuleID // nil: not asked since the last declare
}

// declare names the rules that exist from now on.
func (ids *identifiers) declare(groups []*group) {
	var specs []metadb.RuleSpec
	for _, g := range groups {
		for i, r := range g.rules {
			if r.alert == "" {
				continue
			}
			specs = append(specs, metadb.RuleSpec{
				RuleKey:    metadb.RuleKey{Source: g.file, Group: g.name, Name: r.alert, Position: i},
				Expression: r.expr, For: r.timing.For, KeepFiringFor: r.timing.KeepFiringFor,
				Labels: r.labels, Annotations: r.annotations,
			})
		}
	}
	ids.mu.Lock()
	defer ids.mu.Unlock()
	ids.specs, ids.known = specs, nil
}

// identifyTimeout bounds how long one evaluation waits for the database to tell
// the rules' ids.
const identifyTimeout = 5 * time.Second

// of returns the id of the alerting rule at a position of a group, "" while the
// database does not answer.
func (ids *identifiers) of(ctx context.Context, file, group string, position int) string {
	ids.mu.Lock()
	defer ids.mu.Unlock()
	if ids.known == nil {
		ctx, cancel := context.WithTimeout(ctx, identifyTimeout)
		defer cancel()
		rows, err := metadb.ReconcileRules(ctx, ids.db, ids.id, ids.specs, time.Now())
		if err != nil {
			ids.logger.Warn("alert rules not recorded, trying again at the next evaluation", "err", err)
			return ""
		}
		ids.known = make(map[metadb.RuleKey]metadb.RuleID, len(rows))
		for _, row := range rows {
			ids.known[row.RuleKey] = row.ID
		}
	}
	for key, id := range ids.known {
		if key.Source == file && key.Group == group && key.Position == position {
			return string(id)
		}
	}
	return ""
}

// semaphore bounds the evaluations under way.
type semaphore chan struct{}

func (s semaphore) take(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s semaphore) give() { <-s }

func generatorURL(external *url.URL, expr string) string {
	return external.String() + strutil.TableLinkForExpression(expr)
}

// sortAlerts orders alerts by their labels, for showing.
func sortAlerts(alerts []Alert) {
	sort.Slice(alerts, func(i, j int) bool { return labels.Compare(alerts[i].Labels, alerts[j].Labels) < 0 })
}
