// Package dir is a bucket in a directory: an object is a file of the same name,
// on a vfs.FS.
//
// A put writes a temporary file `.tmp-…` in the bucket's root, syncs it, makes
// the object's directory, links the file to the object's name (which fails when
// the name exists: blob.I1), syncs the directory and removes the temporary name.
// So an object is whole from the moment that it has a name, and durable when the
// put returns (blob.I2). A temporary file that New finds tells of a put that was
// cut off: New syncs every directory, so that all that can be seen is durable,
// and removes it. Directories that a delete leaves empty are removed.
//
// Callers must not have two buckets open on one directory: New removes the
// temporary files of a put that is under way in the other. The server's lock on
// its data directory sees to that.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/vfs"
)

// tempPrefix begins the names of temporary files; blob.ValidateName keeps
// objects from having it.
const tempPrefix = ".tmp-"

// copyBytes is the unit of writing and of looking at the context: large enough
// for full disk speed, small enough to stop soon.
const copyBytes = 256 << 10

// Bucket is a bucket in a directory.
type Bucket struct {
	fs   vfs.FS
	root string
	temp atomic.Uint64 // number of the last temporary file

	// shape is held for reading while a put makes its directory and its name in
	// it, and for writing while a delete removes directories that are empty.
	shape sync.RWMutex
}

var _ blob.Bucket = (*Bucket)(nil)

// New opens the bucket in directory root of fsys, which is made when it is
// missing, and removes what a crash has left of unfinished puts.
func New(fsys vfs.FS, root string) (*Bucket, error) {
	if err := fsys.MkdirAll(root); err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", root, err)
	}
	b := &Bucket{fs: fsys, root: root}
	if err := b.recover(); err != nil {
		return nil, fmt.Errorf("open bucket %s: finish what was cut off: %w", root, err)
	}
	return b, nil
}

// recover removes the temporary files of puts that were cut off. Such a put may
// have linked its object without syncing the directory; what is seen must be
// durable before anybody acts on it, so all directories are synced first.
func (b *Bucket) recover() error {
	names, err := b.fs.List(b.root)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, tempPrefix) })
	if len(names) == 0 {
		return nil
	}
	if err := b.syncTree(b.root); err != nil {
		return err
	}
	for _, name := range names {
		if err := b.drop(b.path(name)); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bucket) syncTree(dir string) error {
	names, err := b.fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		below := path.Join(dir, name)
		info, err := b.fs.Stat(below)
		if err != nil {
			return err
		}
		if info.IsDir() {
			if err := b.syncTree(below); err != nil {
				return err
			}
		}
	}
	return b.fs.SyncDir(dir)
}

func (b *Bucket) path(name string) string { return path.Join(b.root, name) }

// PutIfAbsent implements blob.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	err := blob.ValidateName(name)
	if err == nil {
		err = b.put(ctx, name, r, sizeBytes)
	}
	if err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	return nil
}

func (b *Bucket) put(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	if sizeBytes < 0 {
		return fmt.Errorf("the size is %d bytes", sizeBytes)
	}
	// The cheap look first: the loser of a race mostly comes much later.
	if info, err := b.fs.Stat(b.path(name)); err == nil {
		return b.exists(name, info)
	}
	temp := b.path(fmt.Sprintf("%s%d", tempPrefix, b.temp.Add(1)))
	if err := b.write(ctx, temp, r, sizeBytes); err != nil {
		return errors.Join(err, b.drop(temp))
	}
	if err := b.publish(temp, name); err != nil {
		if linked := (*unsyncedError)(nil); errors.As(err, &linked) {
			return err // the temporary file stays: it tells New what to do
		}
		return errors.Join(err, b.drop(temp))
	}
	return b.drop(temp)
}

// unsyncedError: the object has its name, but who knows for how long.
type unsyncedError struct{ err error }

func (e *unsyncedError) Error() string { return "the object is not durable yet: " + e.err.Error() }
func (e *unsyncedError) Unwrap() error { return e.err }

// write makes a durable file of exactly sizeBytes bytes of r.
func (b *Bucket) write(ctx context.Context, temp string, r io.Reader, sizeBytes int64) error {
	f, err := b.fs.Create(temp)
	if err != nil {
		return err
	}
	if err := copyExactly(ctx, f, r, sizeBytes); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func copyExactly(ctx context.Context, w io.Writer, r io.Reader, sizeBytes int64) error {
	// One byte more than announced tells a reader that is too long.
	limited := &io.LimitedReader{R: r, N: sizeBytes + 1}
	buf := make([]byte, min(copyBytes, sizeBytes+1))
	written := int64(0)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := io.ReadFull(limited, buf)
		if written += int64(n); written > sizeBytes {
			return fmt.Errorf("the reader has more than the %d bytes announced", sizeBytes)
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			if written < sizeBytes {
				return fmt.Errorf("the reader ended after %d of %d bytes: %w", written, sizeBytes, io.ErrUnexpectedEOF)
			}
			return nil
		case err != nil:
			return fmt.Errorf("read: %w", err)
		}
	}
}

// publish gives the temporary file the object's name, durably.
func (b *Bucket) publish(temp, name string) error {
	target := b.path(name)
	b.shape.RLock()
	err := b.fs.MkdirAll(path.Dir(target))
	if errors.Is(err, fs.ErrExist) {
		b.shape.RUnlock()
		return fmt.Errorf("%w: a part of it is the name of an object: %w", blob.ErrInvalidName, err)
	}
	if err == nil {
		err = b.fs.Link(temp, target)
	}
	b.shape.RUnlock()
	if errors.Is(err, fs.ErrExist) {
		info, statErr := b.fs.Stat(target)
		if statErr != nil {
			return errors.Join(blob.ErrExists, statErr)
		}
		return b.exists(name, info)
	}
	if err != nil {
		return err
	}
	if err := b.fs.SyncDir(path.Dir(target)); err != nil {
		return &unsyncedError{err}
	}
	return nil
}

// exists returns what a put gets whose name is taken. The winner may not have
// synced the directory yet: the loser does, so that what it was told stays true
// after a crash.
func (b *Bucket) exists(name string, info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%w: objects lie below it", blob.ErrInvalidName)
	}
	if err := b.fs.SyncDir(path.Dir(b.path(name))); err != nil {
		return err
	}
	return blob.ErrExists
}

// drop removes a temporary file. It may be gone: see vfs.FS.Link.
func (b *Bucket) drop(temp string) error {
	if err := b.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the temporary file: %w", err)
	}
	return nil
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if _, err := b.stat(ctx, name); err != nil {
		if errors.Is(err, blob.ErrNotFound) {
			return nil
		}
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	if err := b.fs.Remove(b.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	b.prune(path.Dir(name))
	return nil
}

// prune removes directories that are empty, from dir upwards.
func (b *Bucket) prune(dir string) {
	b.shape.Lock()
	defer b.shape.Unlock()
	for ; dir != "."; dir = path.Dir(dir) {
		if b.fs.Remove(b.path(dir)) != nil {
			return // not empty, mostly; an empty directory harms nobody
		}
	}
}
