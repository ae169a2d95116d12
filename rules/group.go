package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
)

// resendInterval is how often a firing alert is handed over again, so that the
// notifier knows that it still fires.
const resendInterval = time.Minute

// replayWait is the pause between two tries of an evaluation that the store
// cannot answer wholly yet.
const replayWait = 200 * time.Millisecond

// saveTimeout bounds how long a stop waits for the states of the evaluation
// that it interrupts.
const saveTimeout = 5 * time.Second

// group is one rule group: its schedule, its rules and their state. Its loop
// owns everything but what mu guards.
type group struct {
	file, name string
	spec       rulefmt.RuleGroup
	interval   time.Duration
	offset     time.Duration // of the queries' timestamps into the past
	deps       Deps
	opts       Options
	keeper     keeper
	writer     writer
	metrics    *metrics

	mu       sync.Mutex // guards the fields below and the evaluated part of rules
	rules    []*rule
	lastAt   time.Time
	lastTook time.Duration

	stop context.CancelFunc
	done chan struct{}
}

func newGroup(file string, spec rulefmt.RuleGroup, opts Options, deps Deps, m *metrics, p parser.Parser) (*group, error) {
	g := &group{
		file: file, name: spec.Name, spec: spec, deps: deps, opts: opts, metrics: m,
		interval: time.Duration(spec.Interval), offset: opts.QueryOffset,
		keeper: keeper{db: deps.Database, id: deps.Tenant},
		writer: writer{store: deps.Writer, id: deps.Tenant, name: "rules"},
		done:   make(chan struct{}),
	}
	if g.interval == 0 {
		g.interval = opts.Interval
	}
	if spec.QueryOffset != nil {
		g.offset = time.Duration(*spec.QueryOffset)
	}
	for _, r := range spec.Rules {
		made, err := newRule(r, spec.Labels, p)
		if err != nil {
			return nil, fmt.Errorf("%s: group %s: %w", file, spec.Name, err)
		}
		g.rules = append(g.rules, made)
	}
	return g, nil
}

// inherit takes over the alerts of old's rules with equal name and labels; two
// rules that look alike are matched in order.
func (g *group) inherit(old *group) {
	old.mu.Lock()
	defer old.mu.Unlock()
	byKey := map[string][]*rule{}
	for _, r := range old.rules {
		byKey[r.key()] = append(byKey[r.key()], r)
	}
	for _, r := range g.rules {
		candidates := byKey[r.key()]
		if len(candidates) == 0 {
			continue
		}
		from := candidates[0]
		byKey[r.key()] = candidates[1:]
		r.alerts, r.written = from.alerts, from.written
	}
}

// run evaluates the group at its times until ctx ends.
func (g *group) run(ctx context.Context) {
	defer close(g.done)
	g.restoreAll(ctx)
	at := firstEvaluation(time.Now(), g.interval, phase(g.file, g.name, g.interval))
	for {
		if !sleepUntil(ctx, at) {
			return
		}
		if !g.evaluateWhole(ctx, at) {
			return
		}
		next, missed := nextEvaluation(at, time.Now(), g.interval)
		if missed > 0 {
			g.metrics.missed.Add(float64(missed))
			g.deps.Logger.Warn("rule evaluations missed", "file", g.file, "group", g.name, "count", missed)
		}
		at = next
	}
}

func sleepUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// evaluateWhole evaluates all rules at one time; while the store is replaying
// it waits (I1). It returns false when ctx ended.
func (g *group) evaluateWhole(ctx context.Context, at time.Time) bool {
	for {
		if !g.deps.slots.take(ctx) {
			return false
		}
		err := g.evaluate(ctx, at)
		g.deps.slots.give()
		if !errors.Is(err, storage.ErrReplaying) {
			return ctx.Err() == nil
		}
		if !sleepUntil(ctx, time.Now().Add(replayWait)) {
			return false
		}
	}
}

// evaluate evaluates the rules in order. Its only error is ErrReplaying, met by
// the first rule that met it: what rules before it wrote is the same again when
// the time is repeated (N1).
func (g *group) evaluate(ctx context.Context, at time.Time) error {
	begin := time.Now()
	for _, r := range g.rules {
		if ctx.Err() != nil {
			return nil
		}
		began := time.Now()
		err := g.evaluateRule(ctx, r, at)
		if errors.Is(err, storage.ErrReplaying) {
			return err
		}
		g.note(ctx, r, at, time.Since(began), err)
	}
	took := time.Since(begin)
	g.metrics.evaluations.Observe(took.Seconds())
	g.mu.Lock()
	g.lastAt, g.lastTook = at, took
	g.mu.Unlock()
	return nil
}

// note remembers how a rule's evaluation went.
func (g *group) note(ctx context.Context, r *rule, at time.Time, took time.Duration, err error) {
	text := ""
	if err != nil && ctx.Err() == nil {
		text = err.Error()
		g.metrics.failures.Inc()
		g.deps.Logger.Warn("rule not evaluated", "file", g.file, "group", g.name, "rule", r.record+r.alert, "err", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r.lastError, r.lastAt, r.lastTook, r.evaluated = text, at, took, true
}

func (g *group) query(ctx context.Context, expr string, at time.Time) (*promql.Result, error) {
	ctx = promql.WithOrigin(storage.Essential(ctx), promql.Origin{File: g.file, Group: g.name})
	return g.deps.Engine.Instant(ctx, g.deps.Reader, g.deps.Tenant, promql.Query{Expr: expr, Time: at})
}

func (g *group) evaluateRule(ctx context.Context, r *rule, at time.Time) error {
	res, err := g.query(ctx, r.expr, at.Add(-g.offset))
	if err != nil {
		return err
	}
	defer res.Close()
	var samples []sample
	if r.record != "" {
		samples, err = r.recorded(res)
		if err == nil && g.spec.Limit > 0 && len(samples) > g.spec.Limit {
			err = fmt.Errorf("exceeded limit of %d with %d series", g.spec.Limit, len(samples))
		}
	} else {
		samples, err = g.step(ctx, r, res, at)
	}
	if err != nil {
		return err
	}
	return g.store(ctx, r, at.Add(-g.offset), samples)
}

// step moves the alerts of a rule on, and hands over and saves what changed.
func (g *group) step(ctx context.Context, r *rule, res *promql.Result, at time.Time) ([]sample, error) {
	seen, err := r.active(ctx, res, at, expansion{
		query: g.query, externalLabels: g.opts.ExternalLabels, externalURL: g.opts.ExternalURL, logger: g.deps.Logger,
	})
	if err != nil {
		return nil, err
	}
	if g.spec.Limit > 0 && len(seen) > g.spec.Limit {
		return nil, fmt.Errorf("exceeded limit of %d with %d alerts", g.spec.Limit, len(seen))
	}
	g.restore(ctx, r)
	if err := ctx.Err(); err != nil { // what was not restored must not be overwritten
		return nil, err
	}
	next, changes := Step(r.timing, r.alerts, seen, at)
	for _, c := range changes {
		g.metrics.transitions.WithLabelValues(string(c.To)).Inc()
	}
	g.hand(ctx, r, next, at)
	g.mu.Lock()
	r.alerts = next
	g.mu.Unlock()
	saving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	if err := g.keeper.save(saving, r, at); err != nil {
		g.metrics.saveFailures.Inc()
		g.deps.Logger.Warn("alert states not saved, trying again at the next evaluation", "alert", r.alert, "err", err)
	}
	return alertSamples(next), nil
}

// restoreAll reads the alerts of all rules before their first evaluation, so that
// what fired before a restart is shown at once. What the database does not
// answer now is asked again by each evaluation.
func (g *group) restoreAll(ctx context.Context) {
	for _, r := range g.rules {
		if r.alert == "" {
			continue
		}
		if ctx.Err() != nil {
			return
		}
		g.restore(ctx, r)
	}
}

// restore reads the alerts that the rule had before a restart. Without an
// answer from the database the rule goes on with what memory has, and asks
// again at its next evaluation.
func (g *group) restore(ctx context.Context, r *rule) {
	if g.deps.Database == nil || r.loaded {
		return
	}
	if r.identifier == "" {
		r.identifier = g.deps.identify(ctx, g.file, g.name, g.position(r))
		if r.identifier == "" {
			return
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.keeper.load(ctx, r); err != nil {
		g.deps.Logger.Warn("alert states not loaded, trying again at the next evaluation", "alert", r.alert, "err", err)
		return
	}
	r.loaded = true
}

func (g *group) position(r *rule) int {
	for i, have := range g.rules {
		if have == r {
			return i
		}
	}
	return -1
}

// hand gives due alerts to the notifier and marks them as sent in next.
func (g *group) hand(ctx context.Context, r *rule, next map[Fingerprint]Alert, at time.Time) {
	var out []Notification
	for fp, a := range next {
		if !due(a, at, resendInterval) {
			continue
		}
		a.LastSentAt = at
		next[fp] = a
		n := Notification{
			Labels: g.external(a.Labels), Annotations: a.Annotations, StartsAt: a.FiredAt, EndsAt: a.ResolvedAt,
			GeneratorURL: generatorURL(g.opts.ExternalURL, r.expr),
		}
		if a.State == Firing { // valid until several evaluations and resends have failed
			n.EndsAt = at.Add(4 * max(g.interval, resendInterval))
		}
		out = append(out, n)
	}
	if len(out) > 0 {
		g.deps.Notifier.Notify(ctx, out)
	}
}

// external adds the external labels that an alert does not have itself.
func (g *group) external(lset labels.Labels) labels.Labels {
	if len(g.opts.ExternalLabels) == 0 {
		return lset
	}
	lb := labels.NewBuilder(lset)
	for name, v := range g.opts.ExternalLabels {
		if lset.Get(name) == "" {
			lb.Set(name, v)
		}
	}
	return lb.Labels()
}

// store writes a rule's series, and stale markers for those that the last
// evaluation had and this one has not.
func (g *group) store(ctx context.Context, r *rule, at time.Time, samples []sample) error {
	now := make(map[Fingerprint]struct{}, len(samples))
	written := make([]labels.Labels, 0, len(samples))
	for _, s := range samples {
		now[FingerprintOf(s.lset)] = struct{}{}
		written = append(written, s.lset)
	}
	for _, lset := range r.written {
		if _, still := now[FingerprintOf(lset)]; !still {
			samples = append(samples, sample{lset: lset, v: column.StaleNaN()})
		}
	}
	rejected, err := g.writer.write(ctx, at, samples)
	if err != nil {
		return err
	}
	for reason, n := range rejected {
		g.metrics.rejected.WithLabelValues(reason.String()).Add(float64(n))
	}
	r.written = written
	return nil
}

// end writes stale markers for everything that the group wrote: it leaves.
func (g *group) end(ctx context.Context, at time.Time) {
	for _, r := range g.rules {
		if err := g.store(ctx, r, at.Add(-g.offset), nil); err != nil {
			g.deps.Logger.Warn("series of a rule not ended", "file", g.file, "group", g.name, "rule", r.record+r.alert, "err", err)
		}
	}
}
