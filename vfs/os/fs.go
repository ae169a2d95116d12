// Package osfs is the file system of the machine, below one root directory: the
// vfs.FS of a running server.
//
// It owns the translation of names and errors, the rules for what is made
// durable when, and the lock file. It keeps no file open on its own.
//
// How the promises of vfs are kept: Sync is fsync (F_FULLFSYNC on macOS), and a
// file whose Sync or Write failed refuses further writes itself (I3 of vfs);
// MkdirAll syncs the parent of every directory once in the life of the FS, also
// of those that exist already, because an earlier process may have died between
// making a directory and syncing its name. A full device or quota is
// vfs.ErrFull.
//
// Link is link(2). Where the file system refuses hard links it is a rename that
// refuses to replace (renameat2 with RENAME_NOREPLACE, renamex_np with
// RENAME_EXCL), which moves the name instead of adding one. A file system with
// neither is refused by name.
//
// Unlike the others, Windows reads a file into memory for Map: a mapped file
// could not be removed there.
package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/nilometer/nilometer/vfs"
)

// Permissions of new files and directories: data is not for everybody's eyes.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// FS is the file system below a root directory. Symbolic links below the root
// are followed, so that a directory may lie on another device.
type FS struct {
	root string

	mu      sync.Mutex          // guards durable, and serialises MkdirAll
	durable map[string]struct{} // directories whose name is known to be synced
}

var _ vfs.FS = (*FS)(nil)

// durableMax bounds FS.durable, but for the parents of the last entry; when it
// is reached, all is forgotten, which costs a few syncs of directories.
const durableMax = 10_000

// New returns the file system below root, which is made when it is missing.
func New(root string) (*FS, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open directory %s: %w", root, err)
	}
	f := &FS{root: abs, durable: map[string]struct{}{}}
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeRoot(abs); err != nil {
			return nil, fmt.Errorf("make directory %s: %w", abs, mapError(err))
		}
	case err != nil:
		return nil, fmt.Errorf("open directory %s: %w", abs, err)
	case !info.IsDir():
		return nil, fmt.Errorf("open directory %s: it is a file; name a directory", abs)
	}
	return f, nil
}

// makeRoot makes a directory with its parents and syncs the names of those that
// it made.
func makeRoot(dir string) error {
	err := os.Mkdir(dir, dirMode)
	parent := filepath.Dir(dir)
	if errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeRoot(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// Root returns the absolute path of the root directory.
func (f *FS) Root() string { return f.root }

// Path returns the absolute path of name in the machine's own form, for those
// who need the real file (SQLite, messages to operators).
func (f *FS) Path(name string) string {
	return filepath.Join(f.root, filepath.FromSlash(name))
}

// locate returns the path of name, or fs.ErrInvalid for a name that is not
// slash-separated, relative and clean.
func (f *FS) locate(op, name string) (string, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(f.root, local), nil
}

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	return f.open(name, "create", os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL)
}

// OpenAppend implements vfs.FS.
func (f *FS) OpenAppend(name string) (vfs.File, error) {
	return f.open(name, "open", os.O_RDWR|os.O_APPEND)
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	return f.open(name, "open", os.O_RDONLY)
}

func (f *FS) open(name, op string, flags int) (vfs.File, error) {
	p, err := f.locate(op, name)
	if err != nil {
		return nil, err
	}
	handle, err := os.OpenFile(p, flags, fileMode)
	if err != nil {
		return nil, mapError(err)
	}
	if flags&os.O_CREATE == 0 {
		info, err := handle.Stat()
		if err == nil && info.IsDir() {
			err = &fs.PathError{Op: op, Path: p, Err: errIsDir}
		}
		if err != nil {
			handle.Close()
			return nil, err
		}
	}
	return &file{handle: handle, readOnly: flags&os.O_RDWR == 0}, nil
}

// Map implements vfs.FS.
func (f *FS) Map(name string) (vfs.Mapping, error) {
	p, err := f.locate("map", name)
	if err != nil {
		return nil, err
	}
	handle, err := os.Open(p)
	if err != nil {
		return nil, mapError(err)
	}
	defer handle.Close()
	info, err := handle.Stat()
	switch {
	case err != nil:
		return nil, mapError(err)
	case info.IsDir():
		return nil, &fs.PathError{Op: "map", Path: p, Err: errIsDir}
	case info.Size() == 0:
		return &mapping{}, nil
	case info.Size() != int64(int(info.Size())):
		return nil, fmt.Errorf("map %s: %d bytes are more than this machine's addresses reach", p, info.Size())
	}
	data, err := mapFile(handle, int(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("map %s, %d bytes: %w", p, info.Size(), err)
	}
	return &mapping{data: data}, nil
}

// Link implements vfs.FS.
func (f *FS) Link(oldname, newname string) error {
	from, to, err := f.locate2("link", oldname, newname)
	if err != nil {
		return err
	}
	err = os.Link(from, to)
	if err == nil || !linkUnsupported(err) {
		return mapError(err)
	}
	moved := renameNoReplace(from, to)
	if errors.Is(moved, errors.ErrUnsupported) {
		return fmt.Errorf("link %s to %s: the file system of %s can neither make hard links nor rename without replacing: "+
			"put the data directory on a local file system such as ext4, xfs, btrfs, zfs or apfs: %w", from, to, f.root, err)
	}
	return mapError(moved)
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldname, newname string) error {
	from, to, err := f.locate2("rename", oldname, newname)
	if err != nil {
		return err
	}
	err = os.Rename(from, to)
	f.forget(oldname)
	f.forget(newname)
	return mapError(err)
}

func (f *FS) locate2(op, oldname, newname string) (from, to string, err error) {
	if from, err = f.locate(op, oldname); err != nil {
		return "", "", err
	}
	to, err = f.locate(op, newname)
	return from, to, err
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	p, err := f.locate("remove", name)
	if err != nil {
		return err
	}
	err = os.Remove(p)
	f.forget(name)
	return mapError(err)
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	p, err := f.locate("remove", name)
	if err != nil {
		return err
	}
	err = os.RemoveAll(p)
	f.forget(name)
	if err = mapError(err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Truncate implements vfs.FS.
func (f *FS) Truncate(name string, sizeBytes int64) error {
	p, err := f.locate("truncate", name)
	if err != nil {
		return err
	}
	handle, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		return mapError(err)
	}
	info, err := handle.Stat()
	if err == nil && (sizeBytes < 0 || sizeBytes > info.Size()) {
		err = fmt.Errorf("truncate %s to %d bytes: it has %d: %w", p, sizeBytes, info.Size(), fs.ErrInvalid)
	}
	if err == nil {
		err = handle.Truncate(sizeBytes)
	}
	if err == nil {
		err = handle.Sync()
	}
	return mapError(errors.Join(err, handle.Close()))
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string) error {
	if _, err := f.locate("mkdir", dir); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.durable) >= durableMax {
		clear(f.durable) // here, so that no directory is in it without its parents
	}
	if err := f.mkdirLocked(path.Clean(dir)); err != nil {
		return fmt.Errorf("make directory: %w", mapError(err))
	}
	return nil
}

func (f *FS) mkdirLocked(dir string) error {
	if dir == "." {
		return nil
	}
	if _, ok := f.durable[dir]; ok {
		return nil
	}
	parent := path.Dir(dir)
	if err := f.mkdirLocked(parent); err != nil {
		return err
	}
	p := f.Path(dir)
	if err := os.Mkdir(p, dirMode); err != nil {
		info, statErr := os.Stat(p)
		if statErr != nil {
			return err
		}
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: p, Err: fs.ErrExist}
		}
	}
	if err := syncDir(f.Path(parent)); err != nil {
		return err
	}
	f.durable[dir] = struct{}{}
	return nil
}

// forget drops what is known about name and the directories below it. It is
// called after name is gone: a MkdirAll in between is as one that came before.
func (f *FS) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.durable[name]; !ok {
		return // then none below it is there: parents are entered before
	}
	for dir := range f.durable {
		if dir == name || strings.HasPrefix(dir, name+"/") {
			delete(f.durable, dir)
		}
	}
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) {
	p, err := f.locate("list", dir)
	if err != nil {
		return nil, err
	}
	handle, err := os.Open(p)
	if err != nil {
		return nil, mapError(err)
	}
	defer handle.Close()
	names, err := handle.Readdirnames(-1)
	if err != nil {
		return nil, mapError(err)
	}
	slices.Sort(names)
	return names, nil
}

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) {
	p, err := f.locate("stat", name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(p)
	return info, mapError(err)
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	p, err := f.locate("sync", dir)
	if err != nil {
		return err
	}
	return mapError(syncDir(p))
}

// Usage implements vfs.FS.
func (f *FS) Usage() (vfs.Usage, error) {
	u, err := usage(f.root)
	if err != nil {
		return vfs.Usage{}, fmt.Errorf("ask for the space of %s: %w", f.root, err)
	}
	return u, nil
}
