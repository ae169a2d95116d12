package frontend

import (
	"container/list"
	"sync"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql/exec"
)

// Key names answers of which one may be a part of another: all that an answer
// depends on, but for the range and the data.
type Key struct {
	Tenant tenant.ID
	Expr   string
	// Step, Phase (the time of every step modulo Step), Lookback and SubqueryStep
	// are in ms.
	Step, Phase, Lookback, SubqueryStep int64
}

// Extent is an answer for consecutive steps: those of Matrix.Grid. It is never
// changed, and owns its labels.
type Extent struct {
	Matrix exec.Matrix
	// Number is that of the last change which is surely in it (I1).
	Number uint64
	// Bytes is what it takes.
	Bytes int64
}

// Cache keeps extents, at most one of each key, up to a limit: what was not used
// for longest goes first. It is safe for concurrent use.
type Cache struct {
	max int64

	mu    sync.Mutex // guards all below
	bytes int64
	of    map[Key]*list.Element
	used  *list.List // of *kept, the last used one first
	gone  int64      // how many went for others
}

type kept struct {
	key    Key
	extent *Extent
	bytes  int64
}

// share is the part of a cache that one extent may take, as a divisor.
const share = 8

// keptBytes is what an extent takes beside its matrix and the text of its key.
const keptBytes = 256

// NewCache returns an empty cache of at most maxBytes.
func NewCache(maxBytes int64) *Cache {
	return &Cache{max: maxBytes, of: map[Key]*list.Element{}, used: list.New()}
}

// Get returns the extent of a key, nil when there is none.
func (c *Cache) Get(k Key) *Extent {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.of[k]
	if e == nil {
		return nil
	}
	c.used.MoveToFront(e)
	return e.Value.(*kept).extent
}

// Room reports whether an extent of a size would be kept.
func (c *Cache) Room(bytes int64) bool { return bytes <= c.max/share }

// Put keeps an extent in place of the one that its key has, unless that is newer
// or this one is too large, and reports whether it did.
func (c *Cache) Put(k Key, x *Extent) bool {
	size := x.Bytes + int64(len(k.Expr)) + keptBytes
	if !c.Room(size) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of[k]; e != nil {
		if e.Value.(*kept).extent.Number > x.Number {
			return false
		}
		c.removeLocked(e)
	}
	c.of[k] = c.used.PushFront(&kept{k, x, size})
	c.bytes += size
	for c.bytes > c.max {
		c.removeLocked(c.used.Back())
		c.gone++
	}
	return true
}

func (c *Cache) removeLocked(e *list.Element) {
	x := c.used.Remove(e).(*kept)
	delete(c.of, x.key)
	c.bytes -= x.bytes
}

// Usage is what a cache has.
type Usage struct {
	Bytes    int64
	Extents  int
	Replaced int64 // that went for others, so far
}

// Usage returns what the cache has.
func (c *Cache) Usage() Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Usage{Bytes: c.bytes, Extents: len(c.of), Replaced: c.gone}
}
