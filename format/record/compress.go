package record

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/s2"
)

// Payloads shorter than compressMin, and stripes shorter than matchMin and
// codeMin, are left as they are: the headers eat what is saved.
const (
	compressMin = 256
	matchMin    = 64
	codeMin     = 256
)

// expansionMax bounds what a byte of an S2 block may stand for: a reader takes no
// memory for more.
const expansionMax = 1 << 10

// codeBlock is what is coded with one table, bytes.
const codeBlock = 64 << 10

// keptBytes is how long a frame may be whose memory a Framer uses again for shorter
// ones: nearly all are of 32 KiB, one of a large base may be of many MiB.
const keptBytes = 1 << 20

// Flags of a stripe.
const (
	stripeMatched = 1 // an S2 block
	stripeCoded   = 2 // Huffman code, around S2

	stripeFlagsMask = stripeMatched | stripeCoded
)

// operandsStripe is the one in which nothing ever repeats.
const operandsStripe = 3

// Framer makes frames. The zero Framer is ready for use; one goroutine uses it.
type Framer struct {
	stripes             stripes
	matched, coded, out []byte
	huff                huff0.Scratch
}

// compress returns a payload as it stands in a frame, and the flags that say so:
// in stripes, each of them without its repetitions (S2), and then with bytes
// that are frequent in fewer bits (Huffman). Nothing returned is kept beyond the
// next call.
func (f *Framer) compress(payload []byte) ([]byte, byte) {
	if len(payload) < compressMin {
		return payload, 0
	}
	if cap(f.stripes[0]) > keptBytes && len(payload) <= keptBytes {
		*f = Framer{}
	}
	f.stripes.split(payload)
	last := stripeCount - 1
	for len(f.stripes[last]) == 0 {
		last--
	}
	f.out = f.out[:0]
	for i, stripe := range f.stripes[:last+1] {
		f.appendStripe(stripe, i != operandsStripe)
	}
	if len(f.out) >= len(payload) {
		return payload, 0
	}
	return f.out, flagStripes
}

// appendStripe appends one stripe to out: its flags, and the size and the bytes
// of what stands.
func (f *Framer) appendStripe(stripe []byte, repeats bool) {
	flags := byte(0)
	if repeats && len(stripe) >= matchMin {
		f.matched = s2.Encode(f.matched[:cap(f.matched)], stripe)
		if n := len(f.matched); n < len(stripe) && len(stripe) <= expansionMax*n {
			stripe, flags = f.matched, stripeMatched
		}
	}
	if len(stripe) >= codeMin {
		f.coded = f.coded[:0]
		for rest := stripe; len(rest) > 0; {
			n := min(len(rest), codeBlock)
			f.appendBlock(rest[:n])
			rest = rest[n:]
		}
		if len(f.coded) < len(stripe)-len(stripe)/16 {
			stripe, flags = f.coded, flags|stripeCoded
		}
	}
	f.out = append(f.out, flags)
	f.out = appendString(f.out, stripe)
}

// appendBlock appends one block to coded: the length of the bytes, that of their
// code (0: they stand as they are), and either.
func (f *Framer) appendBlock(block []byte) {
	f.coded = binary.AppendUvarint(f.coded, uint64(len(block)))
	f.huff.Reuse = huff0.ReusePolicyNone
	code, _, err := huff0.Compress4X(block, &f.huff)
	if err != nil || len(code) >= len(block) { // too short, one byte only, or nothing to save
		f.coded = append(append(f.coded, 0), block...)
		return
	}
	f.coded = appendString(f.coded, code)
}

// Unframer reads frames into memory of its own. The zero Unframer is ready for
// use; one goroutine uses it.
type Unframer struct {
	coded [stripeCount][]byte
	plain [stripeCount][]byte
	out   []byte
	huff  *huff0.Scratch
}

// decompress returns the payload that stands in a frame under some flags. It is
// valid until the next call.
func (u *Unframer) decompress(payload []byte, flags byte) ([]byte, error) {
	if flags&flagStripes == 0 {
		return payload, nil
	}
	var all stripes
	r := reader{data: payload}
	total := 0
	for i := 0; r.pos < len(payload); i++ {
		if i == stripeCount {
			r.fail("too many stripes")
			break
		}
		flags, size := r.byte(), r.uvarint()
		if size > uint64(len(payload)-r.pos) {
			r.fail("a stripe that is cut off")
		}
		if r.err != nil {
			break
		}
		var err error
		if all[i], err = u.stripe(i, payload[r.pos:r.pos+int(size)], flags); err != nil {
			return nil, err
		}
		if total += len(all[i]); total > FrameMax {
			r.fail("a payload of impossible length")
			break
		}
		r.pos += int(size)
	}
	if r.err != nil {
		return nil, r.err
	}
	var err error
	u.out, err = all.join(u.out[:0])
	return u.out, err
}

// stripe returns what stands in a stripe under some flags.
func (u *Unframer) stripe(i int, stripe []byte, flags byte) ([]byte, error) {
	if flags&^stripeFlagsMask != 0 {
		return nil, fmt.Errorf("stripe flags %#x: %w", flags, ErrFuture)
	}
	if flags&stripeCoded != 0 {
		var err error
		if stripe, err = u.decode(i, stripe); err != nil {
			return nil, err
		}
	}
	if flags&stripeMatched == 0 {
		return stripe, nil
	}
	n, err := s2.DecodedLen(stripe)
	if err != nil || n > min(FrameMax, expansionMax*len(stripe)) {
		return nil, &CorruptError{"bad compression header", HeaderSize}
	}
	if cap(u.plain[i]) < n {
		u.plain[i] = make([]byte, n)
	}
	out, err := s2.Decode(u.plain[i][:cap(u.plain[i])], stripe)
	if err != nil {
		return nil, &CorruptError{"bad compressed data", HeaderSize}
	}
	return out, nil
}

// decode reads the blocks of a stripe.
func (u *Unframer) decode(i int, payload []byte) ([]byte, error) {
	out := u.coded[i][:0]
	r := reader{data: payload}
	for r.err == nil && r.pos < len(payload) {
		n, size := r.uvarint(), r.uvarint()
		stored := size == 0
		if stored {
			size = n
		}
		switch {
		case r.err != nil:
		case n == 0 || n > codeBlock || len(out)+int(n) > FrameMax:
			r.fail("a block of impossible length")
		case size > uint64(len(payload)-r.pos):
			r.fail("a block that is cut off")
		case stored:
			out = append(out, payload[r.pos:r.pos+int(n)]...)
			r.pos += int(n)
		default:
			var ok bool
			if out, ok = u.decodeBlock(out, payload[r.pos:r.pos+int(size)], int(n)); !ok {
				r.fail("a block that is not Huffman code")
			}
			r.pos += int(size)
		}
	}
	u.coded[i] = out
	if r.err != nil {
		return nil, r.err
	}
	return out, nil
}

// decodeBlock appends the n bytes of a block to dst.
func (u *Unframer) decodeBlock(dst, code []byte, n int) ([]byte, bool) {
	s, rest, err := huff0.ReadTable(code, u.huff)
	if err != nil {
		return dst, false
	}
	u.huff = s
	at := len(dst)
	if cap(dst) < at+n {
		dst = append(make([]byte, 0, max(at+n, 2*cap(dst))), dst...)
	}
	out, err := s.Decoder().Decompress4X(dst[at:at:at+n], rest)
	if err != nil || len(out) != n {
		return dst, false
	}
	return dst[:at+n], true
}
