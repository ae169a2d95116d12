package admission_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/admission"
)

// play runs a script of steps: "a1" arrives for tenant a, "A1" the same as an
// essential query, "-a1" leaves, "!a1" gives up. It returns what happened.
func play(t *testing.T, l admission.Limits, script string) string {
	t.Helper()
	q := admission.New(l)
	tickets := map[string]*admission.Ticket{}
	names := map[*admission.Ticket]string{nil: "nobody"}
	var out []string
	for _, step := range strings.Fields(script) {
		name := strings.TrimLeft(step, "-!")
		switch step[0] {
		case '-':
			out = append(out, "-"+names[q.Leave(tickets[name])])
		case '!':
			out = append(out, fmt.Sprint(q.Cancel(tickets[name])))
		default:
			lower := strings.ToLower(name[:1])
			ticket := &admission.Ticket{Tenant: tenant.ID(lower), Essential: lower != name[:1]}
			tickets[name], names[ticket] = ticket, name
			o, refused := q.Arrive(ticket)
			text := []string{"in", "wait", "no"}[o]
			if refused != nil {
				text += ":" + names[refused]
			}
			out = append(out, text)
		}
	}
	return strings.Join(out, " ")
}

func TestQueue(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits admission.Limits
		script string
		want   string
	}{
		{
			"in order of arrival", admission.Limits{RunningMax: 1, TenantMax: 1, WaitingMax: 9, EssentialMax: 1},
			"a1 a2 a3 -a1 -a2 -a3", "in wait wait -a2 -a3 -nobody",
		},
		{
			"tenants take turns", admission.Limits{RunningMax: 1, TenantMax: 1, WaitingMax: 9, EssentialMax: 1},
			"a1 a2 a3 a4 b1 c1 b2 -a1 -a2 -b1 -c1 -a3 -b2", "in wait wait wait wait wait wait -a2 -b1 -c1 -a3 -b2 -a4",
		},
		{
			"a tenant has a limit of its own", admission.Limits{RunningMax: 3, TenantMax: 2, WaitingMax: 9, EssentialMax: 1},
			"a1 a2 a3 b1 c1 -b1 -a1", "in in wait in wait -c1 -a3",
		},
		{
			"essential queries have places of their own", admission.Limits{RunningMax: 1, TenantMax: 1, WaitingMax: 1, EssentialMax: 2},
			"a1 a2 a3 A1 B2 A3 B4 -a1 -A1", "in wait no in in wait no -a2 -A3",
		},
		{
			"who floods the queue is refused", admission.Limits{RunningMax: 1, TenantMax: 1, WaitingMax: 3, EssentialMax: 1},
			"a1 a2 a3 a4 a5 b1 b2 c1 b3 -a1 -a2 -b1", "in wait wait wait no wait:a4 no wait:a3 no -a2 -b1 -c1",
		},
		{
			"who gives up is forgotten", admission.Limits{RunningMax: 1, TenantMax: 1, WaitingMax: 3, EssentialMax: 1},
			"a1 b1 a2 !b1 !b1 !a1 -a1 -a2", "in wait wait true false false -a2 -nobody",
		},
	} {
		if got := play(t, c.limits, c.script); got != c.want {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.script, got, c.want)
		}
	}
}

// TestInvariants plays at random against plain counts: I1, I2 and I3.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := admission.Limits{
			RunningMax: rapid.IntRange(1, 4).Draw(rt, "running"), TenantMax: rapid.IntRange(1, 4).Draw(rt, "tenant"),
			WaitingMax: rapid.IntRange(1, 5).Draw(rt, "waiting"), EssentialMax: rapid.IntRange(1, 2).Draw(rt, "essential"),
		}
		q := admission.New(l)
		runs, waits := map[*admission.Ticket]bool{}, map[*admission.Ticket]bool{}
		pick := func(from map[*admission.Ticket]bool, order []*admission.Ticket) *admission.Ticket {
			var in []*admission.Ticket
			for _, ticket := range order {
				if from[ticket] {
					in = append(in, ticket)
				}
			}
			if len(in) == 0 {
				return nil
			}
			return rapid.SampledFrom(in).Draw(rt, "ticket")
		}
		var all []*admission.Ticket
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				ticket := &admission.Ticket{
					Tenant:    tenant.ID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "tenant")),
					Essential: rapid.IntRange(0, 4).Draw(rt, "essential") == 0,
				}
				all = append(all, ticket)
				o, refused := q.Arrive(ticket)
				if refused != nil && !waits[refused] {
					rt.Fatal("one was refused that does not wait")
				}
				delete(waits, refused)
				runs[ticket], waits[ticket] = o == admission.Admitted, o == admission.Waiting
			case 2:
				if ticket := pick(runs, all); ticket != nil {
					delete(runs, ticket)
					if next := q.Leave(ticket); next != nil {
						if !waits[next] {
							rt.Fatal("one was admitted that does not wait")
						}
						delete(waits, next)
						runs[next] = true
					}
				}
			case 3:
				if ticket := pick(waits, all); ticket != nil {
					if !q.Cancel(ticket) {
						rt.Fatal("one that waits was not found")
					}
					delete(waits, ticket)
				}
			}
			check(rt, q, l, runs, waits)
		}
	})
}

func check(rt *rapid.T, q *admission.Queue, l admission.Limits, runs, waits map[*admission.Ticket]bool) {
	var running, waiting [2]int
	ofTenant := map[tenant.ID]int{}
	count := func(of map[*admission.Ticket]bool, n *[2]int, each func(*admission.Ticket)) {
		for ticket, is := range of {
			if is && ticket.Essential {
				n[1]++
			} else if is {
				n[0]++
				each(ticket)
			}
		}
	}
	count(runs, &running, func(ticket *admission.Ticket) { ofTenant[ticket.Tenant]++ })
	count(waits, &waiting, func(*admission.Ticket) {})
	if o, e := q.Running(); o != running[0] || e != running[1] {
		rt.Fatalf("%d and %d run, the queue says %d and %d", running[0], running[1], o, e)
	}
	if o, e := q.Waiting(); o != waiting[0] || e != waiting[1] {
		rt.Fatalf("%d and %d wait, the queue says %d and %d", waiting[0], waiting[1], o, e)
	}
	if running[0] > l.RunningMax || running[1] > l.EssentialMax || waiting[0] > l.WaitingMax || waiting[1] > l.WaitingMax {
		rt.Fatalf("%v run and %v wait with %+v", running, waiting, l)
	}
	for id, n := range ofTenant {
		if n > l.TenantMax {
			rt.Fatalf("%d of tenant %s run with %+v", n, id, l)
		}
	}
	for ticket, is := range waits {
		free := running[0] < l.RunningMax && ofTenant[ticket.Tenant] < l.TenantMax
		if ticket.Essential {
			free = running[1] < l.EssentialMax
		}
		if is && free {
			rt.Fatalf("%+v waits beside a free place: %v run with %+v", *ticket, running, l)
		}
	}
}
