package head

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/vfs"
)

// seals are the files of what was sealed: with them a start needs of the log
// only what came after, and memory only what is in streams. What is sealed waits
// here until there is enough for a file, or for long enough.
type seals struct {
	fs  vfs.FS // nil: seals stay in memory
	dir string

	writing sync.Mutex // held while a file is written

	mu      sync.Mutex // guards the fields below
	pending []pendingSeal
	bytes   int       // of pending
	since   time.Time // of the oldest in pending
	number  uint64    // of the newest file
	files   map[uint64]*sealFile
}

// pendingSeal is a stretch that is in memory only.
type pendingSeal struct {
	group   *group
	tile    *tile
	from    int
	segment uint64
	seq     uint64
	head    []byte
	body    []byte
	more    []byte // the second stretch of the body
}

// sealFile is a file that has stretches of the heads, or definitions that files
// after it lean on.
type sealFile struct {
	number  uint64
	mapping vfs.Mapping
	live    int // stretches that are in use
}

// definitions are the series that files name by their numbers.
type definitions struct {
	mu    sync.Mutex   // guards the fields below
	known []uint64     // bits by seriesID: in fresh, or in a file
	fresh []definition // not in a file yet
	files []uint64     // those with definitions, oldest first
	count int          // in files
}

// definition is the number of a series.
type definition struct {
	number uint64
	id     seriesID
}

// The names of files, before their number.
const (
	sealPrefix   = "seals-"
	seriesPrefix = "series-"
)

func (s *seals) name(prefix string, number uint64) string {
	return path.Join(s.dir, fmt.Sprintf("%s%08d", prefix, number))
}

// put lets what a group has just sealed wait for a file. The state of the group
// is that after its last record.
func (s *Heads) put(g *group, t *tile, st *stretch, more []byte, derived []bool) {
	if s.seals.fs == nil {
		return
	}
	state := seal.Group{
		Tenant: string(g.head.id), Number: g.number, Kind: byte(g.kind), Key: uint64(g.key), Name: g.name,
		Seq: g.seq, Segment: s.deps.Log.Segment(), Last: g.lastTime,
		Span: t.span, From: st.from, To: st.to, End: len(t.times), Times: t.times[st.from:],
		StretchBytes: len(st.Bytes()),
	}
	if g.replaying != 0 {
		state.Segment = g.replaying
	}
	g.membersLocked(&state, derived)
	p := pendingSeal{group: g, tile: t, from: st.from, segment: state.Segment, seq: state.Seq, head: seal.AppendGroup(nil, &state), body: st.Bytes(), more: more}
	l := &s.seals
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == 0 {
		l.since = s.deps.Now()
	}
	l.pending = append(l.pending, p)
	l.bytes += len(p.head) + len(p.body) + len(p.more)
}

// membersLocked adds what the slots of a group stand for to its seal; derived
// says of which slots the last value stands in what is sealed now.
func (g *group) membersLocked(to *seal.Group, derived []bool) {
	d := &g.head.defs
	d.mu.Lock()
	defer d.mu.Unlock()
	g.head.index.mu.RLock()
	defer g.head.index.mu.RUnlock()
	to.Newest = g.head.index.newest
	for slot := range g.members {
		m := &g.members[slot]
		if m.state != own && m.state != foreign || m.unlogged || g.gone[m.series] {
			continue
		}
		number := g.head.index.numberLocked(m.series)
		if number == 0 { // just forgotten
			continue
		}
		d.defineLocked(m.series, number)
		x := seal.Member{Slot: uint32(slot), Series: number, Foreign: m.state == foreign}
		if !x.Foreign {
			x.Present, x.HasValue = m.present, m.hasValue
			if !derived[slot] {
				value := g.unboxLocked(m.bits)
				x.Explicit, x.Bits, x.Histogram, x.Start = true, value.bits, value.hist, g.startLocked(uint32(slot))
				x.Time, _ = g.lastSampleLocked(uint32(slot))
			}
		}
		to.AddMember(x)
	}
}

// defineLocked sees to it that a series is defined.
func (d *definitions) defineLocked(id seriesID, number uint64) {
	if d.knowLocked(id) {
		d.fresh = append(d.fresh, definition{number, id})
	}
}

// knowLocked notes that a series is defined, and tells whether that is new.
func (d *definitions) knowLocked(id seriesID) bool {
	for int(id>>6) >= len(d.known) {
		d.known = append(d.known, 0)
	}
	bit := uint64(1) << (id & 63)
	was := d.known[id>>6]
	d.known[id>>6] |= bit
	return was&bit == 0
}

// undefine forgets the definitions of series that are forgotten.
func (d *definitions) undefine(ids []seriesID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if int(id>>6) < len(d.known) {
			d.known[id>>6] &^= 1 << (id & 63)
		}
	}
}

// Flush writes what was sealed to a file, when there is enough of it, or it has
// waited for long enough, or force asks for it. What it could not write waits on
// in memory, and the log goes back to it.
func (s *Heads) Flush(ctx context.Context, force bool) error {
	l := &s.seals
	if l.fs == nil {
		return nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	due := len(l.pending) > 0 && (force || l.bytes >= s.opts.SealFileBytes || s.deps.Now().Sub(l.since) >= s.opts.SealFileAge)
	pending, number := l.pending, l.number+1
	if due {
		l.pending, l.bytes, l.number = nil, 0, number
	}
	l.mu.Unlock()
	if !due {
		return nil
	}
	f, err := s.write(ctx, number, pending)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pending = append(pending, l.pending...)
		for _, p := range pending {
			l.bytes += len(p.head) + len(p.body) + len(p.more)
		}
		return fmt.Errorf("write seals: %w", err)
	}
	s.settle(f, pending)
	return nil
}

// write makes the file of what was sealed, and before it that of the series which
// it names first. The log is durable up to what the seals say before they are.
func (s *Heads) write(ctx context.Context, number uint64, pending []pendingSeal) (*sealFile, error) {
	if err := s.deps.Log.Sync(ctx); err != nil {
		return nil, err
	}
	for _, id := range s.Tenants() {
		if err := s.Head(id).writeSeries(number); err != nil {
			return nil, err
		}
	}
	w := fileWriter{at: seal.HeaderBytes}
	err := s.seals.create(s.seals.name(sealPrefix, number), func(f io.Writer) error {
		w.file = f
		w.write(seal.AppendHeader(nil))
		for _, p := range pending {
			w.frame(seal.Groups, p.head, p.body, p.more)
		}
		w.write(w.table.Append(nil))
		return w.err
	})
	if err != nil {
		return nil, err
	}
	s.metrics.sealBytes.Add(float64(w.written))
	m, err := s.seals.fs.Map(s.seals.name(sealPrefix, number))
	if err != nil {
		return nil, err
	}
	return &sealFile{number: number, mapping: m}, nil
}

// fileWriter writes frames to a file of seals. The first error stays.
type fileWriter struct {
	file    io.Writer
	table   seal.Table
	at      uint64
	written int
	err     error
}

func (w *fileWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.file.Write(b)
		w.written += len(b)
	}
}

func (w *fileWriter) frame(k seal.Kind, head []byte, body ...[]byte) {
	f := w.table.Add(k, w.at, head, body...)
	w.at += uint64(f.Head) + uint64(f.Body)
	w.write(head)
	for _, b := range body {
		w.write(b)
	}
}

// create makes a file and its directory.
func (l *seals) create(name string, fill func(io.Writer) error) error {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return err
	}
	return vfs.Replace(l.fs, name, fill)
}

// settle gives the groups the mapped bytes in place of those in memory.
func (s *Heads) settle(f *sealFile, pending []pendingSeal) {
	frames, err := seal.ReadFile(f.mapping.Bytes())
	if err != nil || len(frames) != len(pending) {
		panic(fmt.Sprintf("head: the file of seals %d that was just made has %d frames of %d: %v", f.number, len(frames), len(pending), err))
	}
	l := &s.seals
	l.mu.Lock()
	l.files[f.number] = f
	f.live++ // until all groups have theirs
	l.mu.Unlock()
	for i, p := range pending {
		from := frames[i].Offset + uint64(frames[i].Head)
		s.settleOne(f, p, f.mapping.Bytes()[from:from+uint64(len(p.body)):from+uint64(len(p.body))])
	}
	s.unuse(f)
}

func (s *Heads) settleOne(f *sealFile, p pendingSeal, body []byte) {
	p.group.mu.Lock()
	defer p.group.mu.Unlock()
	p.group.need, p.group.sealedSeq = max(p.group.need, p.segment), max(p.group.sealedSeq, p.seq)
	for i := range p.tile.stretches {
		st := &p.tile.stretches[i]
		if st.from != p.from || p.tile.dropped {
			continue
		}
		mapped, err := seal.ReadStretch(body, st.to-st.from)
		if err != nil {
			panic("head: a stretch that was just written cannot be read: " + err.Error())
		}
		st.Stretch, st.file = mapped, f
		s.seals.mu.Lock()
		f.live++
		s.seals.mu.Unlock()
	}
}

// unuse gives up one use of a file, which goes with the last.
func (s *Heads) unuse(f *sealFile) {
	l := &s.seals
	l.mu.Lock()
	f.live--
	gone := f.live == 0
	if gone {
		delete(l.files, f.number)
	}
	l.mu.Unlock()
	if gone {
		// A file that stays is looked at again by the next start.
		_ = f.mapping.Close()
		_ = l.fs.Remove(l.name(sealPrefix, f.number))
	}
}

// Limits of definitions.
const (
	seriesFilesMax = 16 // of a tenant; over it, all are written anew
	definitionsMin = 10_000
)

// writeSeries writes the definitions of series that are in no file; when there
// are many files, or most of their definitions are of series that are gone, those
// of all series in place of them.
func (h *Head) writeSeries(number uint64) error {
	d := &h.defs
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.fresh) == 0 {
		return nil
	}
	fresh, old := d.fresh, d.files
	all := len(d.files) >= seriesFilesMax || d.count+len(fresh) > 2*h.Series()+definitionsMin
	if all {
		fresh = d.allLocked(&h.index)
	}
	l := &h.set.seals
	name := h.seriesName(number)
	w := fileWriter{at: seal.HeaderBytes}
	err := l.create(name, func(f io.Writer) error {
		w.file = f
		w.write(seal.AppendHeader(nil))
		for rest := fresh; len(rest) > 0; {
			n := min(len(rest), seal.SeriesMax)
			w.frame(seal.Series, seal.AppendDefinitions(nil, h.index.definitions(string(h.id), rest[:n])))
			rest = rest[n:]
		}
		w.write(w.table.Append(nil))
		return w.err
	})
	if err != nil {
		return err
	}
	h.set.metrics.sealBytes.Add(float64(w.written))
	d.fresh, d.count = nil, d.count+len(fresh)
	d.files = append(d.files, number)
	if all {
		d.files, d.count = []uint64{number}, len(fresh)
		for _, n := range old {
			_ = l.fs.Remove(h.seriesName(n)) // else the next start reads what it does not need
		}
	}
	return nil
}

// dropSeries deletes the definitions when no file leans on them.
func (h *Head) dropSeries() {
	l := &h.set.seals
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	used := len(l.files)+len(l.pending) > 0
	l.mu.Unlock()
	if used {
		return
	}
	d := &h.defs
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.files {
		_ = l.fs.Remove(h.seriesName(n)) // else the next start reads what it does not need
	}
	clear(d.known)
	d.files, d.fresh, d.count = nil, nil, 0
}

// seriesName is the name of a file with definitions: each tenant has its own.
func (h *Head) seriesName(number uint64) string {
	return h.set.seals.name(seriesPrefix, number) + "-" + string(h.id)
}

// allLocked returns the numbers of all series that are defined, in order.
func (d *definitions) allLocked(x *index) []definition {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []definition
	for id, number := range x.numbers.All() {
		if number != 0 && id>>6 < len(d.known) && d.known[id>>6]&(1<<(id&63)) != 0 {
			out = append(out, definition{number, seriesID(id)})
		}
	}
	slices.SortFunc(out, func(a, b definition) int { return cmp.Compare(a.number, b.number) })
	return out
}
