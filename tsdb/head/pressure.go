package head

import (
	"context"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/pressure"
)

// admit decides about a label set that the head does not know.
func (h *Head) admit(key series.Key, lset labels.Labels) storage.Reason {
	if h.set.deps.Pressure() >= pressure.RefuseSeries {
		return storage.ReasonMemory
	}
	x := &h.index
	x.mu.RLock()
	full := x.fullLocked()
	x.mu.RUnlock()
	if full {
		return storage.ReasonSeriesLimit
	}
	if reason := h.set.deps.Admitter.Admit(h.id, key, lset); reason != storage.ReasonNone {
		return reason
	}
	if !h.set.deps.Room() {
		return storage.ReasonMemory
	}
	return storage.ReasonNone
}

// shape asks under which labels to store a label set that the head does not know.
func (h *Head) shape(key series.Key, lset labels.Labels, o storage.Offer) (as labels.Labels, other bool, reason storage.Reason) {
	shaper, ok := h.set.deps.Admitter.(storage.Shaper)
	if !ok {
		return lset, false, storage.ReasonNone
	}
	return shaper.Shape(h.id, key, lset, o)
}

// bears tells whether a commit may be taken under the present pressure: what
// closed groups scrape always, what others push not at the last level.
func (s *Heads) bears(ps []*prepared) error {
	if s.deps.Pressure() < pressure.RefusePushes {
		return nil
	}
	for _, p := range ps {
		if g := p.handle.group; g.kind != storage.Closed {
			return fmt.Errorf("commit: group %q: %w: the memory limit is reached", g.name, storage.ErrOverloaded)
		}
	}
	return nil
}

// sealEarlyMin is the number of positions that are worth sealing before their
// time: fewer take little in streams, and more as chunks of their own.
const sealEarlyMin = 16

// SealEarly seals what is in streams of every group, though it is not due yet.
// It returns when all is sealed or ctx has ended.
func (s *Heads) SealEarly(ctx context.Context) error {
	for _, id := range s.Tenants() {
		for _, g := range s.Head(id).allGroups() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			g.mu.Lock()
			if t := g.open; t != nil {
				to := len(t.times)
				if g.kind != storage.Closed {
					to -= lagMax
				}
				if to-t.from >= sealEarlyMin && g.streams.Len() > 0 {
					g.sealLocked(to)
				}
			}
			g.mu.Unlock()
		}
	}
	return nil
}
