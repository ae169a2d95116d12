package head

import (
	"context"

	"github.com/nilometer/nilometer/storage"
)

// SealBefore makes every group independent of the segments of the log before
// one, so that these can go however seldom a group is written: what a group has
// in streams is sealed though it is not due yet. Of groups that are not closed
// the last positions stay open, and the file has them beside. It returns when
// all of it is in files; the error is that of the file, and then the log goes
// back to where it did.
func (s *Heads) SealBefore(ctx context.Context, segment uint64) error {
	if s.seals.fs == nil {
		return nil
	}
	for _, id := range s.Tenants() {
		for _, g := range s.Head(id).allGroups() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			g.mu.Lock()
			if g.need < segment {
				g.sealSlowLocked(segment)
			}
			g.mu.Unlock()
		}
	}
	return s.Flush(ctx, true)
}

// sealSlowLocked seals what the group has in streams. Where all is sealed, and
// the newest file of seals has the group's last record, the segments before one
// have nothing for it.
func (g *group) sealSlowLocked(segment uint64) {
	if t := g.open; t != nil && t.from < len(t.times) {
		to := len(t.times)
		if g.kind != storage.Closed {
			to = max(to-lagMax, t.from+1)
		}
		g.sealLocked(to)
		return
	}
	if g.sealedSeq == g.seq && g.seq > 0 {
		g.need = segment
	}
}
