package head

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/arena"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/pressure"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
)

// Deps are what the heads work with.
type Deps struct {
	Log *wal.Log
	// Files is the file system that what is sealed goes to, into the directory
	// Dir. Without one it stays in memory.
	Files      vfs.FS
	Dir        string
	Admitter   storage.Admitter
	Now        func() time.Time
	Registerer prometheus.Registerer
	// Memory is where series and samples are kept outside of the Go heap; nil: in
	// memory of the heads' own.
	Memory *arena.Allocator
	// Pressure tells how near the process is to its memory limit; nil: far.
	Pressure func() pressure.Level
	// Room takes the room of one new series, and tells whether there was any; nil:
	// always.
	Room func() bool
}

// Heads are the heads of all tenants over one log. It is safe for concurrent
// use.
type Heads struct {
	opts    Options
	deps    Deps
	metrics *metrics
	spanMs  int64
	snaps   snapshots
	commits sync.Pool // of *commit

	lateFull chan struct{} // has room for one

	scratches sync.Pool // of *scratch
	sealers   sync.Pool // of *sealer

	numbers atomic.Uint64 // the last group number in the log
	tokens  atomic.Uint64 // the last writer of a closed group
	private sync.Mutex    // held by a commit from its first private sample to its publication
	publish sync.Mutex    // held while a commit is published
	visible atomic.Uint64 // the last published commit
	lost    losses        // what backlogs could not be applied to
	seals   seals

	mu      sync.RWMutex // guards the field below
	tenants map[tenant.ID]*Head
}

// New returns heads without samples. Replay is called before anything else
// when the log has earlier segments.
func New(opts Options, deps Deps) (*Heads, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("head options: %w", err)
	}
	opts = opts.withDefaults()
	if deps.Admitter == nil {
		deps.Admitter = storage.AdmitAll{}
	}
	if deps.Pressure == nil {
		deps.Pressure = func() pressure.Level { return pressure.Relaxed }
	}
	if deps.Room == nil {
		deps.Room = func() bool { return true }
	}
	if deps.Memory == nil {
		deps.Memory = arena.New()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	s := &Heads{opts: opts, deps: deps, spanMs: opts.BlockRange.Milliseconds(), tenants: map[tenant.ID]*Head{}, lateFull: make(chan struct{}, 1), snaps: snapshots{live: map[uint64]int{}}}
	s.seals = seals{fs: deps.Files, dir: deps.Dir, files: map[uint64]*sealFile{}}
	s.sealers.New = func() any { return new(sealer) }
	s.scratches.New = func() any { return new(scratch) }
	s.commits.New = func() any { return &commit{set: s} }
	s.metrics = newMetrics(deps.Registerer, s)
	return s, nil
}

// spanOf is the start of the span of a time.
func (s *Heads) spanOf(t int64) int64 {
	n := t / s.spanMs
	if t < 0 && t%s.spanMs != 0 {
		n--
	}
	return n * s.spanMs
}

// Head is the head of one tenant.
type Head struct {
	set *Heads
	id  tenant.ID

	memory memory

	horizon atomic.Int64 // samples before it are late, or refused (I4)
	newest  atomic.Int64 // the time of the newest sample in the log or in a file of seals
	late    *late.Buffer // has a lock of its own

	index index // has a lock of its own

	tiles   columns
	defs    definitions
	about   about
	changes changes // has a lock of its own

	deleting  sync.Mutex                  // held by who changes deletions
	deletions atomic.Pointer[[]*Deletion] // nil when there are none

	mu     sync.RWMutex // guards the fields below
	groups []*group     // by group.index; nil where one is gone
	byName map[groupName]*group
	// logged has the latest sample time by segment: what Drop tells about the
	// log.
	logged map[uint64]int64
}

// columns finds tiles by their id.
type columns struct {
	mu   sync.RWMutex // guards the fields below
	next uint32
	of   map[part.ColumnID]columnPlace
}

type columnPlace struct {
	group *group
	tile  *tile
}

type groupName struct {
	kind storage.GroupKind
	key  series.Key
	name string
}

// minTime is the horizon of a head that has none.
const minTime = -1 << 62

// Head returns the head of a tenant, which is made when there is none.
func (s *Heads) Head(id tenant.ID) *Head {
	s.mu.RLock()
	h := s.tenants[id]
	s.mu.RUnlock()
	if h != nil {
		return h
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h = s.tenants[id]; h == nil {
		mem := newMemory(s.deps.Memory.Owner())
		h = &Head{
			set: s, memory: mem, id: id, index: newIndex(mem.owner, s.oldest), about: newAbout(), changes: newChanges(), tiles: columns{of: map[part.ColumnID]columnPlace{}},
			byName: map[groupName]*group{}, logged: map[uint64]int64{},
		}
		h.late = late.New(late.Options{SpanMs: s.spanMs, BytesMax: s.opts.LateBytesMax})
		h.horizon.Store(minTime)
		h.newest.Store(minTime)
		s.tenants[id] = h
	}
	return h
}

// Tenants returns the tenants that have a head, sorted.
func (s *Heads) Tenants() []tenant.ID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]tenant.ID, 0, len(s.tenants))
	for id := range s.tenants {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Series is the number of series of all tenants.
func (s *Heads) Series() int {
	n := 0
	for _, id := range s.Tenants() {
		n += s.Head(id).Series()
	}
	return n
}

// Series is the number of series of the head.
func (h *Head) Series() int {
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	return h.index.liveLocked()
}

// OpenGroup implements storage.Writer for the heads.
func (s *Heads) OpenGroup(_ context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("open group: %w", err)
	}
	if spec.Kind != storage.Closed && spec.Kind != storage.Open {
		return nil, fmt.Errorf("open group %q: kind %d is neither closed nor open", spec.Name, spec.Kind)
	}
	h := s.Head(id)
	for {
		g := h.group(groupName{spec.Kind, spec.Key, spec.Name})
		g.mu.Lock()
		if g.handles < 0 { // evicted between the two steps
			g.mu.Unlock()
			continue
		}
		g.handles++
		g.scraped = spec.Scraped
		hd := &handle{group: g, merges: spec.Merges}
		if spec.Kind == storage.Closed {
			hd.token = s.tokens.Add(1)
			g.writer = hd.token
			g.takeover = g.takeover || g.hasTime
		}
		g.mu.Unlock()
		return hd, nil
	}
}

// group returns the group of a name, which is made when there is none.
func (h *Head) group(name groupName) *group {
	h.mu.Lock()
	defer h.mu.Unlock()
	if g := h.byName[name]; g != nil {
		return g
	}
	g := h.addGroupLocked(name, h.set.numbers.Add(1))
	return g
}

func (h *Head) addGroupLocked(name groupName, number uint64) *group {
	g := &group{head: h, index: uint32(len(h.groups)), number: number, kind: name.kind, key: name.key, name: name.name, version: 1}
	g.mu.group = g
	h.groups = append(h.groups, g)
	if name.kind != private {
		h.byName[name] = g
	}
	return g
}

func (h *Head) groupAt(index uint32) *group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if int(index) >= len(h.groups) {
		return nil // nowhere
	}
	return h.groups[index]
}
