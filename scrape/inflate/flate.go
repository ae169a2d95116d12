package inflate

import (
	"encoding/binary"
	"fmt"
	"sync"
)

const (
	matchMax = 258
	// margin is the room that the fast loop needs behind what it writes: a match,
	// and what copies of 16 bytes write behind it.
	margin = matchMax + 32
	// inputMargin is what the fast loop may read ahead of what it has used.
	inputMargin = 16
	growMin     = 16 << 10
)

// stream is where a decompression stands: bits holds the next count bits of the
// input, whose bytes up to pos were taken. Bits above count are of bytes that
// will be taken again.
type stream struct {
	src   []byte
	pos   int
	bits  uint64
	count uint
	dst   []byte
	start int // of the member in dst: no match reaches before it
	grow  Grow
}

// flate appends the decompressed blocks at the beginning of src to dst, until the
// last. expected is a guess of how much that is. used are the bytes of src that
// it took.
func (d *Decoder) flate(dst, src []byte, expected int, grow Grow) (_ []byte, used int, err error) {
	s := stream{src: src, dst: dst, start: len(dst), grow: grow}
	if err := s.room(max(expected, growMin) + margin); err != nil {
		return s.dst, 0, err
	}
	for last := false; !last; {
		if !s.need(3) {
			return s.dst, s.pos, ErrShort
		}
		last = s.take(1) == 1
		switch kind := s.take(2); kind {
		case 0:
			err = s.stored()
		case 1:
			f := fixed()
			err = s.block(f.literals[:], nil, f.dists[:], nil)
		case 2:
			if err = d.readCodes(&s); err == nil {
				err = s.block(d.literals[:], d.literalRest, d.dists[:], d.distRest)
			}
		default:
			err = fmt.Errorf("a block of the type %d: %w", kind, ErrCorrupt)
		}
		if err != nil {
			return s.dst, s.pos, err
		}
	}
	return s.dst, s.pos - int(s.count/8), nil
}

// fixed returns the tables of the fixed code (section 3.2.6).
var fixed = sync.OnceValue(func() *Decoder {
	d := NewDecoder()
	var lengths [literalsMax]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	d.literalRest, _ = build(d.literals[:], nil, literalBits, lengths[:], literalEntry)
	var dists [distsMax]uint8
	for i := range dists {
		dists[i] = 5
	}
	d.distRest, _ = build(d.dists[:], nil, distBits, dists[:], distEntry)
	return d
})

// need has at least n bits (at most 56) ready, and reports false at the end of
// the input.
func (s *stream) need(n uint) bool {
	for s.count < n {
		if s.pos == len(s.src) {
			return false
		}
		s.bits |= uint64(s.src[s.pos]) << s.count
		s.pos++
		s.count += 8
	}
	return true
}

// take returns the next n bits, which are ready.
func (s *stream) take(n uint) int {
	v := s.bits & (1<<n - 1)
	s.bits >>= n
	s.count -= n
	return int(v)
}

// room makes space for n more bytes.
func (s *stream) room(n int) (err error) {
	if cap(s.dst)-len(s.dst) < n {
		s.dst, err = s.grow(s.dst, n)
	}
	return err
}

// stored copies a block that is not compressed.
func (s *stream) stored() error {
	s.take(s.count % 8)
	if !s.need(32) {
		return ErrShort
	}
	n, inverse := s.take(16), s.take(16)
	if n != ^inverse&0xffff {
		return fmt.Errorf("the length of a stored block: %w", ErrCorrupt)
	}
	if err := s.room(n + margin); err != nil {
		return err
	}
	for ; n > 0 && s.count > 0; n-- {
		s.dst = append(s.dst, byte(s.take(8)))
	}
	if n > len(s.src)-s.pos {
		return ErrShort
	}
	s.dst = append(s.dst, s.src[s.pos:s.pos+n]...)
	s.pos += n
	return nil
}

// order is the order in which the lengths of the code for code lengths come.
var order = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readCodes reads the codes of a block (section 3.2.7).
func (d *Decoder) readCodes(s *stream) error {
	if !s.need(14) {
		return ErrShort
	}
	literals, dists, orders := s.take(5)+257, s.take(5)+1, s.take(4)+4
	if literals > 286 || dists > 30 {
		return fmt.Errorf("a block has %d literals and lengths, and %d distances: %w", literals, dists, ErrCorrupt)
	}
	var first [len(order)]uint8
	for _, at := range order[:orders] {
		if !s.need(3) {
			return ErrShort
		}
		first[at] = uint8(s.take(3))
	}
	var table [1 << orderBits]entry
	if _, ok := build(table[:], nil, orderBits, first[:], orderEntry); !ok {
		return fmt.Errorf("the code of a block's code lengths: %w", ErrCorrupt)
	}
	lengths := d.lengths[:literals+dists]
	for i := 0; i < len(lengths); {
		symbol, err := s.symbol(table[:])
		if err != nil {
			return err
		}
		if symbol < 16 {
			lengths[i] = uint8(symbol)
			i++
			continue
		}
		value, times := uint8(0), 0
		if !s.need(7) && !s.need([3]uint{2, 3, 7}[symbol-16]) {
			return ErrShort
		}
		switch symbol {
		case 16:
			if i == 0 {
				return fmt.Errorf("a block repeats a code length before the first: %w", ErrCorrupt)
			}
			value, times = lengths[i-1], 3+s.take(2)
		case 17:
			times = 3 + s.take(3)
		default:
			times = 11 + s.take(7)
		}
		if i+times > len(lengths) {
			return fmt.Errorf("a block has more code lengths than symbols: %w", ErrCorrupt)
		}
		for ; times > 0; times-- {
			lengths[i] = value
			i++
		}
	}
	var ok bool
	if d.literalRest, ok = build(d.literals[:], d.literalRest, literalBits, lengths[:literals], literalEntry); !ok {
		return fmt.Errorf("the code of a block's literals: %w", ErrCorrupt)
	}
	if d.distRest, ok = build(d.dists[:], d.distRest, distBits, lengths[literals:], distEntry); !ok {
		return fmt.Errorf("the code of a block's distances: %w", ErrCorrupt)
	}
	return nil
}

// symbol reads one code length or repetition.
func (s *stream) symbol(table []entry) (int, error) {
	s.need(orderBits)
	e := table[s.bits&(1<<orderBits-1)]
	switch {
	case e == 0 && s.count >= orderBits:
		return 0, fmt.Errorf("a code length: %w", ErrCorrupt)
	case e == 0 || e.bits() > s.count:
		return 0, ErrShort
	}
	s.take(e.bits())
	return e.value(), nil
}

// block decompresses one block: fast where there is enough input and room, and
// with care at the end of both.
func (s *stream) block(literals, literalRest, dists, distRest []entry) error {
	for {
		if ended, err := s.fast((*[1 << literalBits]entry)(literals), literalRest, (*[1 << distBits]entry)(dists), distRest); ended || err != nil {
			return err
		}
		if err := s.room(growMin + margin); err != nil {
			return err
		}
		if len(s.src)-s.pos >= inputMargin {
			continue
		}
		if ended, err := s.careful(literals, literalRest, dists, distRest); ended || err != nil {
			return err
		}
	}
}

// careful decompresses one literal or match, reading no byte too many.
func (s *stream) careful(literals, literalRest, dists, distRest []entry) (ended bool, err error) {
	e, err := s.code(literals, literalRest, literalBits)
	switch {
	case err != nil:
		return false, err
	case e.is(kindLiteral):
		s.dst = append(s.dst, byte(e.value()))
		return false, nil
	case e.is(kindEnd):
		return true, nil
	}
	length, err := s.extended(e)
	if err != nil {
		return false, err
	}
	if e, err = s.code(dists, distRest, distBits); err != nil {
		return false, err
	}
	dist, err := s.extended(e)
	if err != nil {
		return false, err
	}
	if dist > len(s.dst)-s.start {
		return false, errDistance(dist)
	}
	for range length {
		s.dst = append(s.dst, s.dst[len(s.dst)-dist])
	}
	return false, nil
}

func errDistance(dist int) error {
	return fmt.Errorf("a match %d bytes back begins before the data: %w", dist, ErrCorrupt)
}

var errCode = fmt.Errorf("a word that the block's code does not have: %w", ErrCorrupt)

// code reads one word of a code.
func (s *stream) code(table, rest []entry, width uint) (entry, error) {
	s.need(codeBitsMax)
	e, before := table[s.bits&(1<<width-1)], uint(0)
	if e.is(kindMore) {
		before = width
		e = rest[e.value()+int(s.bits>>width&(1<<e.extra()-1))]
	}
	switch n := before + e.bits(); {
	case e == 0 && s.count >= codeBitsMax:
		return 0, errCode
	case e == 0 || n > s.count:
		return 0, ErrShort
	default:
		s.take(n)
		return e, nil
	}
}

// extended reads the extra bits of a length or distance.
func (s *stream) extended(e entry) (int, error) {
	if !s.need(e.extra()) {
		return 0, ErrShort
	}
	return e.value() + s.take(e.extra()), nil
}

// fast decompresses while there are inputMargin bytes of input and room for
// margin bytes. It reports whether the block ended.
func (s *stream) fast(literals *[1 << literalBits]entry, literalRest []entry, dists *[1 << distBits]entry, distRest []entry) (ended bool, err error) {
	src, pos, b, count := s.src, s.pos, s.bits, s.count
	out := s.dst[:cap(s.dst)]
	at := len(s.dst)
	begin := s.start
	inEnd, outEnd := len(src)-inputMargin, len(out)-margin
	for pos <= inEnd && at <= outEnd {
		// Up to 63 bits are ready then: a literal and a match with all extra bits
		// take 48, and literals before them 11 each.
		b |= binary.LittleEndian.Uint64(src[pos:]) << (count & 63)
		pos += int((63 - count) >> 3)
		count |= 56
		e := literals[b&(1<<literalBits-1)]
		if e&kindLiteral != 0 {
			out[at] = byte(e >> 16)
			at++
			b >>= e & 15
			count -= uint(e & 15)
			e = literals[b&(1<<literalBits-1)]
			if e&kindLiteral != 0 {
				out[at] = byte(e >> 16)
				at++
				b >>= e & 15
				count -= uint(e & 15)
				e = literals[b&(1<<literalBits-1)]
				if e&kindLiteral != 0 {
					out[at] = byte(e >> 16)
					at++
					b >>= e & 15
					count -= uint(e & 15)
					continue
				}
			}
			b |= binary.LittleEndian.Uint64(src[pos:]) << (count & 63)
			pos += int((63 - count) >> 3)
			count |= 56
		}
		if e&kindMore != 0 {
			b >>= literalBits
			count -= literalBits
			e = literalRest[int(e>>16)+int(b&(1<<(e>>4&15)-1))]
			if e&kindLiteral != 0 {
				out[at] = byte(e >> 16)
				at++
				b >>= e & 15
				count -= uint(e & 15)
				continue
			}
		}
		b >>= e & 15
		count -= uint(e & 15)
		if e&kindValue == 0 {
			if e&kindEnd != 0 {
				ended = true
			} else {
				err = errCode
			}
			break
		}
		extra := uint(e >> 4 & 15)
		length := int(e>>16) + int(b&(1<<extra-1))
		b >>= extra
		count -= extra

		e = dists[b&(1<<distBits-1)]
		if e&kindMore != 0 {
			b >>= distBits
			count -= distBits
			e = distRest[int(e>>16)+int(b&(1<<(e>>4&15)-1))]
		}
		if e&kindValue == 0 {
			err = errCode
			break
		}
		b >>= e & 15
		count -= uint(e & 15)
		extra = uint(e >> 4 & 15)
		dist := int(e>>16) + int(b&(1<<extra-1))
		b >>= extra
		count -= extra
		from := at - dist
		if from < begin {
			err = errDistance(dist)
			break
		}
		copyMatch(out, from, at, length)
		at += length
	}
	// Bytes of which no bit is used are taken again.
	pos -= int(count / 8)
	count %= 8
	s.pos, s.bits, s.count, s.dst = pos, b&(1<<count-1), count, out[:at]
	return ended, err
}

// copyMatch copies length bytes within out, where there is room for 16 more.
// Both may overlap: a match may repeat itself.
func copyMatch(out []byte, from, at, length int) {
	end := at + length
	switch dist := at - from; {
	case dist >= 16:
		for {
			to, f := (*[16]byte)(out[at:]), (*[16]byte)(out[from:])
			*to = *f
			if at += 16; at >= end {
				return
			}
			from += 16
		}
	case dist >= 8:
		for at < end {
			binary.LittleEndian.PutUint64(out[at:], binary.LittleEndian.Uint64(out[from:]))
			at += 8
			from += 8
		}
	case dist == 1:
		v := out[from]
		for i := range out[at:end] {
			out[at+i] = v
		}
	default:
		for ; at < end; at++ {
			out[at] = out[from]
			from++
		}
	}
}
