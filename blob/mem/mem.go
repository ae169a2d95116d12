// Package mem is a bucket in memory, for tests and for what lives no longer than
// its process. Nothing in it is durable; everything else holds as blob says.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nilometer/nilometer/blob"
)

// Bucket is a bucket in memory.
type Bucket struct {
	mu      sync.RWMutex // guards objects; their data never change
	objects map[string]stored
}

type stored struct {
	data     []byte
	modified time.Time
}

var _ blob.Bucket = (*Bucket)(nil)

// New returns an empty bucket.
func New() *Bucket { return &Bucket{objects: map[string]stored{}} }

// PutIfAbsent implements blob.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, sizeBytes+1))
	if err == nil && int64(len(data)) != sizeBytes {
		err = fmt.Errorf("the reader has %d bytes or more, announced were %d", len(data), sizeBytes)
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.objects[name]; ok {
		return fmt.Errorf("put object %s: %w", name, blob.ErrExists)
	}
	b.objects[name] = stored{data, time.Now()}
	return nil
}

func check(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return blob.ValidateName(name)
}

func (b *Bucket) find(ctx context.Context, op, name string) (stored, error) {
	if err := check(ctx, name); err != nil {
		return stored{}, fmt.Errorf("%s object %s: %w", op, name, err)
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, ok := b.objects[name]
	if !ok {
		return stored{}, fmt.Errorf("%s object %s: %w", op, name, blob.ErrNotFound)
	}
	return s, nil
}

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	s, err := b.find(ctx, "get", name)
	return bytes.Clone(s.data), err
}

// GetRange implements blob.Bucket.
func (b *Bucket) GetRange(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("get object %s: the range is %d bytes from offset %d", name, length, offset)
	}
	s, err := b.find(ctx, "get", name)
	if err != nil {
		return nil, err
	}
	rest := s.data[min(offset, int64(len(s.data))):]
	return bytes.Clone(rest[:min(length, int64(len(rest)))]), nil
}

// Open implements blob.Bucket.
func (b *Bucket) Open(ctx context.Context, name string) (blob.Object, error) {
	s, err := b.find(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	return &object{data: s.data}, nil
}

// Stat implements blob.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (blob.Info, error) {
	s, err := b.find(ctx, "stat", name)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Name: name, SizeBytes: int64(len(s.data)), Modified: s.modified}, nil
}

// List implements blob.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string, fn func(blob.Info) error) error {
	b.mu.RLock()
	var found []blob.Info
	for name, s := range b.objects {
		if strings.HasPrefix(name, prefix) && name > after {
			found = append(found, blob.Info{Name: name, SizeBytes: int64(len(s.data)), Modified: s.modified})
		}
	}
	b.mu.RUnlock()
	slices.SortFunc(found, func(a, b blob.Info) int { return strings.Compare(a.Name, b.Name) })
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("list objects %s*: %w", prefix, err)
	}
	for _, info := range found {
		if err := fn(info); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("list objects %s*: %w", prefix, err)
		}
	}
	return nil
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, name)
	return nil
}

// object is an open object.
type object struct {
	mu     sync.RWMutex // guards closed
	closed bool
	data   []byte
}

// Bytes implements blob.Object.
func (o *object) Bytes() []byte { return o.data }

// Size implements blob.Object.
func (o *object) Size() int64 { return int64(len(o.data)) }

// ReadAt implements blob.Object.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.closed {
		return 0, fmt.Errorf("read object: %w", fs.ErrClosed)
	}
	return bytes.NewReader(o.data).ReadAt(p, off)
}

// Close implements blob.Object; a second call does nothing.
func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return nil
}
