package osfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
)

// file is an open file.
type file struct {
	handle   *os.File
	readOnly bool
	failed   error // first error of Write or Sync; then nothing is written any more
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (int, error) {
	if f.readOnly {
		return 0, &fs.PathError{Op: "write", Path: f.handle.Name(), Err: fs.ErrPermission}
	}
	if f.failed != nil {
		return 0, fmt.Errorf("write %s: refused after an earlier failure: %w", f.handle.Name(), f.failed)
	}
	n, err := f.handle.Write(p)
	if err != nil {
		f.failed = mapError(err)
	}
	return n, f.failed
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	if f.failed != nil {
		return fmt.Errorf("sync %s: refused after an earlier failure: %w", f.handle.Name(), f.failed)
	}
	if f.readOnly {
		return nil // nothing was written through it
	}
	if err := f.handle.Sync(); err != nil {
		f.failed = mapError(err)
	}
	return f.failed
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.handle.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = mapError(err)
	}
	return n, err
}

// Size implements vfs.File.
func (f *file) Size() (int64, error) {
	info, err := f.handle.Stat()
	if err != nil {
		return 0, mapError(err)
	}
	return info.Size(), nil
}

// Close implements vfs.File.
func (f *file) Close() error { return mapError(f.handle.Close()) }

// mapping is a mapped file; data is nil when it is empty.
type mapping struct {
	once sync.Once
	data []byte
	err  error // of unmapping
}

// Bytes implements vfs.Mapping.
func (m *mapping) Bytes() []byte { return m.data }

// Close implements vfs.Mapping; a second call does nothing.
func (m *mapping) Close() error {
	m.once.Do(func() {
		if m.data != nil {
			m.err = unmapFile(m.data)
			m.data = nil
		}
	})
	return m.err
}
