package column

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/nilometer/nilometer/model/simd"
)

// Decode appends to dst the n values of a chunk, n between 1 and
// ChunkValuesMax. It allocates only when dst has no room for n more. The chunk
// needs no padding: nothing behind it is read. With an error dst is returned as
// it was.
func Decode(dst []float64, chunk []byte, n int) ([]float64, error) {
	r := reader{part: "chunk", b: chunk}
	h := r.readHeader(n)
	if r.err != nil {
		return dst, r.err
	}
	if h.refers() {
		r.fail(0, "the chunk refers to the values of another one: it is decoded by DecodeRef")
		return dst, r.err
	}
	was := len(dst)
	dst = slices.Grow(dst, n)[:was+n]
	out := dst[was:]
	if h.constant() {
		simd.Fill(out, h.value(h.first, 0))
	} else {
		r.readStream(&h, out, Reference{})
	}
	return r.finish(dst, was)
}

// finish returns dst if all of the chunk was read and right, else what it was.
func (r *reader) finish(dst []float64, was int) ([]float64, error) {
	if r.err == nil && r.off != len(r.b) {
		r.fail(r.off, "bytes after the end")
	}
	if r.err != nil {
		return dst[:was], r.err
	}
	return dst, nil
}

// readStream reads what follows the header of a chunk that is not constant. ref
// has as many values as out in what the header asks for, and nothing else.
func (r *reader) readStream(h *header, out []float64, ref Reference) {
	n := len(out)
	m := n - 1
	var layer positions
	switch h.kind & layerMask {
	case 0:
	case layerShared:
		layer.sharePositions(ref.Positions)
		m = layer.changes
	default:
		r.readPositions(&layer, h.kind&layerMask, n)
		m = layer.changes
	}
	var patches reader
	specials := 0
	if h.kind&flagSpecials != 0 {
		specials = r.count(n, "number of specials")
		patches = *r
		r.skipSpecials(specials, n)
	}
	if r.err != nil {
		return
	}
	// Changed values are made in place, right behind the first, and spread over
	// their positions afterwards.
	changed := out[1 : 1+m]
	s := r.readSequence(changed)
	if r.err != nil {
		return
	}
	if len(ref.Terms) > 0 {
		r.addReference(h, s, out, m, &layer, ref.Terms)
		return
	}
	last := toDomain(h, s, changed)
	if last != h.first+h.delta {
		r.fail(r.off, "values disagree with the summary in the header")
		return
	}
	if h.domain == Near {
		r.readUlps(h, changed)
	}
	out[0] = h.value(h.first, h.ulpFirst)
	if h.kind&layerMask != 0 {
		layer.spread(out)
	}
	if specials > 0 {
		patches.patchSpecials(out, specials)
	}
}

// toDomain turns residuals into values of the domain (without corrections) and
// returns the last integer.
func toDomain(h *header, s sequence, v []float64) int64 {
	acc, base, g := uint64(h.first), s.base, s.gcd
	switch {
	case h.domain == Bits && s.order1:
		for i, x := range v {
			acc += base + g*math.Float64bits(x)
			v[i] = fromOrdered(int64(acc))
		}
		return int64(acc)
	case h.domain == Bits:
		from := acc + base
		for i, x := range v {
			acc = from + g*math.Float64bits(x)
			v[i] = fromOrdered(int64(acc))
		}
		return int64(acc)
	}
	if len(v) == 0 {
		return h.first
	}
	divisor := pow10[h.exp&31] // 1 of integers
	if s.order1 {
		return int64(simd.Deltas(v, acc, base, g, divisor))
	}
	return int64(simd.Offsets(v, acc+base, g, divisor))
}

// readUlps reads the corrections of a Near chunk and applies them.
func (r *reader) readUlps(h *header, v []float64) {
	var scratch [ChunkValuesMax]float64
	ulps := scratch[:len(v)]
	s := r.readSequence(ulps)
	if r.err != nil {
		return
	}
	if s.order1 {
		r.fail(r.off, "corrections are stored as differences")
		return
	}
	last := uint64(h.ulpFirst)
	if len(ulps) > 0 {
		last = s.base + s.gcd*math.Float64bits(ulps[len(ulps)-1])
	}
	simd.AddBits(v, ulps, s.base, s.gcd)
	if last != uint64(h.ulpLast) {
		r.fail(r.off, "corrections disagree with the summary in the header")
	}
}

// positions is a position layer: which of n positions hold another value than
// the one before. Position 0 is not among them.
type positions struct {
	changes int
	bitmap  []byte // bit i is position i+1; nil with gaps
	gaps    [ChunkValuesMax]uint16
}

func (r *reader) readPositions(p *positions, layer byte, n int) {
	p.changes = r.count(n-1, "number of changes")
	if layer == layerBitmap {
		at := r.off
		p.bitmap = r.bytes((n + 6) / 8)
		ones := 0
		for i, c := range p.bitmap {
			if i == len(p.bitmap)-1 && (n-1)%8 != 0 && c>>((n-1)%8) != 0 {
				r.fail(at+i, "bit set past the last position")
			}
			ones += bits.OnesCount8(c)
		}
		if ones != p.changes {
			r.fail(at, "bitmap disagrees with the number of changes")
		}
		return
	}
	var scratch [ChunkValuesMax]float64
	gaps := scratch[:p.changes]
	at := r.off
	s := r.readSequence(gaps)
	if r.err != nil {
		return
	}
	if s.order1 {
		r.fail(at, "gaps are stored as differences")
		return
	}
	pos := uint64(0)
	for i, x := range gaps {
		gap := s.base + s.gcd*math.Float64bits(x)
		if gap == 0 || gap > uint64(n-1)-pos {
			r.fail(at, "change past the last position")
			return
		}
		pos += gap
		p.gaps[i] = uint16(gap)
	}
}

// spread moves out[0:changes+1] to their positions and repeats each up to the
// next. It goes from the end, so that no value is overwritten before its turn.
func (p *positions) spread(out []float64) {
	j := p.changes
	if p.bitmap == nil {
		end := len(out)
		gap := 0
		for i := 0; i < p.changes; i++ {
			gap += int(p.gaps[i])
		}
		for ; j > 0; j-- {
			simd.Fill(out[gap:end], out[j])
			end = gap
			gap -= int(p.gaps[j-1])
		}
		simd.Fill(out[:end], out[0])
		return
	}
	simd.Spread(out, p.bitmap, j)
}

// A special is a run of values outside the domain: code in the low three bits,
// then specialRun, then the gap from the end of the one before.
const (
	specialRaw      = 0 // 8 bytes follow
	specialCodeMask = 7
	specialRun      = 8 // the run's length less 2 follows, else it is one value
)

// specialBits are the values of the codes from 1 on. It is a table, never
// written.
var specialBits = [8]uint64{
	1: 0x7ff8000000000001, // NaN as Go makes it
	2: 0x7ff0000000000000, // +Inf
	3: 0xfff0000000000000, // -Inf
	4: 0x8000000000000000, // -0
	5: 0x7ff0000000000002, // the stale marker
	6: 0x7ff8000000000000, // NaN as C makes it
	7: 0xfff8000000000000, // NaN as x86 makes it
}

// readSpecial reads one run.
func (r *reader) readSpecial(n int) (gap, length int, value uint64) {
	at := r.off
	x := r.uvarint()
	if x>>4 >= uint64(n) {
		r.fail(at, "special past the last position")
		return 0, 0, 0
	}
	length = 1
	if x&specialRun != 0 {
		length = 2 + r.count(n-1, "length of a run of specials")
	}
	if code := x & specialCodeMask; code != specialRaw {
		return int(x >> 4), length, specialBits[code]
	}
	if p := r.bytes(8); p != nil {
		value = binary.LittleEndian.Uint64(p)
	}
	return int(x >> 4), length, value
}

// skipSpecials checks count runs on n positions.
func (r *reader) skipSpecials(count, n int) {
	next := 0
	for range count {
		at := r.off
		gap, length, _ := r.readSpecial(n)
		if next += gap + length; next > n {
			r.fail(at, "special past the last position")
		}
		if r.err != nil {
			return
		}
	}
}

// patchSpecials writes count runs, checked before, into out.
func (r *reader) patchSpecials(out []float64, count int) {
	next := 0
	for range count {
		gap, length, value := r.readSpecial(len(out))
		simd.Fill(out[next+gap:next+gap+length], math.Float64frombits(value))
		next += gap + length
	}
}
