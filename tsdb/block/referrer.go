package block

import (
	"math"
	"math/bits"
	"slices"

	"github.com/cespare/xxhash/v2"

	formatcolumn "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/tsdb/part"
)

// referrer looks, for each chunk that changes, for others of the page at hand
// that it can refer to (see format/column): among the last ones of the same
// tile, present at the same positions. It tries little: what fingerprints say
// is exact, and what a few sampled steps say is near.
type referrer struct {
	encoder *formatcolumn.Encoder
	ring    []candidate // the last chunks that change, in the domain of a decimal
	next    int         // in the ring, once it is full
	byPrint map[uint64]int
	shapes  map[uint64]shape // by the positions of change
	values  []float64
	k       []int64
	trial   []byte
}

const (
	// candidatesMax is how many chunks are remembered: 256 save 0.5 % more, and
	// each keeps its values (7.7 KiB).
	candidatesMax = 128
	// candidatesAll bounds them over the rows of a writer: 32 MiB.
	candidatesAll = 4096
	// referBytesMin: below it a chunk has nothing to win.
	referBytesMin = 14
	sampledSteps  = 16
)

// others are the entries of the page that a chunk needs, itself not included.
type others struct {
	entry [page.OthersMax]int32
	n     int
}

// with adds an entry and what it needs, and reports whether there was room.
func (o others) with(entry int32, needs *others) (others, bool) {
	all := append(needs.entry[:needs.n:needs.n], entry)
	for _, e := range all {
		if slices.Contains(o.entry[:o.n], e) {
			continue
		}
		if o.n == len(o.entry) {
			return o, false
		}
		o.entry[o.n] = e
		o.n++
	}
	return o, true
}

// place is what two chunks share that refer to one another.
type place struct {
	column  part.ColumnID
	tile, n int
	runs    uint64
}

func (p place) hash() uint64 {
	return (uint64(p.column)*0x9e3779b97f4a7c15+uint64(p.tile))*0xbf58476d1ce4e5b9 ^ p.runs
}

// candidate is a chunk that others may refer to.
type candidate struct {
	place
	entry  int32
	needs  others
	exp    int
	values []float64
	print  uint64
	steps  samples
}

// shape is the first chunk that changes at certain positions.
type shape struct {
	entry int32
	needs others
}

// samples are differences of values, as integers: some from one position to
// the next, some over a stretch.
type samples [2 * sampledSteps]int64

// reset begins a page.
func (r *referrer) reset() {
	for i := range r.ring {
		r.ring[i].entry = -1
	}
	clear(r.byPrint)
	clear(r.shapes)
}

// refer returns the chunk with its references, if it is shorter with them. The
// result is valid until the next call; entry is the one that it will be in.
func (r *referrer) refer(entry int, id part.ColumnID, tile, positions, most int, c page.Chunk) page.Chunk {
	n := column.PresentCount(c.Runs, positions)
	if n < 2 || len(c.Data) == 0 {
		return c
	}
	info, err := formatcolumn.Inspect(c.Data, n)
	if err != nil || info.Constant {
		return c
	}
	if r.values, err = formatcolumn.Decode(r.values[:0], c.Data, n); err != nil {
		return c // it was damaged when it came: it stays as it is
	}
	at := place{column: id, tile: tile, n: n, runs: hashRuns(c.Runs)}
	self := candidate{place: at, entry: int32(entry), exp: info.Exponent, values: r.values}
	term := info.Domain <= formatcolumn.Decimal && !info.HasSpecials && r.integers(info.Exponent)
	if term {
		self.print = fingerprint(r.k)
		self.steps = sample(r.k)
	}
	shapeKey, old, known := r.shape(at)
	if len(c.Data) >= referBytesMin {
		c = r.best(c, &self, term, old, known)
	}
	if !known {
		r.shapes[shapeKey] = shape{entry: self.entry, needs: self.needs}
	}
	if term {
		r.remember(self, most)
	}
	return c
}

func hashRuns(runs []column.Run) uint64 {
	if len(runs) == 0 {
		return 0
	}
	return xxhash.Sum64(formatcolumn.AppendRuns(nil, runs))
}

// integers fills k with the values times a power of ten.
func (r *referrer) integers(exp int) bool {
	var ok bool
	r.k, ok = formatcolumn.Integers(r.k[:0], r.values, exp)
	return ok
}

// shape returns the key of the positions at which the values change, and the
// first chunk with them.
func (r *referrer) shape(at place) (key uint64, s shape, known bool) {
	var changes [column.TilePositions/64 + 1]uint64
	last := math.Float64bits(r.values[0])
	for i, v := range r.values {
		if b := math.Float64bits(v); b != last {
			changes[i/64] |= 1 << (i % 64)
			last = b
		}
	}
	key = at.hash()
	for _, w := range changes {
		key = bits.RotateLeft64((key^w)*0x9e3779b97f4a7c15, 29)
	}
	if r.shapes == nil {
		r.shapes = map[uint64]shape{}
	}
	s, known = r.shapes[key]
	return key, s, known
}

// best tries what is likely, and sets what self needs by its references.
func (r *referrer) best(c page.Chunk, self *candidate, term bool, old shape, shared bool) page.Chunk {
	var trials [4][]termOf
	found := trials[:0]
	if term {
		found = r.exact(self, found)
		if len(found) == 0 {
			found = r.near(self, found)
		}
	}
	if shared {
		found = append(found, nil) // the positions alone
	}
	for _, terms := range found {
		c = r.try(c, self, terms, old, shared)
	}
	return c
}

// termOf is a candidate as a term.
type termOf struct {
	c     *candidate
	minus bool
}

// try encodes the chunk with references, and returns it if it is shorter.
func (r *referrer) try(c page.Chunk, self *candidate, terms []termOf, old shape, shared bool) page.Chunk {
	var ref formatcolumn.Reference
	var buf [formatcolumn.TermsMax]formatcolumn.Term
	var needs others
	var ok bool
	for i, t := range terms {
		if needs, ok = needs.with(t.c.entry, &t.c.needs); !ok {
			return c
		}
		buf[i] = formatcolumn.Term{Values: t.c.values, Minus: t.minus}
	}
	ref.Terms = buf[:len(terms)]
	if shared {
		if _, ok = needs.with(old.entry, &old.needs); ok {
			ref.Positions = self.values
		}
	}
	r.trial = r.encoder.AppendRef(r.trial[:0], self.values, ref)
	info, err := formatcolumn.Inspect(r.trial, self.n)
	if err != nil || !info.Reference {
		return c
	}
	var refs []page.Ref
	if info.Terms {
		for _, t := range terms {
			role := page.Plus
			if t.minus {
				role = page.Minus
			}
			refs = append(refs, page.Ref{Back: int(self.entry - t.c.entry), Role: role})
		}
	} else {
		needs = others{}
	}
	if info.Positions {
		needs, _ = needs.with(old.entry, &old.needs)
		refs = append(refs, page.Ref{Back: int(self.entry - old.entry), Role: page.Positions})
	}
	// Two bytes a reference, and one for the chunk: about what they take. What
	// saves less than a sixteenth is not worth the decoding, nor the place among
	// the few others that a chunk may need.
	if len(r.trial)+len(r.trial)/16+2*len(refs)+1 >= len(c.Data)+2*len(c.Refs) {
		return c
	}
	self.needs = needs
	return page.Chunk{Data: slices.Clone(r.trial), Runs: c.Runs, Refs: refs}
}

// fits reports whether self can refer to c.
func (r *referrer) fits(self, c *candidate) bool { return c.entry >= 0 && c.place == self.place }

// exact finds one or two candidates whose sum differs from the values by a
// constant, as far as fingerprints tell.
func (r *referrer) exact(self *candidate, found [][]termOf) [][]termOf {
	key := self.place.hash() + uint64(self.exp)
	lookup := func(print uint64, not *candidate) *candidate {
		i, ok := r.byPrint[print^key]
		if !ok {
			return nil
		}
		c := &r.ring[i]
		if c == not || !r.fits(self, c) || c.exp != self.exp || c.print != print {
			return nil
		}
		return c
	}
	for _, minus := range []bool{false, true} {
		if c := lookup(signed(self.print, minus), nil); c != nil {
			return append(found, []termOf{{c, minus}})
		}
	}
	for i := range r.ring {
		c := &r.ring[i]
		if !r.fits(self, c) || c.exp != self.exp {
			continue
		}
		for _, minus := range []bool{false, true} {
			rest := self.print - signed(c.print, minus)
			for _, minus2 := range []bool{false, true} {
				d := lookup(signed(rest, minus2), c)
				if d == nil {
					continue
				}
				needs, ok := (others{}).with(c.entry, &c.needs)
				if ok {
					_, ok = needs.with(d.entry, &d.needs)
				}
				if ok {
					return append(found, []termOf{{c, minus}, {d, minus2}})
				}
			}
		}
	}
	return found
}

func signed(print uint64, minus bool) uint64 {
	if minus {
		return -print
	}
	return print
}

// near finds the candidates to whose steps those of the values are nearest: the
// best one, the best one together with a second, and the second best.
func (r *referrer) near(self *candidate, found [][]termOf) [][]termOf {
	zero := samples{}
	own := self.steps.distance(&zero, 1)
	first, second := r.nearest(self, &self.steps, nil, own)
	if first.c == nil {
		return found
	}
	rest := self.steps
	factor := first.factor(self)
	for i := range rest {
		rest[i] -= factor * first.c.steps[i]
	}
	if left := rest.distance(&zero, 1); left > 0 {
		// A second term costs three bytes, and some decoding.
		if third, _ := r.nearest(self, &rest, first.c, left-left/8); third.c != nil {
			found = append(found, []termOf{first, third})
		}
	}
	found = append(found, []termOf{first})
	if second.c != nil {
		found = append(found, []termOf{second})
	}
	return found
}

// factor is what the term's integers are multiplied with in the domain of self.
func (t termOf) factor(self *candidate) int64 {
	f := int64(1)
	if t.minus {
		f = -1
	}
	for e := t.c.exp; e < self.exp; e++ {
		f *= 10
	}
	return f
}

// nearest returns the two candidates with the smallest distances below most.
func (r *referrer) nearest(self *candidate, steps *samples, not *candidate, most int) (first, second termOf) {
	least := most
	for i := range r.ring {
		c := &r.ring[i]
		if c == not || !r.fits(self, c) || c.exp > self.exp {
			continue
		}
		for _, minus := range []bool{false, true} {
			t := termOf{c, minus}
			if d := steps.distance(&c.steps, t.factor(self)); d < least {
				least = d
				first, second = t, first
			}
		}
	}
	return first, second
}

// distance is about the bits of the differences of s to a multiple of o.
func (s *samples) distance(o *samples, factor int64) int {
	sum := 0
	for half := range 2 {
		var d [sampledSteps]int64
		mean := int64(0)
		for i := range d {
			d[i] = s[half*sampledSteps+i] - factor*o[half*sampledSteps+i]
			mean += d[i] / sampledSteps
		}
		for _, v := range d {
			v -= mean
			sum += bits.Len64(uint64(v ^ v>>63))
		}
	}
	return sum
}

func sample(k []int64) (s samples) {
	last := len(k) - 1
	for i := range sampledSteps {
		at := i * last / sampledSteps
		s[i] = k[at+1] - k[at]
		s[sampledSteps+i] = k[(i+1)*last/sampledSteps] - k[at]
	}
	return s
}

// fingerprint is a linear function of the steps of k, modulo 2^64: that of a
// sum is the sum of those of its terms.
func fingerprint(k []int64) uint64 {
	sum, weight := uint64(0), uint64(0x9e3779b97f4a7c15)
	for i := 1; i < len(k); i++ {
		weight = weight*6364136223846793005 + 1442695040888963407
		sum += uint64(k[i]-k[i-1]) * (weight | 1)
	}
	return sum
}

// remember makes self a candidate of what follows, in place of the oldest one.
func (r *referrer) remember(self candidate, most int) {
	if r.byPrint == nil {
		r.byPrint = map[uint64]int{}
	}
	at := r.next
	if len(r.ring) < most {
		at = len(r.ring)
		r.ring = append(r.ring, candidate{entry: -1})
	} else {
		r.next = (r.next + 1) % len(r.ring)
	}
	c := &r.ring[at]
	if key := c.print ^ (c.place.hash() + uint64(c.exp)); c.entry >= 0 && r.byPrint[key] == at {
		delete(r.byPrint, key)
	}
	values := append(c.values[:0], self.values...)
	*c = self
	c.values = values
	if key := c.print ^ (c.place.hash() + uint64(c.exp)); c.print != 0 {
		if i, ok := r.byPrint[key]; !ok || r.ring[i].needs.n >= c.needs.n {
			r.byPrint[key] = at
		}
	}
}
