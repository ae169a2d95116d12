package mem

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

var (
	errIsDir    = errors.New("is a directory")
	errNotDir   = fmt.Errorf("%w: not a directory", fs.ErrNotExist)
	errNotEmpty = errors.New("directory is not empty")
)

func fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (f *FS) lookupLocked(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, fail(op, name, fs.ErrInvalid)
	}
	n := f.root
	if name == "." {
		return n, nil
	}
	for _, part := range strings.Split(name, "/") {
		if !n.isDir {
			return nil, fail(op, name, errNotDir)
		}
		if n = n.names[part]; n == nil {
			return nil, fail(op, name, fs.ErrNotExist)
		}
	}
	return n, nil
}

func (f *FS) fileLocked(op, name string) (*node, error) {
	n, err := f.lookupLocked(op, name)
	if err == nil && n.isDir {
		return nil, fail(op, name, errIsDir)
	}
	return n, err
}

func (f *FS) dirLocked(op, name string) (*node, error) {
	n, err := f.lookupLocked(op, name)
	if err == nil && !n.isDir {
		return nil, fail(op, name, errNotDir)
	}
	return n, err
}

// parentLocked returns the directory that holds name, and name's last part.
func (f *FS) parentLocked(op, name string) (*node, string, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, "", fail(op, name, fs.ErrInvalid)
	}
	dir, err := f.dirLocked(op, path.Dir(name))
	return dir, path.Base(name), err
}

// changeLocked makes a change visible, and durable by chance only.
func (f *FS) changeLocked(slots ...slot) {
	for _, s := range slots {
		if s.to != nil {
			s.to.refs++ // so that a rename does not let go of its file in between
			defer func() { s.to.refs-- }()
		}
	}
	for _, s := range slots {
		f.setLocked(s)
	}
	f.pending = append(f.pending, change{slots})
	if len(f.pending) > pendingMax {
		for _, s := range f.pending[0].slots {
			s.put(s.dir.durable)
		}
		f.pending = f.pending[1:]
	}
}

// setLocked makes a slot visible and keeps count of the names of files.
func (f *FS) setLocked(s slot) {
	old := s.dir.names[s.name]
	s.put(s.dir.names)
	s.dir.modified = time.Now()
	if s.to != nil {
		s.to.links++
	}
	if old != nil {
		old.links--
		f.releaseLocked(old)
	}
}

// releaseLocked gives the space of a file back when nothing holds it any more.
// The bytes stay: a crash may bring back a name.
func (f *FS) releaseLocked(n *node) {
	if n.links == 0 && n.refs == 0 {
		f.used -= uint64(len(n.data))
	}
}

func (s slot) put(names map[string]*node) {
	if s.to == nil {
		delete(names, s.name)
		return
	}
	names[s.name] = s.to
}

// settleLocked makes what one name is now durable.
func (f *FS) settleLocked(dir *node, name string) {
	slot{dir, name, dir.names[name]}.put(dir.durable)
	f.dropLocked(func(s slot) bool { return s.dir == dir && s.name == name })
}

// syncLocked makes the names of dir durable. A rename out of dir becomes
// durable with its new name, wherever that is; one into dir leaves the old name
// of a file open.
func (f *FS) syncLocked(dir *node) {
	for i, c := range f.pending {
		if !c.moves() || !slices.ContainsFunc(c.slots, func(s slot) bool {
			return s.dir == dir && (s.to == nil || s.to.isDir)
		}) {
			continue
		}
		for _, moved := range c.slots {
			moved.put(moved.dir.durable)
			for j := range f.pending[:i+1] {
				f.pending[j].drop(func(s slot) bool { return s.dir == moved.dir && s.name == moved.name })
			}
		}
	}
	clear(dir.durable)
	for name, n := range dir.names {
		dir.durable[name] = n
	}
	f.dropLocked(func(s slot) bool { return s.dir == dir })
}

// moves reports whether the change is a rename that is wholly open.
func (c change) moves() bool { return len(c.slots) == 2 }

// drop takes slots out of the change.
func (c *change) drop(which func(slot) bool) {
	c.slots = slices.DeleteFunc(slices.Clone(c.slots), which)
}

// dropLocked takes slots out of all pending changes.
func (f *FS) dropLocked(which func(slot) bool) {
	for i := range f.pending {
		if slices.ContainsFunc(f.pending[i].slots, which) {
			f.pending[i].drop(which)
		}
	}
	f.pending = slices.DeleteFunc(f.pending, func(c change) bool { return len(c.slots) == 0 })
}
