package deflate

import (
	"math/bits"
	"slices"
)

// Sizes of the alphabets of RFC 1951.
const (
	endOfBlock = 256
	lengths    = 257 // the first symbol of a length
	symbols    = 286
	distances  = 30

	matchMin = 3
	matchMax = 258
	distMax  = 32 << 10

	codeBitsMax       = 15
	codeLengthBitsMax = 7
)

// word is a code of some bits, in the order in which they are sent: the code in
// the low 16 bits, above it how many bits it has, and a mark of the caller's.
type word uint32

const special word = 1 << 31

func (w word) code() uint64 { return uint64(w & 0xffff) }
func (w word) len() uint    { return uint(w >> 16 & 31) }

// tables are the code of all blocks, and what sends a block's beginning.
type tables struct {
	literals [256]word // special: where a match may begin
	end      word
	lengths  [matchMax + 1]extended // by length
	near     [256]extended          // by distance - 1
	far      [256]extended          // by (distance - 1) >> 7
	start    []byte                 // gzip's header and whole bytes of the block's
	rest     uint64                 // bits that follow start
	restLen  uint
}

// extended is a code with the extra bits that follow it, of which the value is
// the distance to base.
type extended struct {
	word
	base  uint16
	extra uint8
}

// weights are how often symbols stand in answers, roughly: counted in eleven of
// those to the queries of bench/run's dashboards.
func weights() (literals [symbols]int, dists [distances]int) {
	for i := range literals {
		literals[i] = 1
	}
	for c := ' '; c <= '~'; c++ {
		literals[c] = 4
	}
	for i, w := range []int{1500, 810, 780, 810, 810, 1100, 760, 810, 760, 780} {
		literals['0'+i] = w
	}
	for c, w := range map[rune]int{'"': 50, ',': 60, '.': 115, '-': 10, ':': 10, '[': 10, ']': 12} {
		literals[c] = w
	}
	for i, w := range []int{130, 240, 110, 80, 30, 10, 10, 25, 590, 150, 300, 25, 10, 2, 2, 2, 2, 5} {
		literals[lengths+i] = w
	}
	literals[lengths+28] = 10
	for i := range dists {
		dists[i] = 4
	}
	for i, w := range []int{10, 20, 710, 370, 590, 60, 20} {
		dists[6+i] = w
	}
	dists[20] = 20
	return literals, dists
}

// code is the one code there is.
var code = newTables()

func newTables() *tables {
	t := &tables{}
	literalWeights, distWeights := weights()
	literalBits, distBits := codeBits(literalWeights[:], codeBitsMax), codeBits(distWeights[:], codeBitsMax)
	literals, dists := codeWords(literalBits), codeWords(distBits)
	copy(t.literals[:], literals)
	for _, c := range `",` {
		t.literals[c] |= special
	}
	t.end = literals[endOfBlock]
	t.fillLengths(literals[lengths:])
	t.fillDistances(dists)
	w := Writer{out: []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff}} // deflated, as fast as possible
	w.bits(1, 1)                                                    // the last block
	w.bits(2, 2)                                                    // with a code of its own
	w.codes(literalBits, distBits)
	t.start, t.rest, t.restLen = w.out, w.acc, w.n
	return t
}

func (t *tables) fillLengths(words []word) {
	length := matchMin
	for i, w := range words {
		extra := 0
		if i >= 8 && i < 28 {
			extra = i/4 - 1
		}
		if i == 28 { // 258 is a code of its own, though the one before it could say it
			length = matchMax
		}
		for k := range 1 << extra {
			if length+k <= matchMax {
				t.lengths[length+k] = extended{w, uint16(length), uint8(extra)}
			}
		}
		length += 1 << extra
	}
}

func (t *tables) fillDistances(words []word) {
	at := 0 // distance - 1
	for i, w := range words {
		extra := max(0, i/2-1)
		x := extended{w, uint16(at), uint8(extra)}
		for range 1 << extra {
			if at < len(t.near) {
				t.near[at] = x
			}
			t.far[at>>7] = x
			at++
		}
	}
}

// distance is the code of a distance.
func (t *tables) distance(d int) extended {
	if d <= len(t.near) {
		return t.near[d-1]
	}
	return t.far[(d-1)>>7]
}

// codeBits returns the lengths of a Huffman code of at most most bits, for
// symbols that occur so often: each at least once.
func codeBits(weights []int, most int) []int {
	type node struct {
		weight int
		leaves []int
	}
	weights = slices.Clone(weights)
	for {
		out := make([]int, len(weights))
		nodes := make([]node, len(weights))
		for i, w := range weights {
			nodes[i] = node{w, []int{i}}
		}
		for len(nodes) > 1 {
			slices.SortStableFunc(nodes, func(a, b node) int { return b.weight - a.weight })
			a, b := nodes[len(nodes)-2], nodes[len(nodes)-1]
			both := node{a.weight + b.weight, slices.Concat(a.leaves, b.leaves)}
			for _, leaf := range both.leaves {
				out[leaf]++
			}
			nodes = append(nodes[:len(nodes)-2], both)
		}
		if slices.Max(out) <= most {
			return out
		}
		for i := range weights { // flatter
			weights[i] = (weights[i] + 1) / 2
		}
	}
}

// codeWords returns the canonical code with these lengths (RFC 1951, 3.2.2).
func codeWords(lens []int) []word {
	var count, next [codeBitsMax + 1]int
	for _, n := range lens {
		count[n]++
	}
	for n, c := 1, 0; n <= codeBitsMax; n++ {
		next[n] = c
		c = (c + count[n]) << 1
	}
	out := make([]word, len(lens))
	for i, n := range lens {
		out[i] = word(bits.Reverse16(uint16(next[n]))>>(16-n)) | word(n)<<16
		next[n]++
	}
	return out
}

// codes sends the lengths of a block's codes, without abbreviations.
func (w *Writer) codes(literals, dists []int) {
	all := slices.Concat(literals, dists)
	weights := make([]int, 19)
	for i := range weights {
		weights[i] = 1
	}
	for _, n := range all {
		weights[n] += 4
	}
	lens := codeBits(weights, codeLengthBitsMax)
	words := codeWords(lens)
	w.bits(symbols-257, 5)
	w.bits(distances-1, 5)
	w.bits(19-4, 4)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.bits(uint64(lens[i]), 3)
	}
	for _, n := range all {
		w.bits(words[n].code(), words[n].len())
	}
}
