package head

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/vfs"
)

// restored are the frames of one group, oldest first, and the series of the
// newest one's members.
type restored struct {
	frames []restoredFrame
	ids    []seriesID
}

type restoredFrame struct {
	*seal.Group
	frame seal.Frame
	file  *sealFile
}

// restoring is what a replay knows of the files of seals.
type restoring struct {
	numbers map[*Head]*numbering // series by the number of their definition
	groups  map[uint64]*restored
	faults  []error
}

func (r *restoring) fault(err error) {
	if len(r.faults) < faultsMax {
		r.faults = append(r.faults, err)
	}
}

// restore makes the groups as they were when they were last sealed. What it
// cannot read it reports: the log may still have it. A file of a newer version
// ends the replay.
func (r *replay) restore() ([]error, error) {
	l := &r.set.seals
	if l.fs == nil {
		return nil, nil
	}
	names, err := l.fs.List(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list seals: %w", err)
	}
	rs := &restoring{numbers: map[*Head]*numbering{}, groups: map[uint64]*restored{}}
	var files []uint64
	for _, name := range names { // in order of their numbers
		switch number, rest, ok := numberOf(name); {
		case strings.HasSuffix(name, vfs.Unfinished):
			_ = l.fs.Remove(path.Join(l.dir, name)) // a crash during its making
		case !ok:
		case strings.HasPrefix(name, seriesPrefix):
			l.number = max(l.number, number)
			err = errors.Join(err, r.readSeries(rs, name, tenant.ID(strings.TrimPrefix(rest, "-")), number))
		case strings.HasPrefix(name, sealPrefix) && rest == "":
			l.number = max(l.number, number)
			files = append(files, number)
		}
	}
	for _, number := range files {
		err = errors.Join(err, r.readSeals(rs, number))
	}
	if err != nil {
		return rs.faults, err
	}
	for _, number := range slices.Sorted(maps.Keys(rs.groups)) {
		r.restoreGroup(rs, number, rs.groups[number])
	}
	r.formerPlaces()
	return rs.faults, nil
}

// numberOf takes the name of a file apart.
func numberOf(name string) (number uint64, rest string, ok bool) {
	for _, prefix := range []string{sealPrefix, seriesPrefix} {
		if s, has := strings.CutPrefix(name, prefix); has {
			digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
			number, err := strconv.ParseUint(s[:digits], 10, 64)
			return number, s[digits:], err == nil
		}
	}
	return 0, "", false
}

// readSeries makes the series of a file of definitions. They are in no group
// yet.
func (r *replay) readSeries(rs *restoring, name string, id tenant.ID, number uint64) error {
	if err := id.Validate(); err != nil {
		rs.fault(fmt.Errorf("file %s: %w", name, err))
		return nil
	}
	m, err := r.set.seals.fs.Map(path.Join(r.set.seals.dir, name))
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer m.Close() //nolint:errcheck // read only
	frames, err := seal.ReadFile(m.Bytes())
	if errors.Is(err, seal.ErrFuture) {
		return fmt.Errorf("file %s: %w", name, err)
	}
	if err != nil {
		rs.fault(fmt.Errorf("file %s: %w", name, err))
	}
	h := r.set.Head(id)
	h.defs.files = append(h.defs.files, number)
	for _, f := range frames {
		head, err := f.ReadHead(m.Bytes())
		var d *seal.Definitions
		if err == nil {
			d, err = seal.ReadDefinitions(head)
		}
		if err != nil {
			rs.fault(fmt.Errorf("file %s: %w", name, err))
			continue
		}
		h.index.define(d, func(number uint64, id seriesID) { rs.define(h, number, id) })
	}
	return nil
}

// numbersOf returns the numbers of a head's series.
func (r *restoring) numbersOf(h *Head) *numbering {
	if r.numbers[h] == nil {
		r.numbers[h] = newNumbering()
	}
	return r.numbers[h]
}

// define notes the number of a series. Labels that were defined before were
// forgotten in between: the newest number is theirs.
func (r *restoring) define(h *Head, number uint64, id seriesID) {
	numbers := r.numbersOf(h)
	if was := h.defs.set(id, number); was != 0 {
		numbers.unset(was)
	}
	numbers.set(number, id)
}

// set notes the number of a series that a file defines, and returns the one that
// it had.
func (d *definitions) set(id seriesID, number uint64) (was uint64) {
	for int(id) >= len(d.of) {
		d.of = append(d.of, 0)
	}
	was, d.of[id] = d.of[id], number
	d.next, d.count = max(d.next, number), d.count+1
	return was
}

// readSeals maps a file of seals and sorts its frames by group.
func (r *replay) readSeals(rs *restoring, number uint64) error {
	l := &r.set.seals
	name := l.name(sealPrefix, number)
	m, err := l.fs.Map(name)
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	frames, err := seal.ReadFile(m.Bytes())
	if errors.Is(err, seal.ErrFuture) {
		return errors.Join(fmt.Errorf("file %s: %w", name, err), m.Close())
	}
	if err != nil {
		rs.fault(fmt.Errorf("file %s: %w", name, err))
	}
	file := &sealFile{number: number, mapping: m}
	r.files = append(r.files, file)
	l.files[number] = file
	file.live++ // until the restoring is over
	for _, f := range frames {
		head, err := f.ReadHead(m.Bytes())
		var g *seal.Group
		if err == nil {
			g, err = seal.ReadGroup(head, int(f.Body))
		}
		if err == nil {
			err = tenant.ID(g.Tenant).Validate()
		}
		if err != nil {
			rs.fault(fmt.Errorf("file %s: %w", name, err))
			continue
		}
		if g.Span+r.set.spanMs <= r.set.Head(tenant.ID(g.Tenant)).horizon.Load() {
			continue // in a block
		}
		if rs.groups[g.Number] == nil {
			rs.groups[g.Number] = &restored{}
		}
		file.live++
		rs.groups[g.Number].frames = append(rs.groups[g.Number].frames, restoredFrame{Group: g, frame: f, file: file})
	}
	return nil
}

// restoreGroup makes a group and leaves it its frames as the first step of its
// backlog.
func (r *replay) restoreGroup(rs *restoring, number uint64, g *restored) {
	for len(g.frames) > 0 {
		newest := g.frames[len(g.frames)-1].Group
		err := newest.ReadMembers()
		if err == nil {
			break
		}
		rs.fault(fmt.Errorf("seal of group %q: %w", newest.Name, err))
		r.set.unuse(g.frames[len(g.frames)-1].file)
		g.frames = g.frames[:len(g.frames)-1]
	}
	if len(g.frames) == 0 {
		return
	}
	newest := g.frames[len(g.frames)-1].Group
	h := r.set.Head(tenant.ID(newest.Tenant))
	p := r.group(h, groupName{storage.GroupKind(newest.Kind), series.Key(newest.Key), newest.Name}, number)
	p.seq, p.last, p.restored, p.group.need = newest.Seq, newest.Last, true, newest.Segment
	p.group.sealedSeq = newest.Seq
	h.noteSealed(newest.Last)
	numbers := rs.numbersOf(h)
	x := &h.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range newest.Members {
		m := &newest.Members[i]
		for k := range m.Count {
			id, ok := numbers.of(m.Series + uint64(k))
			g.ids = append(g.ids, id)
			if ok { // else it was forgotten: what is named here is in blocks
				r.restoreMember(p, id, m, m.Slot+k, newest.Last)
			}
		}
	}
	p.steps = append(p.steps, step{restored: g, seq: newest.Seq, segment: newest.Segment})
}

// restoreMember gives a slot of a group the series that the newest seal of the
// group, until a time, says. The index is locked.
func (r *replay) restoreMember(p *replayed, id seriesID, m *seal.Member, slot uint32, until int64) {
	h := p.group.head
	x := &h.index
	at := p.grow(slot)
	*at = place{series: id, state: own}
	here := owner{p.group.index, slot}
	for int(id) >= len(r.seen[h]) {
		r.seen[h] = append(r.seen[h], minTime-1)
	}
	r.seen[h][id] = max(r.seen[h][id], until)
	switch was := x.ownerLocked(id); {
	case m.Foreign:
		at.state = foreign
		r.was = append(r.was, formerPlace{h, id, here})
	case was == nowhere:
		x.owners.All()[id] = here
		r.idles(h, id, m)
	case p.group.kind == private: // moves go to private groups, and the log says so to the other
		x.owners.All()[id] = here
		r.idles(h, id, m)
		r.was = append(r.was, formerPlace{h, id, was})
	default:
		r.was = append(r.was, formerPlace{h, id, here})
	}
}

// idles notes whether the newest seal of a series' owner has a sample of it.
func (r *replay) idles(h *Head, id seriesID, m *seal.Member) {
	if !m.Explicit {
		if len(r.idle[h]) > 0 {
			delete(r.idle[h], id)
		}
		return
	}
	if r.idle[h] == nil {
		r.idle[h] = map[seriesID]int64{}
	}
	r.idle[h][id] = m.Time
}

// formerPlace is a place where a series may have been before.
type formerPlace struct {
	head *Head
	id   seriesID
	at   owner
}

// formerPlaces notes where series were before they came to the group that has
// them now.
func (r *replay) formerPlaces() {
	for _, f := range r.was {
		x := &f.head.index
		x.mu.Lock()
		x.wasAtLocked(f.id, f.at)
		x.mu.Unlock()
	}
	r.was = nil
}

// forgetLeft forgets restored series that no group has: all that they had is in
// blocks. Groups that they had left for one that is over know them still, and are
// told with their backlogs, as who cuts tells them (forgetForeign): the numbers of
// these series go to others.
func (r *replay) forgetLeft() {
	for _, id := range r.set.Tenants() {
		h := r.set.Head(id)
		x := &h.index
		var gone []seriesID
		x.mu.Lock()
		for id, number := range h.defs.of {
			if number != 0 && x.ownerLocked(seriesID(id)) == nowhere {
				gone = append(gone, seriesID(id))
				h.defs.of[id] = 0
			}
		}
		for _, id := range gone {
			x.hideLocked(id)
			r.noteGone(h, id)
		}
		x.unpostLocked(gone, 0)
		x.mu.Unlock()
	}
}

// endRestore lets go of files of which nobody has anything.
func (r *replay) endRestore() {
	for _, f := range r.files {
		r.set.unuse(f)
	}
}
