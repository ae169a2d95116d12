package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/vfs"
)

// markName is a file in a directory whose restore has begun and not ended: it
// has the name of the backup.
const markName = "RESTORE"

// partSuffix ends the name of a file that is being copied.
const partSuffix = ".part"

// lockName is the lock of a data directory.
const lockName = "LOCK"

// ErrNotEmpty: the directory to restore to has something else in it.
var ErrNotEmpty = errors.New("the directory is not empty")

// Restore makes the data directory of a backup in dst, which must be empty, or
// have an unfinished restore of the same backup: that goes on. Every file is
// checked against its checksum, those that were there too.
func Restore(ctx context.Context, d Deps, x format.Index, dst vfs.FS) (Summary, error) {
	d = d.withDefaults()
	r := &restore{bucket: d.Bucket, dst: dst, index: x, tally: &tally{report: d.Progress}, dirs: map[string]bool{".": true}}
	if err := r.check(); err != nil {
		return Summary{}, fmt.Errorf("restore backup %s: %w", x.Name, err)
	}
	lock, err := dst.Lock(lockName, "nilometer backup restore")
	if err != nil {
		return Summary{}, fmt.Errorf("restore backup %s: %w", x.Name, err)
	}
	err = r.run(ctx)
	if err = errors.Join(err, lock.Close()); err != nil {
		return Summary{}, fmt.Errorf("restore backup %s: %w", x.Name, err)
	}
	r.tally.summary.Index = x
	return r.tally.summary, nil
}

// restore is one under way.
type restore struct {
	bucket blob.Bucket
	dst    vfs.FS
	index  format.Index
	tally  *tally
	dirs   map[string]bool // to sync
}

// check refuses a directory with something else in it.
func (r *restore) check() error {
	names, err := r.dst.List(".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mark, err := r.mark()
	if err != nil {
		return err
	}
	switch {
	case slices.Contains(names, versionPath):
		return fmt.Errorf("%w: it is a data directory already; choose another one with --data.dir, or move it away", ErrNotEmpty)
	case mark == r.index.Name:
		return nil
	case mark != "":
		return fmt.Errorf("%w: a restore of backup %s was cut off there; finish that one, or delete the directory", ErrNotEmpty, mark)
	}
	for _, n := range names {
		if n != lockName && n != markName+vfs.Unfinished && n != "lost+found" {
			return fmt.Errorf("%w: it has %q; choose another one with --data.dir", ErrNotEmpty, n)
		}
	}
	return nil
}

// mark returns the backup whose restore has begun, "" for none.
func (r *restore) mark() (string, error) {
	f, err := r.dst.Open(markName)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1000))
	return strings.TrimSpace(string(b)), errors.Join(err, f.Close())
}

func (r *restore) run(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	files := slices.Clone(r.index.Files)
	at := slices.IndexFunc(files, func(f format.File) bool { return f.Path == versionPath })
	if at < 0 {
		return fmt.Errorf("%w: it has no file %s", format.ErrDamaged, versionPath)
	}
	last := files[at]
	files = slices.Delete(files, at, at+1)
	r.tally.progress.FilesTotal, r.tally.progress.BytesTotal = len(files)+1, r.index.Bytes()
	for _, f := range files {
		for dir := path.Dir(f.Path); !r.dirs[dir]; dir = path.Dir(dir) {
			r.dirs[dir] = true
		}
		if err := r.dst.MkdirAll(path.Dir(f.Path)); err != nil {
			return err
		}
	}
	if err := each(ctx, files, r.file); err != nil {
		return err
	}
	for dir := range r.dirs {
		if err := r.dst.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := r.file(ctx, &last); err != nil { // I3
		return err
	}
	if err := r.dst.SyncDir("."); err != nil {
		return err
	}
	if err := r.dst.Remove(markName); err != nil {
		return err
	}
	return r.dst.SyncDir(".")
}

// begin marks the directory.
func (r *restore) begin() error {
	if mark, err := r.mark(); err != nil || mark == r.index.Name {
		return err
	}
	return vfs.ReplaceBytes(r.dst, markName, []byte(r.index.Name+"\n"))
}

// file makes one file, unless it is there as it should be.
func (r *restore) file(ctx context.Context, f *format.File) error {
	if info, err := r.dst.Stat(f.Path); err == nil && info.Size() == f.Bytes {
		sum, err := sumOf(ctx, r.dst, f.Path, r.tally)
		if err != nil {
			return err
		}
		if sum == f.SHA256 {
			r.tally.file(*f, true)
			return nil
		}
		r.tally.bytes(-f.Bytes)
	}
	part := f.Path + partSuffix
	if err := r.dst.RemoveAll(part); err != nil {
		return err
	}
	if err := r.fetch(ctx, *f, part); err != nil {
		return errors.Join(err, r.dst.RemoveAll(part))
	}
	if err := r.dst.Rename(part, f.Path); err != nil {
		return err
	}
	r.tally.file(*f, false)
	return nil
}

// fetch copies an object to a new file, durably, and checks it.
func (r *restore) fetch(ctx context.Context, f format.File, part string) error {
	src, err := r.bucket.Open(ctx, f.Object)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	if src.Size() != f.Bytes {
		return fmt.Errorf("object %s has %d bytes, the index says %d: it is damaged; restore another backup", f.Object, src.Size(), f.Bytes)
	}
	dst, err := r.dst.Create(part)
	if err != nil {
		return err
	}
	got, err := copySum(ctx, dst, src, f.Bytes, r.tally)
	if err == nil && got != f.SHA256 {
		err = fmt.Errorf("object %s has the checksum %s, the index says %s: it is damaged; restore another backup", f.Object, got, f.SHA256)
	}
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}
