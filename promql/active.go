package promql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/exec"
)

// Kind is what asked for a query.
type Kind string

// The kinds of queries.
const (
	KindInstant Kind = "instant"
	KindRange   Kind = "range"
	KindRule    Kind = "rule" // asked with storage.Essential
)

// State is how far a query is.
type State string

// The states of an active query.
const (
	StateWaiting State = "waiting" // for a place
	StateRunning State = "running"
)

// ErrKilled is wrapped by the error of a query that Engine.Kill has ended.
var ErrKilled = errors.New("query was killed")

// ActiveQuery describes a query that has not been answered yet.
type ActiveQuery struct {
	// ID names the query as long as the process lives.
	ID     uint64
	Tenant tenant.ID
	Kind   Kind
	State  State
	// Expr is the text, cut to 4 KiB.
	Expr string
	// Start, End and Step are the evaluation times. Start and End of an instant
	// query are the same, and its Step is zero.
	Start, End time.Time
	Step       time.Duration
	// Arrived is when it was asked, Admitted when it began to run: zero while it
	// waits.
	Arrived, Admitted time.Time
	// SeriesSelected counts the series of the selections that were begun,
	// SeriesRead those of them that were read, SamplesRead the samples decoded.
	SeriesSelected, SeriesRead, SamplesRead int64
	// MemoryBytes is what is held now, MemoryPeakBytes the most so far.
	MemoryBytes, MemoryPeakBytes int64
}

// exprShownMax bounds the text of a listed query: a list of a thousand stays
// a few megabytes.
const exprShownMax = 4 << 10

// registry knows the queries that wait and run. There are never more than the
// admission lets in, and those that it is about to refuse.
type registry struct {
	mu   sync.Mutex // guards all below
	last uint64
	all  map[uint64]*entry
}

// entry is a query in the registry. What changes is guarded by registry.mu.
type entry struct {
	ActiveQuery
	cancel context.CancelCauseFunc
	run    *exec.Run
	budget *exec.Budget
	before exec.Stats // of the parts before run's
}

func newRegistry() *registry { return &registry{all: map[uint64]*entry{}} }

// add lists a query and returns its entry; cancel ends it.
func (r *registry) add(q ActiveQuery, cancel context.CancelCauseFunc) *entry {
	q.Expr = shorten(q.Expr)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	q.ID, q.State = r.last, StateWaiting
	e := &entry{ActiveQuery: q, cancel: cancel}
	r.all[q.ID] = e
	return e
}

// shorten cuts a text to what is shown of it.
func shorten(expr string) string {
	if len(expr) <= exprShownMax {
		return expr
	}
	return strings.ToValidUTF8(expr[:exprShownMax], "") + "…"
}

func (r *registry) remove(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.all, e.ID)
}

// admitted notes that a query runs.
func (r *registry) admitted(e *entry, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.State, e.Admitted = StateRunning, at
}

// follow says where the progress of a query, or of its next part, is counted.
func (r *registry) follow(e *entry, run *exec.Run, budget *exec.Budget) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.run != nil {
		s := e.run.Stats()
		e.before.SeriesSelected += s.SeriesSelected
		e.before.SeriesRead += s.SeriesRead
		e.before.SamplesRead += s.SamplesRead
	}
	e.run, e.budget = run, budget
}

// list returns all queries, the oldest first.
func (r *registry) list() []ActiveQuery {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]ActiveQuery, 0, len(r.all))
	for _, e := range r.all {
		out = append(out, e.shownLocked())
	}
	slices.SortFunc(out, func(a, b ActiveQuery) int { return int(a.ID) - int(b.ID) })
	return out
}

func (e *entry) shownLocked() ActiveQuery {
	q := e.ActiveQuery
	if e.run != nil {
		s := e.run.Stats()
		q.SeriesSelected, q.SeriesRead = e.before.SeriesSelected+s.SeriesSelected, e.before.SeriesRead+s.SeriesRead
		q.SamplesRead = e.before.SamplesRead + s.SamplesRead
		q.MemoryBytes, q.MemoryPeakBytes = e.budget.Bytes(), e.budget.PeakBytes()
	}
	return q
}

// show returns what is known of a query.
func (r *registry) show(e *entry) ActiveQuery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return e.shownLocked()
}

// kill ends a query and returns what it was; false when there is none.
func (r *registry) kill(id uint64, by string) (ActiveQuery, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.all[id]
	if !ok {
		return ActiveQuery{}, false
	}
	e.cancel(fmt.Errorf("%w %s", ErrKilled, by))
	return e.shownLocked(), true
}

// Active returns the queries that wait and run, of all tenants, the oldest
// first.
func (e *Engine) Active() []ActiveQuery { return e.active.list() }

// Kill ends an active query: its caller gets an error that wraps ErrKilled and
// says by whom ("via the API"). The query ends within the work on one series.
// It returns what the query was, and false when no active query has the id.
func (e *Engine) Kill(id uint64, by string) (ActiveQuery, bool) { return e.active.kill(id, by) }
