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
	groups map[uint64]*restored
	faults []error
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
	rs := &restoring{groups: map[uint64]*restored{}}
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
		h.index.define(d, func(number uint64, id seriesID) { r.define(h, number, id) })
	}
	return nil
}

// numbersOf returns the numbers of a head's series.
func (r *replay) numbersOf(h *Head) *numbering {
	if r.numbers[h] == nil {
		r.numbers[h] = newNumbering()
	}
	return r.numbers[h]
}

// define notes the number of a series; the index is locked. Labels that have two
// were forgotten in between: the newest number is theirs.
func (r *replay) define(h *Head, number uint64, id seriesID) {
	x, numbers := &h.index, r.numbersOf(h)
	switch was := x.numberLocked(id); {
	case was > number:
		return
	case was < number:
		numbers.unset(was)
		x.setNumberLocked(id, number)
	}
	numbers.set(number, id)
	h.defs.knowLocked(id)
	h.defs.count++
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
		h := r.set.Head(tenant.ID(g.Tenant))
		h.index.atLeast(g.Newest)
		if g.Span+r.set.spanMs <= h.horizon.Load() {
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
	p.seq, p.last, p.group.need = newest.Seq, newest.Last, newest.Segment
	p.group.sealedSeq = newest.Seq
	h.noteSealed(newest.Last)
	numbers := r.numbersOf(h)
	x := &h.index
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range newest.Members {
		m := &newest.Members[i]
		for k := range m.Count {
			id, ok := numbers.of(m.Series + uint64(k))
			g.ids = append(g.ids, id)
			if ok { // else it was forgotten: what is named here is in blocks
				r.restoreMember(p, id, m.Foreign, m.Slot+k)
			}
		}
	}
	p.steps = append(p.steps, step{restored: g, seq: newest.Seq, segment: newest.Segment})
}

// restoreMember gives a slot of a group the series that the newest seal of the
// group says. The index is locked.
func (r *replay) restoreMember(p *replayed, id seriesID, left bool, slot uint32) {
	at := p.grow(slot)
	*at = place{series: id, state: foreign}
	if left {
		p.group.head.index.wasAtLocked(id, owner{p.group.index, slot})
		return
	}
	at.state = r.seatLocked(p, slot, id)
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
		for id, number := range x.numbers.All() {
			if number != 0 && x.ownerLocked(seriesID(id)) == nowhere {
				gone = append(gone, seriesID(id))
			}
		}
		for _, id := range gone {
			x.hideLocked(id)
			r.noteGone(h, id)
		}
		x.unpostLocked(gone, 0)
		x.mu.Unlock()
		h.defs.undefine(gone)
	}
}

// endRestore lets go of files of which nobody has anything.
func (r *replay) endRestore() {
	for _, f := range r.files {
		r.set.unuse(f)
	}
}
