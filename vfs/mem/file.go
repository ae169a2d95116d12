package mem

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/nilometer/nilometer/vfs"
)

// file is an open file.
type file struct {
	fs       *FS
	node     *node
	name     string
	writable bool
	failed   error // first error of Write; then nothing is written any more
	closed   bool
}

func (f *FS) openLocked(n *node, name string, writable bool) *file {
	n.refs++
	return &file{fs: f, node: n, name: name, writable: writable}
}

// Write implements vfs.File. When the space ends it writes what there is room
// for.
func (f *file) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	switch {
	case f.closed:
		return 0, fail("write", f.name, fs.ErrClosed)
	case !f.writable:
		return 0, fail("write", f.name, fs.ErrPermission)
	case f.failed != nil:
		return 0, fmt.Errorf("write %s: refused after an earlier failure: %w", f.name, f.failed)
	}
	n := len(p)
	if free := f.fs.capacity - min(f.fs.used, f.fs.capacity); uint64(n) > free {
		n = int(free)
		f.failed = fail("write", f.name, vfs.ErrFull)
	}
	f.node.data = append(f.node.data, p[:n]...)
	f.node.modified = time.Now()
	f.fs.used += uint64(n)
	return n, f.failed
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	switch {
	case f.closed:
		return 0, fail("read", f.name, fs.ErrClosed)
	case off < 0:
		return 0, fail("read", f.name, fs.ErrInvalid)
	case off >= int64(len(f.node.data)):
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	switch {
	case f.closed:
		return fail("sync", f.name, fs.ErrClosed)
	case f.failed != nil:
		return fmt.Errorf("sync %s: refused after an earlier failure: %w", f.name, f.failed)
	case f.writable:
		f.node.synced = len(f.node.data)
	}
	return nil
}

// Size implements vfs.File.
func (f *file) Size() (int64, error) {
	f.fs.mu.RLock()
	defer f.fs.mu.RUnlock()
	if f.closed {
		return 0, fail("size", f.name, fs.ErrClosed)
	}
	return int64(len(f.node.data)), nil
}

// Close implements vfs.File.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return fail("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	f.node.refs--
	f.fs.releaseLocked(f.node)
	return nil
}

// mapping is the bytes of a file as they were.
type mapping struct {
	fs   *FS
	node *node
	once sync.Once
	data []byte
}

// Bytes implements vfs.Mapping.
func (m *mapping) Bytes() []byte { return m.data }

// Close implements vfs.Mapping; a second call does nothing.
func (m *mapping) Close() error {
	m.once.Do(func() {
		m.fs.mu.Lock()
		defer m.fs.mu.Unlock()
		m.data = nil
		m.node.refs--
		m.fs.releaseLocked(m.node)
	})
	return nil
}

// Lock implements vfs.FS among the users of this file system.
func (f *FS) Lock(name, note string) (io.Closer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, err := f.parentLocked("lock", name)
	if err != nil {
		return nil, err
	}
	if holder, ok := f.locks[name]; ok {
		return nil, fmt.Errorf("lock %s: %w: %s", name, vfs.ErrLocked, holder)
	}
	n := dir.names[base]
	switch {
	case n == nil:
		n = f.newNode(false)
		f.changeLocked(slot{dir, base, n})
	case n.isDir:
		return nil, fail("lock", name, errIsDir)
	}
	if note == "" {
		note = "a test"
	}
	f.used += uint64(len(note)+1) - uint64(len(n.data))
	n.data, n.synced = slices.Concat([]byte(note), []byte("\n")), 0
	f.locks[name] = note
	return &lock{fs: f, name: name}, nil
}

// lock is a held lock.
type lock struct {
	fs   *FS
	name string
	once sync.Once
}

// Close releases the lock; a second call does nothing.
func (l *lock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		delete(l.fs.locks, l.name)
	})
	return nil
}

// info describes a file or directory.
type info struct {
	name     string
	size     int64
	isDir    bool
	modified time.Time
}

// Name implements fs.FileInfo.
func (i info) Name() string { return i.name }

// Size implements fs.FileInfo.
func (i info) Size() int64 { return i.size }

// ModTime implements fs.FileInfo.
func (i info) ModTime() time.Time { return i.modified }

// IsDir implements fs.FileInfo.
func (i info) IsDir() bool { return i.isDir }

// Sys implements fs.FileInfo: there is nothing below.
func (i info) Sys() any { return nil }

// Mode implements fs.FileInfo.
func (i info) Mode() fs.FileMode {
	if i.isDir {
		return fs.ModeDir | 0o750
	}
	return 0o640
}
