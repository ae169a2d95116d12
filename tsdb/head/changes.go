package head

import (
	"cmp"
	"math"
	"slices"
	"sync"
)

// changes remember at which times a tenant's samples were changed, so that who
// keeps answers knows which of them still hold. Times are known to the minute.
type changes struct {
	mu      sync.Mutex // guards the fields below
	number  uint64     // of the last change
	minutes []minute   // in order of time
	spans   []changedSpan
	// Before until, ms, something was changed last by oldest: what minutes has no
	// room for.
	until  int64
	oldest uint64
}

// minute is the number of the last change to samples of one minute.
type minute struct {
	at     int64 // its start, ms
	number uint64
}

// changedSpan is a change to samples between two times, ms, both included.
type changedSpan struct {
	number     uint64
	mint, maxt int64
}

// Limits of what changes remember. Beyond them they say that more was changed
// than was.
const (
	minutesMax = 4096 // nearly three days
	spansMax   = 64
)

const minuteMs = 60_000

func newChanges() changes { return changes{until: math.MinInt64} }

// add notes a sample at a time. It is called when the sample can be seen.
func (c *changes) add(t int64) {
	at := max(t, minTime)
	at -= ((at % minuteMs) + minuteMs) % minuteMs
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	n := len(c.minutes)
	if n > 0 && c.minutes[n-1].at == at {
		c.minutes[n-1].number = c.number
		return
	}
	i, found := slices.BinarySearchFunc(c.minutes, at, func(m minute, at int64) int { return cmp.Compare(m.at, at) })
	switch {
	case found:
		c.minutes[i].number = c.number
	case at < c.until:
		c.oldest = c.number
	default:
		c.minutes = slices.Insert(c.minutes, i, minute{at, c.number})
		if n == minutesMax {
			c.until, c.oldest = c.minutes[0].at+minuteMs, max(c.oldest, c.minutes[0].number)
			c.minutes = slices.Delete(c.minutes, 0, 1)
		}
	}
}

// addSpan notes that samples between two times, ms, both included, came or went.
func (c *changes) addSpan(mint, maxt int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	c.spans = append(c.spans, changedSpan{c.number, mint, maxt})
	if len(c.spans) > spansMax {
		a, b := c.spans[0], c.spans[1]
		c.spans[1] = changedSpan{b.number, min(a.mint, b.mint), max(a.maxt, b.maxt)}
		c.spans = slices.Delete(c.spans, 0, 1)
	}
}

// since returns the number of the last change, and the earliest time from mint on
// that a change after a number may have touched, math.MaxInt64 when there is none.
func (c *changes) since(number uint64, mint int64) (now uint64, from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number == c.number {
		return c.number, math.MaxInt64
	}
	if c.oldest > number && c.until > mint {
		return c.number, mint
	}
	from = math.MaxInt64
	i, _ := slices.BinarySearchFunc(c.minutes, mint, func(m minute, mint int64) int { return cmp.Compare(m.at+minuteMs-1, mint) })
	for ; i < len(c.minutes); i++ {
		if c.minutes[i].number > number {
			from = max(mint, c.minutes[i].at)
			break
		}
	}
	for _, s := range c.spans {
		if s.number > number && s.maxt >= mint {
			from = min(from, max(mint, s.mint))
		}
	}
	return c.number, from
}

// Changed is storage.Reader's, for the head's tenant.
func (h *Head) Changed(number uint64, mint int64) (now uint64, from int64) {
	return h.changes.since(number, mint)
}

// NoteChange says that samples between two times, ms, both included, came or went
// by other ways than a commit or a Delete. It is called when that can be seen.
func (h *Head) NoteChange(mint, maxt int64) { h.changes.addSpan(mint, maxt) }
