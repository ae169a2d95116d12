package inflate

import "math/bits"

// Sizes of DEFLATE's alphabets (RFC 1951, section 3.2.5).
const (
	literalsMax = 288
	distsMax    = 32
	endOfBlock  = 256

	codeBitsMax = 15
	literalBits = 11
	distBits    = 8
	orderBits   = 7 // of the code for code lengths
)

// entry is what a code means, by its first bits:
//
//	bits 0-3    how many bits the code has in this table
//	bits 4-7    how many extra bits follow; in an entry of kind more: how many
//	            bits select in the table that follows
//	bits 8-11   the kind
//	bits 16-31  the literal, the base of the length or distance, or where the
//	            table that follows begins
//
// The zero entry stands at codes that are none.
type entry uint32

const (
	kindLiteral entry = 1 << 8
	kindValue   entry = 2 << 8
	kindEnd     entry = 4 << 8
	kindMore    entry = 8 << 8
	kinds       entry = 15 << 8
)

func (e entry) bits() uint      { return uint(e & 15) }
func (e entry) extra() uint     { return uint(e >> 4 & 15) }
func (e entry) value() int      { return int(e >> 16) }
func (e entry) is(k entry) bool { return e&k != 0 }

// literalEntry is what a symbol of the literals' alphabet means, without a code.
func literalEntry(symbol int) entry {
	switch {
	case symbol < endOfBlock:
		return entry(symbol)<<16 | kindLiteral
	case symbol == endOfBlock:
		return kindEnd
	case symbol < 265:
		return entry(symbol-254)<<16 | kindValue
	case symbol < 285:
		extra := (symbol - 261) / 4
		base := (4+(symbol-265)%4)<<extra + 3
		return entry(base)<<16 | entry(extra)<<4 | kindValue
	case symbol == 285:
		return 258<<16 | kindValue
	}
	return 0 // 286 and 287 never occur in data
}

// distEntry is what a symbol of the distances' alphabet means.
func distEntry(symbol int) entry {
	switch {
	case symbol < 4:
		return entry(symbol+1)<<16 | kindValue
	case symbol < 30:
		extra := symbol/2 - 1
		base := (2+symbol%2)<<extra + 1
		return entry(base)<<16 | entry(extra)<<4 | kindValue
	}
	return 0
}

// orderEntry is a symbol of the code for code lengths.
func orderEntry(symbol int) entry { return entry(symbol)<<16 | kindValue }

// build fills table, of 1<<width entries, with the canonical code of lengths
// (section 3.2.2), and rest with what is longer than width bits; it returns rest.
// ok is false for a code that has too many words, or too few: one word of one bit,
// or none at all, is allowed.
func build(table, rest []entry, width uint, lengths []uint8, meaning func(int) entry) (_ []entry, ok bool) {
	var counts [codeBitsMax + 1]int
	for _, n := range lengths {
		counts[n]++
	}
	counts[0] = 0
	var next [codeBitsMax + 2]int
	code, longest, words := 0, uint(0), 0
	for n := uint(1); n <= codeBitsMax; n++ {
		next[n] = code
		code = (code + counts[n]) << 1
		if counts[n] > 0 {
			longest, words = n, words+counts[n]
		}
	}
	clear(table)
	switch {
	case words == 0:
		return rest[:0], true
	case code != 1<<(codeBitsMax+1) && !(words == 1 && longest == 1):
		return rest[:0], false
	}
	rest = rest[:0]
	for symbol, n := range lengths {
		if n == 0 {
			continue
		}
		length := uint(n)
		word := uint(bits.Reverse16(uint16(next[n])) >> (16 - length))
		next[n]++
		e := meaning(symbol)
		if length <= width {
			fill(table, word, length, e)
			continue
		}
		// Codes with the same first bits share a table of what is behind them.
		first := &table[word&(1<<width-1)]
		if *first == 0 {
			*first = entry(len(rest))<<16 | entry(longest-width)<<4 | kindMore | entry(width)
			for range 1 << (longest - width) {
				rest = append(rest, 0)
			}
		}
		at := first.value()
		fill(rest[at:at+1<<(longest-width)], word>>width, length-width, e)
	}
	return rest, true
}

// fill puts e wherever the low bits of the index are word.
func fill(table []entry, word, length uint, e entry) {
	if e != 0 {
		e |= entry(length)
	}
	for i := word; i < uint(len(table)); i += 1 << length {
		table[i] = e
	}
}
