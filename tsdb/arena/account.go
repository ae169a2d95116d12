package arena

import "sync/atomic"

// Allocator is where all memory of a process comes from.
type Allocator struct {
	bytes  atomic.Int64
	blocks blocks
}

// New returns an allocator that has handed out nothing.
func New() *Allocator { return new(Allocator) }

// Bytes is what has been handed out and not freed, whole pages and size classes
// counted: what the process would need less without it.
func (a *Allocator) Bytes() int64 { return a.bytes.Load() }

// Owner takes memory and is charged for it.
type Owner struct {
	allocator *Allocator
	bytes     atomic.Int64
}

// Owner returns a new owner, as of one tenant.
func (a *Allocator) Owner() *Owner { return &Owner{allocator: a} }

// Bytes is what the owner has, in the sense of Allocator.Bytes.
func (o *Owner) Bytes() int64 { return o.bytes.Load() }

// charge counts n bytes more, or fewer where n is negative.
func (o *Owner) charge(n int) {
	if n != 0 {
		o.bytes.Add(int64(n))
		o.allocator.bytes.Add(int64(n))
	}
}
