// Package mem is a file system in memory that knows what is durable. Crash gives
// the file system as a loss of power would leave it, so that a test can find out
// whether its subject synced what it promised.
//
// Beside the bytes that a reader sees, a file knows how many of them were
// synced, and a directory knows the names as they were at its last SyncDir and
// every change since. The model is as unkind as the contract of vfs allows:
//
//   - I1: bytes that were synced stay. What was written after the last Sync is
//     lost, kept, cut anywhere, or torn: whole sectors of 512 bytes of it are
//     zero or garbage, while the file's length may have grown.
//   - I2: names that were there or gone at the last SyncDir of their directory
//     stay so. Each create, link, rename and remove since is kept or lost, by
//     itself and in any combination; a rename is never half lost: the file has
//     the old or the new name, or both when only the new directory was synced.
//   - I3: MkdirAll and Truncate are durable when they return.
//   - I4: Crash does not change the file system that it is called on, and the
//     same seed gives the same result for the same history.
//
// Everything is under one lock; it is made for tests, not for speed.
package mem

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nilometer/nilometer/vfs"
)

// pendingMax bounds the changes of names that are remembered as not durable;
// beyond it the oldest become durable, as a kernel writes back in time.
const pendingMax = 100_000

// FS is a file system in memory.
type FS struct {
	mu       sync.RWMutex // guards all below, and every node
	root     *node
	nodes    uint64   // ids given
	pending  []change // changes of names that are not durable yet, oldest first
	locks    map[string]string
	capacity uint64
	used     uint64
}

var _ vfs.FS = (*FS)(nil)

// node is a file or a directory; names point to it.
type node struct {
	id       uint64 // in order of creation
	isDir    bool
	modified time.Time

	// Of a file. data[:synced] is durable. Bytes are only ever appended in
	// place, so slices of data stay valid as mappings.
	data   []byte
	synced int
	links  int // names
	refs   int // open files and mappings

	// Of a directory.
	names   map[string]*node // as seen
	durable map[string]*node // as of the last SyncDir
}

// change is one atomic change of names.
type change struct{ slots []slot }

// slot is what one name of one directory becomes: to is nil when it goes.
type slot struct {
	dir  *node
	name string
	to   *node
}

// New returns an empty file system without a limit.
func New() *FS { return NewLimited(math.MaxUint64) }

// NewLimited returns an empty file system that holds capacityBytes bytes of
// files; names cost nothing. Writes beyond fail with vfs.ErrFull.
func NewLimited(capacityBytes uint64) *FS {
	f := &FS{capacity: capacityBytes, locks: map[string]string{}}
	f.root = f.newNode(true)
	return f
}

// SetCapacity changes the limit, in bytes; it may be below what is used.
func (f *FS) SetCapacity(capacityBytes uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = capacityBytes
}

func (f *FS) newNode(isDir bool) *node {
	f.nodes++
	n := &node{id: f.nodes, isDir: isDir, modified: time.Now()}
	if isDir {
		n.names, n.durable = map[string]*node{}, map[string]*node{}
	}
	return n
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.parentLocked("create", name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, fail("create", name, fs.ErrExist)
	}
	n := f.newNode(false)
	f.changeLocked(slot{dir, base, n})
	return f.openLocked(n, name, true), nil
}

// OpenAppend implements vfs.FS.
func (f *FS) OpenAppend(name string) (vfs.File, error) { return f.open(name, true) }

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) { return f.open(name, false) }

func (f *FS) open(name string, writable bool) (vfs.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.fileLocked("open", name)
	if err != nil {
		return nil, err
	}
	return f.openLocked(n, name, writable), nil
}

// Map implements vfs.FS: the bytes are the file's as of now.
func (f *FS) Map(name string) (vfs.Mapping, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.fileLocked("map", name)
	if err != nil {
		return nil, err
	}
	n.refs++
	return &mapping{fs: f, node: n, data: slices.Clip(n.data)}, nil
}

// Link implements vfs.FS.
func (f *FS) Link(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.fileLocked("link", oldname)
	if err != nil {
		return err
	}
	dir, base, err := f.parentLocked("link", newname)
	if err != nil {
		return err
	}
	if dir.names[base] != nil {
		return fail("link", newname, fs.ErrExist)
	}
	f.changeLocked(slot{dir, base, n})
	return nil
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldDir, oldBase, err := f.parentLocked("rename", oldname)
	if err != nil {
		return err
	}
	n := oldDir.names[oldBase]
	if n == nil {
		return fail("rename", oldname, fs.ErrNotExist)
	}
	newDir, newBase, err := f.parentLocked("rename", newname)
	if err != nil {
		return err
	}
	switch target := newDir.names[newBase]; {
	case target == n:
		return nil // two names of one file: POSIX does nothing
	case target != nil && target.isDir != n.isDir, target != nil && len(target.names) > 0:
		return fail("rename", newname, fs.ErrExist)
	case n.isDir && strings.HasPrefix(newname, oldname+"/"):
		return fail("rename", newname, fs.ErrInvalid)
	}
	f.changeLocked(slot{oldDir, oldBase, nil}, slot{newDir, newBase, n})
	return nil
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.parentLocked("remove", name)
	if err != nil {
		return err
	}
	n := dir.names[base]
	switch {
	case n == nil:
		return fail("remove", name, fs.ErrNotExist)
	case len(n.names) > 0:
		return fail("remove", name, errNotEmpty)
	}
	f.changeLocked(slot{dir, base, nil})
	return nil
}

// RemoveAll implements vfs.FS. Every name below goes by itself, so that a crash
// may leave any of them.
func (f *FS) RemoveAll(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.parentLocked("remove", name)
	if err != nil {
		return ignoreNotExist(err)
	}
	if n := dir.names[base]; n != nil {
		f.emptyLocked(n)
		f.changeLocked(slot{dir, base, nil})
	}
	return nil
}

func (f *FS) emptyLocked(n *node) {
	for _, name := range sortedNames(n.names) {
		f.emptyLocked(n.names[name])
		f.changeLocked(slot{n, name, nil})
	}
}

// Truncate implements vfs.FS.
func (f *FS) Truncate(name string, sizeBytes int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.fileLocked("truncate", name)
	if err != nil {
		return err
	}
	if sizeBytes < 0 || sizeBytes > int64(len(n.data)) {
		return fmt.Errorf("truncate %s to %d bytes: it has %d: %w", name, sizeBytes, len(n.data), fs.ErrInvalid)
	}
	f.used -= uint64(len(n.data)) - uint64(sizeBytes)
	n.data = slices.Clip(n.data[:sizeBytes]) // later bytes go elsewhere: mappings keep theirs
	n.synced = len(n.data)
	n.modified = time.Now()
	return nil
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !fs.ValidPath(dir) {
		return fail("mkdir", dir, fs.ErrInvalid)
	}
	n := f.root
	if dir == "." {
		return nil
	}
	for _, name := range strings.Split(dir, "/") {
		child := n.names[name]
		if child == nil {
			child = f.newNode(true)
			f.setLocked(slot{n, name, child})
		}
		if !child.isDir {
			return fail("mkdir", dir, fs.ErrExist)
		}
		f.settleLocked(n, name)
		n = child
	}
	return nil
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.dirLocked("list", dir)
	if err != nil {
		return nil, err
	}
	return sortedNames(n.names), nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	n, err := f.lookupLocked("stat", name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), int64(len(n.data)), n.isDir, n.modified}, nil
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.dirLocked("sync", dir)
	if err != nil {
		return err
	}
	f.syncLocked(n)
	return nil
}

// Usage implements vfs.FS.
func (f *FS) Usage() (vfs.Usage, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	u := vfs.Usage{Total: f.capacity}
	if f.used < f.capacity {
		u.Free = f.capacity - f.used
	}
	return u, nil
}

func sortedNames(names map[string]*node) []string { return slices.Sorted(maps.Keys(names)) }
