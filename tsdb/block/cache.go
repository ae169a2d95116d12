package block

import (
	"sync"
	"sync/atomic"
)

// Cache bounds the memory of what blocks have decoded: directories of pages
// and pages that were compressed or read from afar, label sets, time columns.
// Blocks may share one. What is thrown out stays valid for who holds it.
//
// It throws out by second chance: a hit costs its block one atomic load, and
// no lock.
type Cache struct {
	limit int64

	mu   sync.Mutex // guards what follows
	used int64
	ring []*cached
	hand int
}

// cached is the cache's side of one decoded thing.
type cached struct {
	bytes   int64
	touched atomic.Bool
	drop    func() // makes the owner forget it
	at      int    // in the ring, -1 outside; guarded by Cache.mu
}

// cacheBytesDefault is the limit of a block that was opened without a cache.
const cacheBytesDefault = 64 << 20

// NewCache returns a cache of at most limitBytes, 64 MiB when that is not
// positive.
func NewCache(limitBytes int64) *Cache {
	if limitBytes <= 0 {
		limitBytes = cacheBytesDefault
	}
	return &Cache{limit: limitBytes}
}

// UsedBytes is about what the cache holds now.
func (c *Cache) UsedBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// touch notes a hit.
func (e *cached) touch() {
	if !e.touched.Load() {
		e.touched.Store(true)
	}
}

// add takes an entry in and throws others out until the limit holds again. The
// newest entry stays even when it alone exceeds the limit.
func (c *Cache) add(e *cached) {
	var dropped []*cached
	c.mu.Lock()
	e.at = len(c.ring)
	c.ring = append(c.ring, e)
	c.used += e.bytes
	for c.used > c.limit && len(c.ring) > 1 {
		if c.hand >= len(c.ring) {
			c.hand = 0
		}
		victim := c.ring[c.hand]
		if victim == e || victim.touched.Swap(false) {
			c.hand++
			continue
		}
		c.removeLocked(victim)
		dropped = append(dropped, victim)
	}
	c.mu.Unlock()
	for _, d := range dropped {
		d.drop()
	}
}

// remove takes an entry out, if it is in.
func (c *Cache) remove(e *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.at >= 0 && e.at < len(c.ring) && c.ring[e.at] == e {
		c.removeLocked(e)
	}
}

func (c *Cache) removeLocked(e *cached) {
	last := len(c.ring) - 1
	c.ring[e.at] = c.ring[last]
	c.ring[e.at].at = e.at
	c.ring[last] = nil
	c.ring = c.ring[:last]
	c.used -= e.bytes
	e.at = -1
}

// slot is a place for one decoded thing that the cache may throw out.
type slot[T any] struct {
	p atomic.Pointer[held[T]]
}

type held[T any] struct {
	value T
	entry cached
}

// get returns what is there.
func (s *slot[T]) get() (T, bool) {
	h := s.p.Load()
	if h == nil {
		var none T
		return none, false
	}
	h.entry.touch()
	return h.value, true
}

// put keeps v, which takes about bytes, and returns it, or what another
// goroutine has put meanwhile.
func (s *slot[T]) put(c *Cache, v T, bytes int) T {
	h := &held[T]{value: v}
	h.entry.bytes = int64(bytes) + 128 // the slot's own bookkeeping
	h.entry.at = -1
	h.entry.drop = func() { s.p.CompareAndSwap(h, nil) }
	if !s.p.CompareAndSwap(nil, h) {
		if other := s.p.Load(); other != nil {
			return other.value
		}
		return v
	}
	c.add(&h.entry)
	return v
}

// clear empties the slot.
func (s *slot[T]) clear(c *Cache) {
	if h := s.p.Swap(nil); h != nil {
		c.remove(&h.entry)
	}
}
