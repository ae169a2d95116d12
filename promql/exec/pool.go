package exec

import (
	"sync"

	"github.com/nilometer/nilometer/promql/plan"
)

// Pool is the memory that all queries share. It is safe for concurrent use.
type Pool struct {
	max, reserved int64
	step          int64

	mu                 sync.Mutex // guards all below
	general, essential int64
	refused            int64

	arrays arrays
}

// The bounds of what a budget takes from its pool at once, in bytes: enough
// that the lock is taken rarely, little enough that what twenty queries have
// taken and do not use matters nowhere.
const (
	stepMin = 16 << 10
	stepMax = 1 << 20
)

// NewPool returns a pool of maxBytes, of which reservedBytes are only for
// essential queries.
func NewPool(maxBytes, reservedBytes int64) *Pool {
	return &Pool{max: maxBytes, reserved: reservedBytes, step: min(max(maxBytes/1024, stepMin), stepMax)}
}

// PoolUsage is what a pool has given out, in bytes, and how often it has
// refused to give more.
type PoolUsage struct {
	General, Essential, Refused int64
}

// Usage returns what the pool has given out.
func (p *Pool) Usage() PoolUsage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PoolUsage{General: p.general, Essential: p.essential, Refused: p.refused}
}

// take gives between least and want bytes.
func (p *Pool) take(least, want int64, essential bool, where string) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := p.general + p.essential
	limit, used := p.max, held
	if !essential {
		// What rules hold beyond their reserve is missing to all others.
		limit, used = p.max-p.reserved, max(p.general, held-p.reserved)
	}
	n := min(want, limit-used)
	if n < least {
		p.refused++
		return 0, &plan.LimitError{
			Limit: "bytes of memory of all queries", Max: limit, Seen: used + least, Where: where, Transient: true,
			Remedy: "retry when other queries have ended, ask for less (series, range, resolution), or raise nilometer.query.memory_max",
		}
	}
	if essential {
		p.essential += n
	} else {
		p.general += n
	}
	return n, nil
}

func (p *Pool) give(n int64, essential bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if essential {
		p.essential -= n
	} else {
		p.general -= n
	}
}
