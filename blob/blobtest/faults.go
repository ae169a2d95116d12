package blobtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/nilometer/nilometer/blob"
)

// callsMax bounds the calls that are remembered for Calls; counting goes on.
const callsMax = 100_000

// Kind is a kind of call.
type Kind string

// The kinds of calls.
const (
	Put    Kind = "put"
	Get    Kind = "get" // Get and GetRange
	Open   Kind = "open"
	List   Kind = "list"
	Stat   Kind = "stat"
	Delete Kind = "delete"
)

// Call is a call of a bucket.
type Call struct {
	N    int // from 1, over all kinds
	Kind Kind
	Name string // the prefix of a list
	// OfKind counts the calls of this kind, from 1.
	OfKind int
}

// String returns the call in one line.
func (c Call) String() string { return fmt.Sprintf("%d %s %s", c.N, c.Kind, c.Name) }

// Fault is what becomes of a call.
type Fault struct {
	// Err is returned; nil: no fault.
	Err error
	// Ambiguous lets a put or delete happen nevertheless, as when the answer of
	// an object store is lost on the way. Reads have nothing to happen.
	Ambiguous bool
}

// Bucket passes everything on to a bucket and makes calls fail as it is told.
type Bucket struct {
	inner blob.Bucket

	mu    sync.Mutex // guards all below; fault is called with it held
	count map[Kind]int
	calls []Call
	n     int
	fault func(Call) Fault
}

var _ blob.Bucket = (*Bucket)(nil)

// New wraps a bucket.
func New(inner blob.Bucket) *Bucket { return &Bucket{inner: inner, count: map[Kind]int{}} }

// Fail makes calls fail for which fn returns a fault; nil ends that.
func (b *Bucket) Fail(fn func(Call) Fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fn
}

// FailPut makes the put number n, counted from 1, fail with err; ambiguous: the
// object is there all the same.
func (b *Bucket) FailPut(n int, err error, ambiguous bool) {
	b.Fail(func(c Call) Fault {
		if c.Kind == Put && c.OfKind == n {
			return Fault{err, ambiguous}
		}
		return Fault{}
	})
}

// FailName makes all calls of a kind on names that contain part fail with err.
func (b *Bucket) FailName(kind Kind, part string, err error) {
	b.Fail(func(c Call) Fault {
		if c.Kind == kind && strings.Contains(c.Name, part) {
			return Fault{Err: err}
		}
		return Fault{}
	})
}

// Count returns the number of calls of a kind so far.
func (b *Bucket) Count(kind Kind) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count[kind]
}

// Calls returns the calls so far, the first 100,000 at most.
func (b *Bucket) Calls() []Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.calls)
}

func (b *Bucket) begin(kind Kind, name string) Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	b.count[kind]++
	c := Call{N: b.n, Kind: kind, Name: name, OfKind: b.count[kind]}
	if len(b.calls) < callsMax {
		b.calls = append(b.calls, c)
	}
	if b.fault == nil {
		return Fault{}
	}
	f := b.fault(c)
	if f.Err != nil {
		f.Err = fmt.Errorf("%s object %s: %w", kind, name, f.Err)
	}
	return f
}

// write runs a call that changes something.
func (b *Bucket) write(kind Kind, name string, run func() error) error {
	f := b.begin(kind, name)
	if f.Err == nil {
		return run()
	}
	if !f.Ambiguous {
		return f.Err
	}
	if err := run(); errors.Is(err, blob.ErrInvalidName) {
		return err // the caller's fault is no secret
	}
	return f.Err
}

// PutIfAbsent implements blob.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	return b.write(Put, name, func() error { return b.inner.PutIfAbsent(ctx, name, r, sizeBytes) })
}

// Delete implements blob.Bucket.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	return b.write(Delete, name, func() error { return b.inner.Delete(ctx, name) })
}

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	if f := b.begin(Get, name); f.Err != nil {
		return nil, f.Err
	}
	return b.inner.Get(ctx, name)
}

// GetRange implements blob.Bucket.
func (b *Bucket) GetRange(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	if f := b.begin(Get, name); f.Err != nil {
		return nil, f.Err
	}
	return b.inner.GetRange(ctx, name, offset, length)
}

// Open implements blob.Bucket.
func (b *Bucket) Open(ctx context.Context, name string) (blob.Object, error) {
	if f := b.begin(Open, name); f.Err != nil {
		return nil, f.Err
	}
	return b.inner.Open(ctx, name)
}

// List implements blob.Bucket.
func (b *Bucket) List(ctx context.Context, prefix, after string, fn func(blob.Info) error) error {
	if f := b.begin(List, prefix); f.Err != nil {
		return f.Err
	}
	return b.inner.List(ctx, prefix, after, fn)
}

// Stat implements blob.Bucket.
func (b *Bucket) Stat(ctx context.Context, name string) (blob.Info, error) {
	if f := b.begin(Stat, name); f.Err != nil {
		return blob.Info{}, f.Err
	}
	return b.inner.Stat(ctx, name)
}
