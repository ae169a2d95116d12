package scrape

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Lines that are remembered and have no series: dropped by relabelling, or
// refused by the store.
const (
	groupDropped = exposition.GroupMax
	groupRefused = exposition.GroupMax - 1
	groupsMax    = groupRefused // groups of one target
)

// refusedKeep is after how many scrapes refused series are offered again: a
// target over a limit must not cost the slow path each time.
const refusedKeep = 16

// slotMax bounds slots, which index bitmaps here.
const slotMax = 1 << 26

// group is a storage group that a target writes.
type group struct {
	handle  storage.Group
	kind    storage.GroupKind
	key     series.Key
	version uint64
	// present are the slots that have a value since the last batch; of open
	// groups where TrackTimestamps asks for it.
	present bitmap
	merged  merged
}

type groupKey struct {
	key  series.Key
	kind storage.GroupKind
}

// sink writes the scrapes of one target. It belongs to the target's loop and
// holds what is kept between scrapes: 16 bytes a line, a bit a series.
type sink struct {
	writer  storage.Writer
	tenant  tenant.ID
	name    string // of the groups
	options *PoolOptions
	target  labels.Labels
	timeout time.Duration
	reading exposition.Options // but for the format
	metrics *metrics

	memory exposition.Memory
	groups []*group // by exposition.Ref.Group; nil where one was given back
	byKey  map[groupKey]uint16
	report report
	// remembers tells that the memory has the lines of the last scrape.
	remembers bool
	// families is what the target said about its metrics.
	families families
	// whole makes the next batch of every closed group state all of its
	// members: after a start, a takeover, or a change of membership.
	whole   bool
	scrapes int // since refused lines were last forgotten
}

func newSink(m *Manager, o *PoolOptions, s *spec) *sink {
	// One URL may be several targets, told apart by their labels alone.
	identity, _ := series.HashOf(s.labels, nil)
	return &sink{
		writer: m.deps.Writer, tenant: m.deps.Tenant, options: o, target: s.labels, metrics: m.metrics,
		timeout: s.timeout, reading: exposition.Options{
			Native: s.histograms.NativeHistograms, Custom: s.histograms.CustomHistograms, Classic: s.histograms.ClassicHistograms,
			Starts: o.StartTimestamps,
		},
		name:  fmt.Sprintf("scrape:%s/%s#%016x", o.Job, s.url, uint64(identity)),
		byKey: map[groupKey]uint16{}, whole: true,
	}
}

// inherit takes over the groups of an ended sink of the same target, so that
// series that the new options no longer bring are marked stale.
func (s *sink) inherit(old *sink) {
	s.groups, s.byKey, s.families = old.groups, old.byKey, old.families
	old.groups, old.byKey = nil, map[groupKey]uint16{}
}

// outcome is what a body came to.
type outcome struct {
	scraped   int // samples in the body
	relabeled int // left after relabelling
	added     int // series that were not there in the scrape before
	duplicate int
	refused   map[storage.Reason]int
	stored    int
	exemplars int // stored
	bodySize  int // bytes, uncompressed; as the report has it
}

// errRescan asks for another pass over the body: something remembered does not
// hold any more, and was forgotten.
var errRescan = errors.New("remembered lines do not hold")

// passesMax bounds the passes over one body.
const passesMax = 4

// write stores body as one scrape at the time t (ms); elapsed tells, at the
// end, how long it took, in seconds. On an error nothing was stored.
func (s *sink) write(ctx context.Context, w *work, body []byte, f exposition.Format, t int64, elapsed func() float64) (out outcome, err error) {
	if s.scrapes++; s.scrapes >= refusedKeep {
		s.memory.Forget(func(r exposition.Ref) bool { return r.Group == groupRefused })
		s.scrapes = 0
	}
	for range passesMax {
		out, err = s.pass(ctx, w, body, f, t, elapsed)
		switch {
		case errors.Is(err, storage.ErrVersion):
			s.forget()
		case errors.Is(err, errRescan):
		default:
			if errors.Is(err, storage.ErrGroupClosed) {
				s.close()
			}
			return out, err
		}
	}
	return out, fmt.Errorf("the group's members changed %d times in one scrape: %w", passesMax, err)
}

// rank is that of the target's next scrape.
func (s *sink) rank() rank {
	if s.remembers {
		return known
	}
	return newcomer
}

// forget drops all slots: every label set is resolved again.
func (s *sink) forget() {
	s.memory.Forget(nil)
	s.report.resolved, s.remembers = false, false
	s.whole = true
	for _, g := range s.groups {
		if g != nil {
			g.present, g.version, g.merged = nil, 0, nil
		}
	}
}

// learnVersions asks for the membership's version of groups in which nothing
// was resolved since it changed.
func (s *sink) learnVersions(ctx context.Context) error {
	for _, g := range s.groups {
		if g == nil || g.version != 0 {
			continue
		}
		var err error
		if g.version, err = g.handle.Resolve(ctx, nil, nil); err != nil {
			return fmt.Errorf("learn the group's version: %w", err)
		}
	}
	return nil
}

func (s *sink) pass(ctx context.Context, w *work, body []byte, f exposition.Format, t int64, elapsed func() float64) (outcome, error) {
	w.reset()
	w.t = t
	reading := s.reading
	reading.Format = f
	if err := w.scan.Scan(&s.memory, body, reading); err != nil {
		return outcome{scraped: w.scan.Samples(), relabeled: s.countRelabeled(w)}, err
	}
	if err := s.resolveReport(ctx, w); err != nil {
		return outcome{}, err
	}
	out := outcome{scraped: w.scan.Samples(), bodySize: len(body)}
	if err := s.placeKnown(w, &out); err != nil {
		return out, err
	}
	if err := s.placeNew(ctx, w, &out); err != nil {
		s.abandon(ctx, w)
		return out, err
	}
	s.placeExemplars(w)
	s.addReport(w, s.reportOf(1, elapsed(), out))
	var known families
	known, w.metadata = s.families.learn(w.scan.Metadata)
	err := s.commit(ctx, w, t, s.whole, &out)
	if err == nil {
		s.families = known
		w.scan.Commit(&s.memory)
		s.remembers = true
		s.release()
		s.whole = false
	}
	return out, err
}

// writeFailed stores a failed scrape: every series of the target ends, and the
// report says that it is down.
func (s *sink) writeFailed(ctx context.Context, w *work, t int64, elapsed float64, out outcome) error {
	out.added = 0
	for range passesMax {
		w.reset()
		err := s.resolveReport(ctx, w)
		if err == nil {
			s.addReport(w, s.reportOf(0, elapsed, out))
			var ignored outcome
			err = s.commit(ctx, w, t, true, &ignored)
		}
		if errors.Is(err, storage.ErrGroupClosed) {
			s.close()
			continue
		}
		if !errors.Is(err, storage.ErrVersion) {
			return err
		}
		s.forget()
	}
	return fmt.Errorf("the group's members changed %d times in one scrape", passesMax)
}

// end marks everything that the target wrote as stale at the time t (ms).
func (s *sink) end(ctx context.Context, w *work, t int64) error {
	if len(s.groups) == 0 {
		return nil
	}
	for range passesMax {
		w.reset()
		var ignored outcome
		err := s.commit(ctx, w, t, true, &ignored)
		if !errors.Is(err, storage.ErrVersion) {
			return err
		}
		s.forget()
	}
	return storage.ErrVersion
}

// close gives all groups back.
func (s *sink) close() {
	for _, g := range s.groups {
		if g != nil {
			_ = g.handle.Close() // nothing to save: what was committed is
		}
	}
	s.groups, s.byKey = nil, map[groupKey]uint16{}
	s.forget()
}

// groupFor returns the number of the group for a placement key, opening it
// when it is not.
func (s *sink) groupFor(ctx context.Context, key series.Key, kind storage.GroupKind) (uint16, error) {
	k := groupKey{key, kind}
	if i, ok := s.byKey[k]; ok {
		return i, nil
	}
	free := len(s.groups)
	for i, g := range s.groups {
		if g == nil {
			free = i
			break
		}
	}
	if free >= groupsMax {
		return 0, &limitError{what: "the number of placement keys of one target", max: groupsMax, seen: groupsMax + 1}
	}
	h, err := s.writer.OpenGroup(ctx, s.tenant, storage.GroupSpec{Kind: kind, Key: key, Name: s.name, Scraped: true, Merges: true})
	if err != nil {
		return 0, fmt.Errorf("open group: %w", err)
	}
	if free == len(s.groups) {
		s.groups = append(s.groups, nil)
	}
	s.groups[free] = &group{handle: h, kind: kind, key: key}
	s.byKey[k] = uint16(free)
	return uint16(free), nil
}

// release gives groups back that have no series any more. No remembered line
// names them: it is called when the memory is that of the last body.
func (s *sink) release() {
	if len(s.groups) < 2 {
		return
	}
	for i, g := range s.groups {
		if g == nil || g.kind != storage.Closed || uint16(i) == s.report.group || !g.present.empty() {
			continue
		}
		_ = g.handle.Close() // nothing to save: what was committed is
		delete(s.byKey, groupKey{g.key, g.kind})
		s.groups[i] = nil
	}
}
