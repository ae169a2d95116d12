package tsdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	format "github.com/nilometer/nilometer/format/cursor"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
)

// cursorsName has a file for each durable cursor (format/cursor).
const cursorsName = "cursors"

// holdsMax bounds the durable cursors of a database.
const holdsMax = 1000

// holdBytes is how much of the log is kept for a Tailer without a Hold.
const holdBytes = 1 << 30

// Hold is a durable cursor with a name. The log keeps what comes after it, up to
// a budget; beyond that it lets go of the oldest segments, and the cursor says
// what is to be read of what is stored in their place. Its methods are safe for
// concurrent use.
type Hold struct {
	db     *DB
	name   string // "" of one that is not durable
	tenant tenant.ID

	mu     sync.Mutex // guards what follows
	budget uint64
	cursor storage.Cursor
	letGo  int // segments so far
}

// holds are the cursors that the log is kept for.
type holds struct {
	mu    sync.Mutex // guards what follows; held while the log is trimmed
	named map[string]*Hold
	loose map[*Hold]struct{}
}

var holdName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// Hold returns the durable cursor of a name, made at the end of what is accepted
// when it is new, with so many bytes of the log for it.
func (db *DB) Hold(ctx context.Context, id tenant.ID, name string, budget uint64) (*Hold, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("cursor %q: %w", name, err)
	}
	if !holdName.MatchString(name) || strings.HasSuffix(name, vfs.Unfinished) || strings.HasSuffix(name, damaged) {
		return nil, fmt.Errorf("cursor %q: a name has letters, digits, '.', '_' and '-', begins with a letter or digit, and has at most 100 of them", name)
	}
	if err := db.memory.wait(ctx); err != nil {
		return nil, fmt.Errorf("cursor %q: %w", name, err)
	}
	s := &db.holds
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.named[name]
	switch {
	case h != nil && h.tenant != id:
		return nil, fmt.Errorf("cursor %q is one of tenant %s", name, h.tenant)
	case h != nil:
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.budget == budget {
			return h, nil
		}
		h.budget = budget
	case len(s.named) >= holdsMax:
		return nil, fmt.Errorf("cursor %q: there are %d already, the most that are allowed: delete one", name, len(s.named))
	default:
		end := db.memory.log.End()
		h = &Hold{db: db, name: name, tenant: id, budget: budget, cursor: storage.Cursor{Segment: end.Segment, Offset: uint64(end.Offset)}}
	}
	if err := h.write(h.cursor); err != nil {
		return nil, err
	}
	s.named[name] = h
	return h, nil
}

// Holds returns the durable cursors, by name.
func (db *DB) Holds() []*Hold {
	db.holds.mu.Lock()
	defer db.holds.mu.Unlock()
	return slices.SortedFunc(maps.Values(db.holds.named), func(a, b *Hold) int { return cmp.Compare(a.name, b.name) })
}

// Name is the cursor's.
func (h *Hold) Name() string { return h.name }

// Tenant is whose samples it is a place of.
func (h *Hold) Tenant() tenant.ID { return h.tenant }

// Cursor is the place last saved.
func (h *Hold) Cursor() storage.Cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cursor
}

// Save makes a place durable: what is before it is not needed again. The zero
// Cursor, that of who has read nothing yet, changes nothing, and neither does a
// place in segments that the log has let go: who is there still has to read what
// the cursor says.
func (h *Hold) Save(c storage.Cursor) error {
	if c.IsZero() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.Segment < h.cursor.Segment {
		return nil
	}
	if err := h.write(c); err != nil {
		return err
	}
	h.cursor = c
	return nil
}

// Delete forgets the cursor, and lets the log go.
func (h *Hold) Delete() error {
	s := &h.db.holds
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.named, h.name)
	delete(s.loose, h)
	if h.name == "" {
		return nil
	}
	fsys := h.db.directory.fs
	err := fsys.Remove(path.Join(cursorsName, h.name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = fsys.SyncDir(cursorsName)
	}
	if err != nil {
		return fmt.Errorf("delete cursor %q: %w", h.name, err)
	}
	return nil
}

// write makes the file of a durable cursor. h.mu is held, or h is new.
func (h *Hold) write(c storage.Cursor) error {
	if h.name == "" {
		return nil
	}
	fsys := h.db.directory.fs
	err := fsys.MkdirAll(cursorsName)
	if err == nil {
		err = vfs.ReplaceBytes(fsys, path.Join(cursorsName, h.name), format.Append(nil, format.Cursor{
			Tenant: string(h.tenant), Budget: h.budget, Segment: c.Segment, Offset: c.Offset, Skip: c.Skip, From: c.From, Until: c.Until,
		}))
	}
	if err != nil {
		return fmt.Errorf("save cursor %q: %w", h.name, err)
	}
	return nil
}

// restoreHolds reads the durable cursors. One that cannot be read is set aside:
// its reader begins anew.
func (db *DB) restoreHolds() error {
	s := &db.holds
	s.named, s.loose = map[string]*Hold{}, map[*Hold]struct{}{}
	fsys := db.directory.fs
	names, err := fsys.List(cursorsName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", cursorsName, err)
	}
	for _, name := range names {
		file := path.Join(cursorsName, name)
		if strings.HasSuffix(name, vfs.Unfinished) || strings.HasSuffix(name, damaged) {
			continue
		}
		c, err := readCursor(fsys, file)
		switch {
		case errors.Is(err, format.ErrDamaged):
			db.logger.Error("a cursor is damaged and set aside: its reader begins anew at the end of the log", "file", file, "err", err)
			if err := fsys.Rename(file, file+damaged); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("%s: %w", file, err)
		default:
			s.named[name] = &Hold{db: db, name: name, tenant: tenant.ID(c.Tenant), budget: c.Budget,
				cursor: storage.Cursor{Segment: c.Segment, Offset: c.Offset, Skip: c.Skip, From: c.From, Until: c.Until}}
		}
	}
	return nil
}

func readCursor(fsys vfs.FS, file string) (format.Cursor, error) {
	m, err := fsys.Map(file)
	if err != nil {
		return format.Cursor{}, err
	}
	defer m.Close() //nolint:errcheck // read only
	c, err := format.Read(m.Bytes())
	if err == nil {
		if invalid := tenant.ID(c.Tenant).Validate(); invalid != nil {
			err = fmt.Errorf("%w: %w", format.ErrDamaged, invalid)
		}
	}
	return c, err
}

// dropLog deletes the segments of the log before one, but for what cursors hold.
// Where their budgets are spent, or with all, cursors first take note of what
// they are to read of what is stored.
func (db *DB) dropLog(ctx context.Context, before uint64, all bool) error {
	s := &db.holds
	s.mu.Lock()
	defer s.mu.Unlock()
	segments, err := db.memory.log.Segments()
	if err != nil {
		return err
	}
	every := slices.AppendSeq(slices.Collect(maps.Values(s.named)), maps.Keys(s.loose))
	keep := before
	for _, h := range every {
		if !all {
			keep = min(keep, h.needs(segments))
		}
	}
	for _, h := range every {
		if err := h.release(ctx, keep); err != nil {
			return err
		}
	}
	return db.memory.log.DropBefore(keep)
}

// needs is the oldest segment that the cursor needs and has the budget for.
func (h *Hold) needs(segments []wal.SegmentSize) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	left, oldest := int64(min(h.budget, 1<<62)), uint64(1<<64-1)
	for _, x := range slices.Backward(segments) {
		if left -= x.Bytes; left < 0 && oldest != 1<<64-1 {
			break
		}
		oldest = x.Number
	}
	return max(h.cursor.Segment, oldest)
}

// release moves the cursor to a segment when it is before it: the times of what
// is between are to be read of what is stored.
func (h *Hold) release(ctx context.Context, segment uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.cursor
	if c.Segment >= segment {
		return nil
	}
	from, until, err := timesOf(ctx, h.db.memory.log, c.Segment, segment)
	if err != nil {
		return fmt.Errorf("let go of the log for cursor %q: %w", h.name, err)
	}
	if from < until {
		if c.From < c.Until {
			from, until = min(from, c.From), max(until, c.Until)
		}
		c.From, c.Until = from, until
	}
	h.letGo += int(segment - c.Segment)
	h.db.metrics.letGo.Add(float64(segment - c.Segment))
	c.Segment, c.Offset, c.Skip = segment, 0, 0
	if h.name != "" {
		h.db.logger.Warn("the log lets go of segments that a cursor has not read: it reads them of what is stored", "cursor", h.name,
			"segments_before", segment, "budget_bytes", h.budget)
	}
	if err := h.write(c); err != nil {
		return err
	}
	h.cursor = c
	return nil
}
