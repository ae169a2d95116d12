package column

import (
	"fmt"
	"math"
	"slices"
)

// An integer chunk holds n int64s as the stream of a chunk holds those of its
// domain, without a detour over float64: start timestamps, and the counts of
// native histograms, which may use all 64 bits.

// AppendInts appends the integer chunk of x to dst: 1 to ChunkValuesMax of
// them, in order of position. Another number is a defect of the caller, and
// panics. Runs of one value cost a byte or two each, and values that move by
// the same step at each position next to nothing.
func (e *Encoder) AppendInts(dst []byte, x []int64) []byte {
	n := len(x)
	if n < 1 || n > ChunkValuesMax {
		panic(fmt.Sprintf("encode integer chunk: %d values, a chunk holds 1 to %d", n, ChunkValuesMax))
	}
	changes := e.collectChanges(x, e.ulps[:n], false)
	if changes == 0 {
		if x[0] == 0 {
			return append(dst, kindZero)
		}
		return appendUvarint(append(dst, kindInteger), zigzag(x[0]))
	}
	body, bank, m := e.planBody(x, e.res[0:2]), 0, n-1
	layer := byte(0)
	var gaps seqPlan
	if changes*10 < (n-1)*9 {
		sparse := e.planBody(e.changedX[:1+changes], e.res[2:4])
		gaps = planSequence(e.gaps[:1+changes], 0, e.res[4][:])
		bitmapLen := (n + 6) / 8
		if sparse.size+uvarintLen(uint64(changes))+min(bitmapLen, gaps.size) < body.size {
			layer, body, bank, m = layerBitmap, sparse, 2, changes
			if gaps.size < bitmapLen {
				layer = layerGaps
			}
		}
	}
	dst = appendUvarint(append(dst, kindStream|layer), zigzag(x[0]))
	switch layer {
	case layerBitmap:
		dst = appendBitmap(appendUvarint(dst, uint64(changes)), e.gaps[1:1+changes], n)
	case layerGaps:
		dst = appendSequence(appendUvarint(dst, uint64(changes)), gaps, e.res[4][:changes])
	}
	return appendSequence(dst, body, e.res[bank+body.order][:m])
}

// DecodeInts appends to dst the n values of an integer chunk, n between 1 and
// ChunkValuesMax. It allocates only when dst has no room for n more. With an
// error dst is returned as it was.
func DecodeInts(dst []int64, data []byte, n int) ([]int64, error) {
	r := reader{part: "integer chunk", b: data}
	if n < 1 || n > ChunkValuesMax {
		r.fail(0, fmt.Sprintf("%d values asked of a chunk, which holds 1 to %d", n, ChunkValuesMax))
		return dst, r.err
	}
	kind, first := r.byte(), int64(0)
	switch {
	case kind == kindZero:
	case kind == kindInteger, kind >= kindStream && kind&^(kindStream|layerMask) == 0 && kind&layerMask != layerMask:
		first = r.varint()
	default:
		r.fail(0, fmt.Sprintf("unknown kind 0x%02x of integers, of a newer version or damaged", kind))
	}
	if r.err != nil {
		return dst, r.err
	}
	was := len(dst)
	dst = slices.Grow(dst, n)[:was+n]
	if kind < kindStream {
		for i := range dst[was:] {
			dst[was+i] = first
		}
	} else {
		r.readInts(dst[was:], kind&layerMask, first)
	}
	if r.err == nil && r.off != len(r.b) {
		r.fail(r.off, "bytes after the end")
	}
	if r.err != nil {
		return dst[:was], r.err
	}
	return dst, nil
}

// readInts reads what follows the first of len(out) integers.
func (r *reader) readInts(out []int64, layer byte, first int64) {
	var scratch [ChunkValuesMax]float64
	v := scratch[:len(out)]
	m := len(out) - 1
	var pos positions
	if layer != 0 {
		r.readPositions(&pos, layer, len(out))
		m = pos.changes
	}
	if r.err != nil {
		return
	}
	s := r.readSequence(v[1 : 1+m])
	if r.err != nil {
		return
	}
	acc := uint64(first)
	from := acc + s.base
	v[0] = math.Float64frombits(acc)
	for i, x := range v[1 : 1+m] {
		if step := s.gcd * math.Float64bits(x); s.order1 {
			acc += s.base + step
		} else {
			acc = from + step
		}
		v[1+i] = math.Float64frombits(acc)
	}
	if layer != 0 {
		pos.spread(v)
	}
	for i, x := range v {
		out[i] = int64(math.Float64bits(x))
	}
}
