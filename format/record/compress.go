package record

import (
	"encoding/binary"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/s2"
)

// Payloads shorter than these are left as they are: the headers eat what is
// saved.
const (
	compressMin = 256
	entropyMin  = 1 << 10
)

// expansionMax bounds what a byte of an S2 block may stand for: a reader takes no
// memory for more.
const expansionMax = 1 << 10

// entropyBlock is what is coded with one table, bytes.
const entropyBlock = 64 << 10

// Framer makes frames. The zero Framer is ready for use; one goroutine uses it.
type Framer struct {
	matched, coded []byte
	huff           huff0.Scratch
}

// compress returns a payload as it stands in a frame, and the flags that say so:
// without its repetitions (S2), and then with bytes that are frequent in fewer
// bits (Huffman). Values of a scrape hardly ever repeat, their first bytes are
// much alike.
func (f *Framer) compress(payload []byte) ([]byte, byte) {
	flags := byte(0)
	if len(payload) < compressMin {
		return payload, flags
	}
	f.matched = s2.Encode(f.matched[:cap(f.matched)], payload)
	if n := len(f.matched); n < len(payload) && len(payload) <= expansionMax*n {
		payload, flags = f.matched, flagS2
	}
	if len(payload) < entropyMin {
		return payload, flags
	}
	f.coded = f.coded[:0]
	for rest := payload; len(rest) > 0; {
		n := min(len(rest), entropyBlock)
		f.coded = f.appendBlock(f.coded, rest[:n])
		rest = rest[n:]
	}
	if len(f.coded) < len(payload)-len(payload)/16 {
		return f.coded, flags | flagHuffman
	}
	return payload, flags
}

// appendBlock appends one block: the length of the bytes, that of their code (0:
// they stand as they are), and either.
func (f *Framer) appendBlock(dst, block []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(block)))
	f.huff.Reuse = huff0.ReusePolicyNone
	code, _, err := huff0.Compress4X(block, &f.huff)
	if err != nil || len(code) >= len(block) { // too short, one byte only, or nothing to save
		return append(append(dst, 0), block...)
	}
	return append(binary.AppendUvarint(dst, uint64(len(code))), code...)
}

// Unframer reads frames into memory of its own. The zero Unframer is ready for
// use; one goroutine uses it.
type Unframer struct {
	coded, out []byte
	huff       *huff0.Scratch
}

// decompress returns the payload that stands in a frame under some flags. It is
// valid until the next call.
func (u *Unframer) decompress(payload []byte, flags byte) ([]byte, error) {
	if flags&flagHuffman != 0 {
		var err error
		if payload, err = u.decode(payload); err != nil {
			return nil, err
		}
	}
	if flags&flagS2 == 0 {
		return payload, nil
	}
	n, err := s2.DecodedLen(payload)
	if err != nil || n > min(FrameMax, expansionMax*len(payload)) {
		return nil, &CorruptError{"bad compression header", HeaderSize}
	}
	if cap(u.out) < n {
		u.out = make([]byte, n)
	}
	out, err := s2.Decode(u.out[:cap(u.out)], payload)
	if err != nil {
		return nil, &CorruptError{"bad compressed data", HeaderSize}
	}
	return out, nil
}

// decode reads the blocks of a payload.
func (u *Unframer) decode(payload []byte) ([]byte, error) {
	u.coded = u.coded[:0]
	r := reader{data: payload}
	for r.err == nil && r.pos < len(payload) {
		n, size := r.uvarint(), r.uvarint()
		stored := size == 0
		if stored {
			size = n
		}
		switch {
		case r.err != nil:
		case n == 0 || n > entropyBlock || len(u.coded)+int(n) > FrameMax:
			r.fail("a block of impossible length")
		case size > uint64(len(payload)-r.pos):
			r.fail("a block that is cut off")
		case stored:
			u.coded = append(u.coded, payload[r.pos:r.pos+int(n)]...)
			r.pos += int(n)
		default:
			if !u.decodeBlock(payload[r.pos:r.pos+int(size)], int(n)) {
				r.fail("a block that is not Huffman code")
			}
			r.pos += int(size)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return u.coded, nil
}

func (u *Unframer) decodeBlock(code []byte, n int) bool {
	s, rest, err := huff0.ReadTable(code, u.huff)
	if err != nil {
		return false
	}
	u.huff = s
	at := len(u.coded)
	if cap(u.coded) < at+n {
		u.coded = append(make([]byte, 0, max(at+n, 2*cap(u.coded))), u.coded...)
	}
	out, err := s.Decoder().Decompress4X(u.coded[at:at:at+n], rest)
	if err != nil || len(out) != n {
		return false
	}
	u.coded = u.coded[:at+n]
	return true
}
