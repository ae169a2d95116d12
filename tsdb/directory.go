package tsdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nilometer/nilometer/vfs"
	osfs "github.com/nilometer/nilometer/vfs/os"
)

// Names in the data directory. What begins with metaPrefix is the metadata
// database's.
const (
	lockName    = "LOCK"
	versionName = "VERSION"
	storeName   = "store"
	headName    = "head"
	// restoreMark is there while a backup is restored (tsdb/backup).
	restoreMark = "RESTORE"
	// snapshotsName has a data directory of its own for each snapshot.
	snapshotsName = "snapshots"
	metaPrefix    = "meta.db"
)

// layoutVersion is the version of the data directory's layout: what is written,
// and the newest that is read.
const layoutVersion = 1

// versionLine precedes the number in the file VERSION.
const versionLine = "nilometer data directory, layout "

// directory is a data directory that this process has locked.
type directory struct {
	fs   vfs.FS
	lock io.Closer
}

// openDirectory locks a data directory, makes a new one where there is
// nothing, and refuses what this program cannot read. What it refuses it
// leaves as it was, but for the lock file.
func openDirectory(d Deps) (*directory, error) {
	fsys, err := d.fileSystem()
	if err != nil {
		return nil, err
	}
	if err := foreign(fsys, d.Dir); err != nil {
		return nil, err
	}
	lock, err := fsys.Lock(lockName, d.Note)
	if err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return nil, fmt.Errorf("%s is in use: %w: stop that process, or choose another directory with --data.dir", d.Dir, err)
		}
		return nil, fmt.Errorf("lock %s: %w", d.Dir, err)
	}
	dir := &directory{fs: fsys, lock: lock}
	if err := dir.checkVersion(d.Dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return dir, nil
}

// fileSystem returns the file system that the data directory is on.
func (d Deps) fileSystem() (vfs.FS, error) {
	if d.FS != nil {
		return d.FS, nil
	}
	fsys, err := osfs.New(d.Dir)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", d.Dir, err)
	}
	return fsys, nil
}

// foreign refuses a directory that has something else in it, before the lock
// leaves a file there.
func foreign(fsys vfs.FS, name string) error {
	names, err := fsys.List(".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if slices.Contains(names, versionName) {
		return nil
	}
	if slices.Contains(names, restoreMark) {
		return unrestored(name)
	}
	for _, n := range names {
		switch {
		case n == lockName, n == versionName+vfs.Unfinished, n == "lost+found", strings.HasPrefix(n, metaPrefix):
		default:
			return fmt.Errorf("%s has a %q and no file %s: it is no data directory of this program; choose an empty one with --data.dir", name, n, versionName)
		}
	}
	return nil
}

// unrestored refuses a directory whose restore has not ended.
func unrestored(name string) error {
	return fmt.Errorf("a restore into %s was cut off: run nilometer backup restore again, it goes on where it was", name)
}

func (d *directory) checkVersion(name string) error {
	f, err := d.fs.Open(versionName)
	if errors.Is(err, fs.ErrNotExist) {
		if err := writeVersion(d.fs, "."); err != nil {
			return fmt.Errorf("begin %s: write %s: %w", name, versionName, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", name, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	content := make([]byte, 100)
	n, err := f.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("open %s: read %s: %w", name, versionName, err)
	}
	rest, ok := strings.CutPrefix(string(content[:n]), versionLine)
	number, err := strconv.Atoi(strings.TrimSuffix(rest, "\n"))
	switch {
	case !ok || err != nil || number < 1:
		return fmt.Errorf("open %s: %s has %q where %q is expected: it is damaged, or of another program; restore it, or choose another directory with --data.dir",
			name, versionName, content[:n], versionLine+strconv.Itoa(layoutVersion))
	case number > layoutVersion:
		return fmt.Errorf("open %s: it has layout %d, of a newer version of this program, which knows layouts up to %d: upgrade, or choose another directory with --data.dir",
			name, number, layoutVersion)
	}
	return nil
}

// writeVersion makes VERSION appear in a directory, whole or not at all.
func writeVersion(fsys vfs.FS, dir string) error {
	return vfs.ReplaceBytes(fsys, path.Join(dir, versionName), fmt.Appendf(nil, "%s%d\n", versionLine, layoutVersion))
}

func (d *directory) close() error { return d.lock.Close() }
