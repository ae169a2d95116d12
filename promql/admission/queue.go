package admission

import "github.com/nilometer/nilometer/model/tenant"

// Limits are the sizes of a Queue; each is at least 1.
type Limits struct {
	// RunningMax bounds the ordinary queries that run, TenantMax those of one
	// tenant, WaitingMax those that wait.
	RunningMax, TenantMax, WaitingMax int
	// EssentialMax bounds the essential queries that run.
	EssentialMax int
}

// Ticket stands for one query. Its fields are read only.
type Ticket struct {
	Tenant    tenant.ID
	Essential bool
}

// Outcome is what becomes of an arrival.
type Outcome uint8

// The outcomes of Arrive.
const (
	Admitted Outcome = iota // it runs
	Waiting                 // Leave or Cancel of others will return it
	Refused                 // the queue is full
)

// Queue is who runs and who waits.
type Queue struct {
	ordinary, special line
}

// New returns an empty queue.
func New(l Limits) *Queue {
	return &Queue{
		ordinary: newLine(l.RunningMax, l.TenantMax, l.WaitingMax),
		special:  newLine(l.EssentialMax, l.EssentialMax, l.WaitingMax),
	}
}

func (q *Queue) lineOf(t *Ticket) *line {
	if t.Essential {
		return &q.special
	}
	return &q.ordinary
}

// Arrive adds a query. When that is one too many, either the arrival is
// Refused, or another one that waited is returned, to be told so.
func (q *Queue) Arrive(t *Ticket) (o Outcome, refused *Ticket) { return q.lineOf(t).arrive(t) }

// Leave gives the place of an admitted query up and returns who has it now, nil
// when nobody waits that may.
func (q *Queue) Leave(t *Ticket) *Ticket { return q.lineOf(t).leave(t) }

// Cancel removes a query that waits, and reports whether it did wait: false
// says that it was admitted or refused meanwhile.
func (q *Queue) Cancel(t *Ticket) bool { return q.lineOf(t).remove(t) }

// Running is the number of queries that run, ordinary and essential ones.
func (q *Queue) Running() (ordinary, essential int) { return q.ordinary.running, q.special.running }

// Waiting is the number of queries that wait, ordinary and essential ones.
func (q *Queue) Waiting() (ordinary, essential int) { return q.ordinary.waiting, q.special.waiting }

// line is the queue of one kind of queries.
type line struct {
	runningMax, tenantMax, waitingMax int
	running, waiting                  int
	tenants                           map[tenant.ID]*share
	turns                             []*share // tenants with somebody waiting, whose turn is next first
}

// share is what one tenant has of a line. It exists while it has anything.
type share struct {
	id      tenant.ID
	running int
	waiting []*Ticket // in order of arrival
}

func newLine(running, ofTenant, waiting int) line {
	return line{runningMax: running, tenantMax: ofTenant, waitingMax: waiting, tenants: map[tenant.ID]*share{}}
}

func (l *line) arrive(t *Ticket) (Outcome, *Ticket) {
	s := l.tenants[t.Tenant]
	if s == nil {
		s = &share{id: t.Tenant}
		l.tenants[t.Tenant] = s
	}
	if l.running < l.runningMax && s.running < l.tenantMax {
		// Nobody of this tenant waits, by I2.
		l.running++
		s.running++
		return Admitted, nil
	}
	var out *Ticket
	if l.waiting >= l.waitingMax {
		longest := l.longest()
		if longest == nil || len(longest.waiting) <= len(s.waiting)+1 {
			l.forget(s)
			return Refused, nil
		}
		out = longest.waiting[len(longest.waiting)-1]
		l.remove(out)
	}
	if len(s.waiting) == 0 {
		l.turns = append(l.turns, s)
	}
	s.waiting = append(s.waiting, t)
	l.waiting++
	return Waiting, out
}

// longest is the tenant with most waiting, nil when nobody waits.
func (l *line) longest() *share {
	var out *share
	for _, s := range l.turns {
		if out == nil || len(s.waiting) > len(out.waiting) {
			out = s
		}
	}
	return out
}

func (l *line) leave(t *Ticket) *Ticket {
	s := l.tenants[t.Tenant]
	l.running--
	s.running--
	next := l.next()
	l.forget(s)
	return next
}

// next admits the first of the tenant whose turn it is.
func (l *line) next() *Ticket {
	for i, s := range l.turns {
		if s.running >= l.tenantMax {
			continue
		}
		t := s.waiting[0]
		s.waiting = s.waiting[1:]
		l.waiting--
		l.running++
		s.running++
		l.turns = append(l.turns[:i], l.turns[i+1:]...)
		if len(s.waiting) > 0 {
			l.turns = append(l.turns, s)
		}
		return t
	}
	return nil
}

func (l *line) remove(t *Ticket) bool {
	s := l.tenants[t.Tenant]
	if s == nil {
		return false
	}
	for i, w := range s.waiting {
		if w != t {
			continue
		}
		s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
		l.waiting--
		if len(s.waiting) == 0 {
			l.endTurn(s)
			l.forget(s)
		}
		return true
	}
	return false
}

func (l *line) endTurn(s *share) {
	for i, have := range l.turns {
		if have == s {
			l.turns = append(l.turns[:i], l.turns[i+1:]...)
			return
		}
	}
}

// forget drops a tenant that has nothing.
func (l *line) forget(s *share) {
	if s.running == 0 && len(s.waiting) == 0 {
		delete(l.tenants, s.id)
	}
}
