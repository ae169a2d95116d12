package deflate

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
)

// Writer compresses what is written to it.
type Writer struct {
	to    io.Writer
	begun bool
	err   error // the first of to
	size  uint32
	crc   uint32

	acc uint64 // bits that are not in out yet, n of them: fewer than 32
	n   uint
	out []byte

	// seen are places of the piece under way, by a hash of what stands there:
	// where texts begin. What earlier pieces have left in it is harmless.
	seen [1 << seenBits]uint32
}

const seenBits = 11

// valueBytes is the length of a match at which a value is mostly in it.
const valueBytes = 16

// NewWriter returns a Writer that sends to to, in one call of Write for each of
// its own, and one for Close.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Reset makes w a new Writer that sends to to, with the memory that it has.
func (w *Writer) Reset(to io.Writer) {
	w.to, w.begun, w.err, w.size, w.crc = to, false, nil, 0, 0
	w.acc, w.n, w.out = 0, 0, w.out[:0]
}

// Write compresses p and sends it. An error is that of the writer below, and
// stays.
func (w *Writer) Write(p []byte) (int, error) {
	w.begin()
	w.size += uint32(len(p))
	w.crc = crc32.Update(w.crc, crc32.IEEETable, p)
	w.compress(p)
	if w.send(); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// Part is a piece compressed apart from a stream, by another goroutine perhaps.
type Part struct {
	text []byte
	w    Writer // only of bits
}

// Compress makes p the part of a text, which must stay as it is while p is in use.
func (p *Part) Compress(text []byte) {
	p.text = text
	p.w.out, p.w.acc, p.w.n = slices.Grow(p.w.out[:0], len(text)/2), 0, 0
	p.w.compress(text)
}

// Append is Write of the text of p.
func (w *Writer) Append(p *Part) error {
	w.begin()
	w.size += uint32(len(p.text))
	w.crc = crc32.Update(w.crc, crc32.IEEETable, p.text)
	words := p.w.out // whole ones
	w.out = slices.Grow(w.out, len(words))
	for ; len(words) >= 4; words = words[4:] {
		w.bits(uint64(binary.LittleEndian.Uint32(words)), 32)
	}
	w.bits(p.w.acc, p.w.n)
	w.send()
	return w.err
}

// Close ends the stream. The writer below is not closed.
func (w *Writer) Close() error {
	w.begin()
	w.bits(code.end.code(), code.end.len())
	for ; w.n > 0; w.n -= min(w.n, 8) {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
	w.out = binary.LittleEndian.AppendUint32(w.out, w.crc)
	w.out = binary.LittleEndian.AppendUint32(w.out, w.size)
	w.send()
	return w.err
}

func (w *Writer) begin() {
	if !w.begun {
		w.begun = true
		w.out, w.acc, w.n = append(w.out, code.start...), code.rest, code.restLen
	}
}

// send passes whole bytes on.
func (w *Writer) send() {
	for ; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.acc))
		w.acc >>= 8
	}
	if w.err == nil {
		_, w.err = w.to.Write(w.out)
	}
	w.out = w.out[:0]
}

// bits appends at most 32 bits.
func (w *Writer) bits(v uint64, n uint) {
	w.acc |= v << w.n
	if w.n += n; w.n >= 32 {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(w.acc))
		w.acc >>= 32
		w.n -= 32
	}
}

// match appends a repetition of length bytes from d bytes before.
func (w *Writer) match(length, d int) {
	x := &code.lengths[length]
	w.bits(x.code()|uint64(length-int(x.base))<<x.len(), x.len()+uint(x.extra))
	y := code.distance(d)
	w.bits(y.code()|uint64(d-1-int(y.base))<<y.len(), y.len()+uint(y.extra))
}

// compress appends a piece. Matches do not reach behind its beginning.
func (w *Writer) compress(p []byte) {
	// The last places where a value ended ("]) and where one began (,").
	ended, began := -1, -1
	for i := 0; i < len(p); {
		if i = w.plain(p, i); i == len(p) {
			return
		}
		from, n := -1, 0
		switch next := at(p, i+1); {
		case p[i] == '"' && next == ']':
			from, ended = ended, i
			n = repeated(p, from, i)
		case p[i] == ',' && next == '"':
			from, began = began, i
			n = repeated(p, from, i)
			// Of many rates there are few different ones.
			if other := w.last(p, i, i+2); n < valueBytes && other != from {
				if m := repeated(p, other, i); m > n+1 {
					from, n = other, m
				}
			}
		case p[i] == '"':
			from = w.last(p, i, i)
			n = repeated(p, from, i)
		}
		if n < matchMin {
			x := code.literals[p[i]]
			w.bits(x.code(), x.len())
			i++
			continue
		}
		d := i - from
		w.match(n, d)
		i += n
		// Places inside of what was repeated are repeated, too.
		if ended >= from && ended < i-d {
			ended = shifted(ended, d, i)
		}
		if began >= from && began < i-d {
			began = shifted(began, d, i)
		}
	}
}

// last returns a place at which the same text stood as at at, or any other
// before, and notes this one, i, for the next.
func (w *Writer) last(p []byte, i, at int) int {
	if at+8 > len(p) {
		return -1
	}
	slot := &w.seen[binary.LittleEndian.Uint64(p[at:])*0x9e3779b97f4a7c15>>(64-seenBits)]
	was := int(*slot)
	*slot = uint32(i)
	return was
}

// repeated is how many bytes are at i as they are at from, which may be no place
// to repeat anything from.
func repeated(p []byte, from, i int) int {
	if from < 0 || from >= i || i-from > distMax {
		return 0
	}
	return common(p[from:], p[i:])
}

// shifted is a place inside of a repetition that ends before end, in its last
// copy: what repeats itself has several.
func shifted(place, d, end int) int { return place + (end-1-place)/d*d }

// plain appends literals up to the next place where a match may begin, and
// returns that.
func (w *Writer) plain(p []byte, i int) int {
	acc, n, out := w.acc, w.n, w.out
	for i < len(p) {
		x := code.literals[p[i]]
		if x&special != 0 {
			break
		}
		acc |= x.code() << (n & 63)
		if n += x.len(); n >= 32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(acc))
			acc >>= 32
			n -= 32
		}
		i++
	}
	w.acc, w.n, w.out = acc, n, out
	return i
}

func at(p []byte, i int) byte {
	if i < len(p) {
		return p[i]
	}
	return 0
}

// common is how many bytes a and b, which is the shorter one, begin with in
// common, at most matchMax.
func common(a, b []byte) int {
	b = b[:min(len(b), matchMax)]
	n := 0
	for ; n+8 <= len(b); n += 8 {
		if x := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
	}
	for n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
