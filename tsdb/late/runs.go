package late

import "sort"

// sample is one late sample. What a float without a start timestamp has not is
// in Buffer.more, by sequence.
type sample struct {
	t    int64
	bits uint64
	seq  uint64
}

const sampleBytes = 24

// Blocks hold the samples of one series and span in order of time. A run begins
// with the smallest block, and gets the next larger one when that is full;
// beyond that it has several of the largest.
var blockSizes = [classes]int{4, 16, 64}

const (
	classes = 3
	largest = classes - 1
	// pageSamples is what a slab grows by: 6 KiB.
	pageSamples = 256
)

// slab hands out blocks of one size.
type slab struct {
	size  int
	pages [][]sample
	used  []uint8 // samples in each block
	free  []uint32
}

func (s *slab) alloc() uint32 {
	if k := len(s.free) - 1; k >= 0 {
		id := s.free[k]
		s.free = s.free[:k]
		return id
	}
	id := uint32(len(s.used))
	if int(id)*s.size == len(s.pages)*pageSamples {
		s.pages = append(s.pages, make([]sample, pageSamples))
	}
	s.used = append(s.used, 0)
	return id
}

func (s *slab) release(id uint32) {
	s.used[id] = 0
	s.free = append(s.free, id)
}

// room is the whole block.
func (s *slab) room(id uint32) []sample {
	perPage := uint32(pageSamples / s.size)
	at := int(id%perPage) * s.size
	return s.pages[id/perPage][at : at+s.size : at+s.size]
}

// block is what is used of a block.
func (s *slab) block(id uint32) []sample { return s.room(id)[:s.used[id]] }

// put inserts a sample into a block that has room, at a place of it.
func (s *slab) put(id uint32, at int, x sample) {
	n := int(s.used[id])
	b := s.room(id)
	copy(b[at+1:n+1], b[at:n])
	b[at] = x
	s.used[id]++
}

// live is the number of samples that the blocks in use have room for.
func (s *slab) live() int { return (len(s.used) - len(s.free)) * s.size }

// run is the samples of one series in one span.
type run struct {
	series uint32
	n      uint32
	block  uint32
	class  uint8
	many   bool // has several blocks: span.blocks
}

// span is the part of the buffer at times [from, to).
type span struct {
	from, to int64
	since    int64 // when its first sample was accepted, ms

	runs  []run
	runOf map[uint32]uint32 // by series
	// blocks has the blocks of runs that have several, in order of time.
	blocks map[uint32][]uint32

	touched         bool // Buffer.touched has it
	samples         int
	lowest, highest uint64 // of all sequences that it had since Drop, and ever
	min, max        int64  // likewise of the times
}

// What a run takes beside its blocks, and a span beside its runs.
const (
	runBytes  = 16 + 24
	spanBytes = 400
)

func newSpan(from, to, nowMs int64) *span {
	return &span{from: from, to: to, since: nowMs, runOf: map[uint32]uint32{}}
}

// runAt returns the run of a series, which is made.
func (s *span) runAt(series uint32) uint32 {
	r, ok := s.runOf[series]
	if !ok {
		r = uint32(len(s.runs))
		s.runs = append(s.runs, run{series: series})
		s.runOf[series] = r
	}
	return r
}

// blocksOf returns the blocks of a run, in order of time, and their slab.
func (s *span) blocksOf(b *Buffer, at uint32) ([]uint32, *slab) {
	r := &s.runs[at]
	if r.many {
		return s.blocks[at], &b.slabs[largest]
	}
	if r.n == 0 {
		return nil, nil
	}
	return []uint32{r.block}, &b.slabs[r.class]
}

// each calls do with the samples of a run, block by block.
func (s *span) each(b *Buffer, at uint32, do func([]sample)) {
	r := &s.runs[at]
	switch {
	case r.n == 0:
	case r.many:
		for _, id := range s.blocks[at] {
			do(b.slabs[largest].block(id))
		}
	default:
		do(b.slabs[r.class].block(r.block))
	}
}

// insert adds a sample to a run. When the run has its time already, it returns
// what is there and adds nothing (I2).
func (s *span) insert(b *Buffer, at uint32, x sample) (have sample, exists bool) {
	r := &s.runs[at]
	if r.n == 0 {
		r.class, r.block = 0, b.slabs[0].alloc()
	}
	if r.many {
		have, exists = s.insertMany(b, at, x)
	} else {
		have, exists = s.insertOne(b, at, x)
	}
	if exists {
		return have, true
	}
	r.n++
	if s.samples == 0 {
		s.lowest, s.highest, s.min, s.max = x.seq, x.seq, x.t, x.t
	}
	s.samples++
	s.lowest, s.highest = min(s.lowest, x.seq), max(s.highest, x.seq)
	s.min, s.max = min(s.min, x.t), max(s.max, x.t)
	return sample{}, false
}

// search returns the place of a time in a block, and whether it is there.
func search(have []sample, t int64) (int, bool) {
	n := len(have)
	if n == 0 || have[n-1].t < t { // late samples come in order more often than not
		return n, false
	}
	at := sort.Search(n, func(i int) bool { return have[i].t >= t })
	return at, have[at].t == t
}

// insertOne is insert for a run of one block.
func (s *span) insertOne(b *Buffer, at uint32, x sample) (sample, bool) {
	r := &s.runs[at]
	own := &b.slabs[r.class]
	have := own.block(r.block)
	i, exists := search(have, x.t)
	if exists {
		return have[i], true
	}
	if len(have) < own.size {
		own.put(r.block, i, x)
		return sample{}, false
	}
	if r.class == largest {
		r.many = true
		if s.blocks == nil {
			s.blocks = map[uint32][]uint32{}
		}
		s.blocks[at] = []uint32{r.block}
		return s.insertMany(b, at, x)
	}
	next := &b.slabs[r.class+1]
	id := next.alloc()
	copy(next.room(id), have)
	next.used[id] = uint8(len(have))
	own.release(r.block)
	r.class, r.block = r.class+1, id
	next.put(id, i, x)
	return sample{}, false
}

// insertMany is insert for a run of several blocks.
func (s *span) insertMany(b *Buffer, at uint32, x sample) (sample, bool) {
	own := &b.slabs[largest]
	ids := s.blocks[at]
	// The last block that begins at or before the sample, or the first one.
	k := max(0, sort.Search(len(ids), func(i int) bool { return own.block(ids[i])[0].t > x.t })-1)
	have := own.block(ids[k])
	i, exists := search(have, x.t)
	switch {
	case exists:
		return have[i], true
	case len(have) < own.size:
		own.put(ids[k], i, x)
		return sample{}, false
	}
	id := own.alloc()
	ids = append(ids, 0)
	copy(ids[k+2:], ids[k+1:])
	ids[k+1] = id
	s.blocks[at] = ids
	if i == len(have) { // behind it: samples in order fill their blocks
		own.put(id, 0, x)
		return sample{}, false
	}
	half := own.size / 2
	own.used[id] = uint8(copy(own.room(id), have[half:]))
	own.used[ids[k]] = uint8(half)
	if i > half {
		own.put(id, i-half, x)
	} else {
		own.put(ids[k], i, x)
	}
	return sample{}, false
}

// remove takes the samples out that gone tells.
func (s *span) remove(b *Buffer, gone func(sample) bool) {
	var kept []sample
	for at := range s.runs {
		r := &s.runs[at]
		if r.n == 0 {
			continue
		}
		kept = kept[:0]
		s.each(b, uint32(at), func(have []sample) {
			for _, x := range have {
				if !gone(x) {
					kept = append(kept, x)
				} else {
					b.more.remove(x.seq)
				}
			}
		})
		if len(kept) == int(r.n) {
			continue
		}
		ids, own := s.blocksOf(b, uint32(at))
		for _, id := range ids {
			own.release(id)
		}
		delete(s.blocks, uint32(at))
		s.samples -= int(r.n)
		*r = run{series: r.series}
		lowest, highest, first, last := s.lowest, s.highest, s.min, s.max
		for _, x := range kept {
			s.insert(b, uint32(at), x)
		}
		s.lowest, s.highest, s.min, s.max = lowest, highest, first, last
	}
}
