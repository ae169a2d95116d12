package arena

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Allocator is where all memory of a process comes from. What nobody has freed
// goes back when the allocator, and all that was made with it, is garbage.
type Allocator struct {
	bytes    atomic.Int64
	mappings *mappings
	blocks   blocks
}

// New returns an allocator that has handed out nothing.
func New() *Allocator {
	m := &mappings{of: map[uintptr][]byte{}}
	a := &Allocator{mappings: m, blocks: blocks{mappings: m}}
	runtime.AddCleanup(a, (*mappings).releaseAll, m)
	return a
}

// mappings are the ranges of addresses that an allocator has. It knows nothing
// of the allocator, so that it outlives it.
type mappings struct {
	mu sync.Mutex // guards of
	of map[uintptr][]byte
}

// add notes a range, and returns it.
func (m *mappings) add(mem []byte) []byte {
	if mapped && mem != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.of[addressOf(mem)] = mem
	}
	return mem
}

// release gives a range back.
func (m *mappings) release(mem []byte) {
	if mapped {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.of, addressOf(mem))
	}
	release(mem)
}

func (m *mappings) releaseAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, mem := range m.of {
		release(mem)
	}
	m.of = nil
}

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
