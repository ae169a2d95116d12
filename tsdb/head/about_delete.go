package head

import (
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
)

// DeleteExemplars forgets the exemplars between two times (ms, both included) of
// the series that match, and returns when that is durable. A tombstone in the log
// keeps a start from bringing them back: segments after it do not have them. On
// an error they are there, or with storage.ErrUncertain may come back. Where none
// matches there is nothing to log, and no error: the log may have failed.
func (h *Head) DeleteExemplars(ctx context.Context, minTime, maxTime int64, ms ...*labels.Matcher) error {
	if !h.about.matches(minTime, maxTime, ms) {
		return nil
	}
	t := &record.Tombstone{Tenant: string(h.id), MinTime: minTime, MaxTime: maxTime, Matchers: tombstoneMatchers(ms)}
	pos, err := h.set.deps.Log.Exclusive(func() []byte {
		h.about.mu.Lock()
		defer h.about.mu.Unlock()
		if !h.about.deleteLocked(minTime, maxTime, ms) {
			return nil
		}
		return record.AppendRecord(nil, record.TypeTombstone, record.AppendTombstone(nil, t))
	})
	if err == nil && pos > 0 {
		err = h.set.deps.Log.Wait(ctx, pos)
	}
	if err != nil {
		return fmt.Errorf("delete exemplars: %w", err)
	}
	return nil
}

// matches reports whether there are exemplars to delete.
func (a *about) matches(minTime, maxTime int64, ms []*labels.Matcher) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return len(a.withoutLocked(minTime, maxTime, ms)) < len(a.exemplars)
}

// deleteLocked takes exemplars out of the ring, and reports whether there were
// any.
func (a *about) deleteLocked(minTime, maxTime int64, ms []*labels.Matcher) bool {
	left := a.withoutLocked(minTime, maxTime, ms)
	if len(left) == len(a.exemplars) {
		return false
	}
	a.exemplars, a.next = left, 0
	a.last = map[series.Hash]exemplar.Exemplar{}
	for i := range left {
		a.last[left[i].hash] = left[i].Exemplar
	}
	return true
}

// withoutLocked returns the exemplars that a deletion leaves, the oldest first.
func (a *about) withoutLocked(minTime, maxTime int64, ms []*labels.Matcher) (left []keptExemplar) {
	matching := map[series.Hash]bool{}
	a.eachLocked(func(x *keptExemplar) {
		if x.Ts >= minTime && x.Ts <= maxTime {
			is, known := matching[x.hash]
			if !known {
				is = matches(x.series, ms)
				matching[x.hash] = is
			}
			if is {
				return
			}
		}
		left = append(left, *x)
	})
	return left
}

// deleteExemplars does again what DeleteExemplars has logged.
func (r *replay) deleteExemplars(body []byte) error {
	t, err := record.ReadTombstone(body)
	if err != nil {
		return err
	}
	id := tenant.ID(t.Tenant)
	if err := id.Validate(); err != nil {
		return err
	}
	ms, err := matchersOf(t)
	if err != nil {
		return fmt.Errorf("deletion of exemplars: %w", err)
	}
	r.set.Head(id).about.deleteLocked(t.MinTime, t.MaxTime, ms)
	return nil
}

func tombstoneMatchers(ms []*labels.Matcher) (out []record.TombstoneMatcher) {
	for _, m := range ms {
		out = append(out, record.TombstoneMatcher{Op: m.Type.String(), Name: m.Name, Value: m.Value})
	}
	return out
}

// matchersOf returns the matchers of a tombstone.
func matchersOf(t *record.Tombstone) (out []*labels.Matcher, err error) {
	for _, m := range t.Matchers {
		typ, ok := matchTypeOf(m.Op)
		if !ok {
			return nil, fmt.Errorf("unknown operator %q", m.Op)
		}
		matcher, err := labels.NewMatcher(typ, m.Name, m.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, matcher)
	}
	return out, nil
}
