package limits

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// sketch estimates how many distinct hashes it was given: HyperLogLog (Flajolet
// et al. 2007, section 4) with 1,024 registers, whose standard error is 3.3 %.
// It has 1 KiB, and its estimate costs no look at the registers.
type sketch struct {
	registers [registers]uint8
	sum       float64 // of 2^-r over the registers
	zeros     int     // registers that are 0
}

const (
	registerBits = 10
	registers    = 1 << registerBits
)

func newSketch() *sketch { return &sketch{sum: registers, zeros: registers} }

// add takes one hash.
func (s *sketch) add(hash uint64) {
	r := &s.registers[hash>>(64-registerBits)]
	rank := uint8(bits.LeadingZeros64(hash<<registerBits|1<<(registerBits-1)) + 1)
	if rank <= *r {
		return
	}
	if *r == 0 {
		s.zeros--
	}
	s.sum += math.Ldexp(1, -int(rank)) - math.Ldexp(1, -int(*r))
	*r = rank
}

// estimate is about how many distinct hashes were added.
func (s *sketch) estimate() uint64 {
	const alpha = 0.7213 / (1 + 1.079/registers)
	e := alpha * registers * registers / s.sum
	if e <= 2.5*registers && s.zeros > 0 {
		e = registers * math.Log(float64(registers)/float64(s.zeros)) // linear counting
	}
	return uint64(e + 0.5)
}

// counter counts keys in a fixed number of cells: never too few, too many where
// two keys share both of their cells' places with others (count-min, two rows).
// Its methods are safe for concurrent use; of adds of one key at the same moment
// one may be lost.
type counter struct {
	rows [2][]atomic.Uint32
	mask uint64
}

func newCounter(cells int) counter { // a power of two
	return counter{rows: [2][]atomic.Uint32{make([]atomic.Uint32, cells), make([]atomic.Uint32, cells)}, mask: uint64(cells - 1)}
}

// cells are the places of a key.
func (c *counter) cells(key uint64) (a, b *atomic.Uint32) {
	return &c.rows[0][key&c.mask], &c.rows[1][key>>32&c.mask]
}

// add counts a key n times more and returns its count.
func (c *counter) add(key uint64, n uint32) uint32 {
	a, b := c.cells(key)
	v := min(a.Load(), b.Load())
	v += min(n, math.MaxUint32-v)
	raise(a, v)
	raise(b, v)
	return v
}

// raise makes a cell at least v.
func raise(cell *atomic.Uint32, v uint32) {
	for old := cell.Load(); old < v && !cell.CompareAndSwap(old, v); old = cell.Load() {
	}
}

// halve forgets half of what was counted.
func (c *counter) halve() {
	for _, row := range c.rows {
		for i := range row {
			row[i].Store(row[i].Load() / 2)
		}
	}
}
