package dir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/vfs"
)

// Stat implements blob.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := b.stat(ctx, name)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat object %s: %w", name, err)
	}
	return blob.Info{Name: name, SizeBytes: info.Size(), Modified: info.ModTime()}, nil
}

// stat checks the context and the name and finds the object's file.
func (b *Bucket) stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := blob.ValidateName(name); err != nil {
		return nil, err
	}
	info, err := b.fs.Stat(b.path(name))
	if err != nil {
		return nil, notFound(err)
	}
	if !info.Mode().IsRegular() {
		return nil, blob.ErrNotFound
	}
	return info, nil
}

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := b.read(ctx, name, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("get object %s: %w", name, err)
	}
	return data, nil
}

// GetRange implements blob.Bucket.
func (b *Bucket) GetRange(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("get object %s: the range is %d bytes from offset %d", name, length, offset)
	}
	data, err := b.read(ctx, name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("get object %s, %d bytes from offset %d: %w", name, length, offset, err)
	}
	return data, nil
}

// read returns length bytes from offset on, or all when length is negative.
func (b *Bucket) read(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	if _, err := b.stat(ctx, name); err != nil {
		return nil, err
	}
	f, err := b.fs.Open(b.path(name))
	if err != nil {
		return nil, notFound(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	offset = min(offset, size)
	if rest := size - offset; length < 0 || length > rest {
		length = rest
	}
	data := make([]byte, length)
	if n, err := f.ReadAt(data, offset); n < len(data) {
		return nil, fmt.Errorf("read %d of %d bytes: %w", n, len(data), err)
	}
	return data, nil
}

// notFound is for an object that was deleted between two looks at it.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return blob.ErrNotFound
	}
	return err
}

// Open implements blob.Bucket: the object's file is mapped.
func (b *Bucket) Open(ctx context.Context, name string) (blob.Object, error) {
	if _, err := b.stat(ctx, name); err != nil {
		return nil, fmt.Errorf("open object %s: %w", name, err)
	}
	m, err := b.fs.Map(b.path(name))
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", name, notFound(err))
	}
	return &object{mapping: m, size: int64(len(m.Bytes()))}, nil
}

// object is a mapped object.
type object struct {
	mapping vfs.Mapping
	size    int64
	closed  atomic.Bool
}

// Bytes implements blob.Object.
func (o *object) Bytes() []byte { return o.mapping.Bytes() }

// Size implements blob.Object.
func (o *object) Size() int64 { return o.size }

// ReadAt implements blob.Object.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case o.closed.Load():
		return 0, fmt.Errorf("read object: %w", fs.ErrClosed)
	case off < 0:
		return 0, fmt.Errorf("read object at offset %d: %w", off, fs.ErrInvalid)
	case off >= o.size:
		return 0, io.EOF
	}
	n := copy(p, o.mapping.Bytes()[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements blob.Object; a second call does nothing.
func (o *object) Close() error {
	if o.closed.Swap(true) {
		return nil
	}
	return o.mapping.Close()
}

// List implements blob.Bucket. It reads one directory at a time and asks for
// the attributes of no file that cannot be in the answer.
func (b *Bucket) List(ctx context.Context, prefix, after string, fn func(blob.Info) error) error {
	w := &walk{bucket: b, ctx: ctx, prefix: prefix, after: after, fn: fn}
	dir := "."
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		dir = prefix[:i]
		if blob.ValidateName(dir) != nil {
			return nil // no object can have this prefix
		}
	}
	if err := w.dir(dir); err != nil {
		if w.stopped {
			return err // fn's own
		}
		return fmt.Errorf("list objects %s*: %w", prefix, err)
	}
	return nil
}

// walk is one List under way.
type walk struct {
	bucket        *Bucket
	ctx           context.Context
	prefix, after string
	fn            func(blob.Info) error
	stopped       bool
}

// entry is one name of a directory with its place in the order of objects: a
// directory sorts as its name with a slash.
type entry struct {
	name, key string
	info      fs.FileInfo
}

func (w *walk) dir(dir string) error {
	entries, err := w.entries(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		switch {
		case e.info.IsDir():
			if err := w.dir(e.name); err != nil {
				return err
			}
		case strings.HasPrefix(e.name, w.prefix) && e.name > w.after && e.info.Mode().IsRegular():
			if err := w.fn(blob.Info{Name: e.name, SizeBytes: e.info.Size(), Modified: e.info.ModTime()}); err != nil {
				w.stopped = true
				return err
			}
		}
	}
	return nil
}

// entries returns what of a directory can be in the answer, in order.
func (w *walk) entries(dir string) ([]entry, error) {
	if err := context.Cause(w.ctx); err != nil {
		return nil, err
	}
	names, err := w.bucket.fs.List(w.bucket.path(dir))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil // gone, or never there
		}
		return nil, err
	}
	entries := make([]entry, 0, min(len(names), 1024))
	for _, base := range names {
		name := path.Join(dir, base)
		if strings.HasPrefix(base, tempPrefix) || !w.possible(name) {
			continue
		}
		info, err := w.bucket.fs.Stat(w.bucket.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		e := entry{name: name, key: name, info: info}
		if info.IsDir() {
			e.key += "/"
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	return entries, nil
}

// possible reports whether name, or something below it, can be in the answer.
func (w *walk) possible(name string) bool {
	if !strings.HasPrefix(name, w.prefix) && !strings.HasPrefix(w.prefix, name+"/") {
		return false
	}
	// "0" follows "/": everything below name is less than name+"0".
	return name > w.after || name+"0" > w.after
}
