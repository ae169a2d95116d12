package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/s2"
)

// HeaderSize is the number of bytes before a frame's payload: length, checksum
// and flags.
const HeaderSize = 9

// FrameMax bounds a frame's payload, compressed and not, in bytes.
const FrameMax = 256 << 20

// compressMin is the payload size from which compression is tried: below it
// the headers of the block eat what it saves.
const compressMin = 256

// Flags of a frame.
const (
	flagS2     = 1
	flagBegins = 2
)

// ErrTorn is a frame that ends before its length says: the end of a segment
// that was cut off by a crash, or not written yet.
var ErrTorn = errors.New("the frame is cut off")

// ErrFuture is a segment, frame or record of a format that this version does
// not know.
var ErrFuture = errors.New("a newer version wrote this")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendFrame appends a frame with the payload to dst. begins says that all
// frames before this one are durable when it is written: a reader that finds it
// knows that what is damaged before it is damage, and not the end that a crash
// has left. scratch is a buffer for compression; it is returned grown.
func AppendFrame(dst, payload, scratch []byte, begins bool) (frame, grown []byte) {
	flags := byte(0)
	if begins {
		flags |= flagBegins
	}
	if len(payload) >= compressMin {
		scratch = s2.Encode(scratch[:cap(scratch)], payload)
		if len(scratch) < len(payload) {
			payload = scratch
			flags |= flagS2
		}
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum([]byte{flags}, castagnoli), castagnoli, payload)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	dst = append(dst, flags)
	return append(dst, payload...), scratch
}

// ReadFrame reads the frame at the front of data: its payload (in buf when it
// was compressed) and its size in bytes. After an error other than ErrTorn,
// size is that of the damaged frame when its length is believable, else 0.
func ReadFrame(data, buf []byte) (payload []byte, size int, err error) {
	if len(data) < HeaderSize {
		return nil, 0, ErrTorn
	}
	n := binary.LittleEndian.Uint32(data)
	if n > FrameMax {
		return nil, 0, &CorruptError{fmt.Sprintf("a frame claims %d bytes", n), 0}
	}
	if uint64(len(data)-HeaderSize) < uint64(n) {
		return nil, 0, ErrTorn
	}
	size = HeaderSize + int(n)
	sum := crc32.Checksum(data[HeaderSize-1:size], castagnoli)
	if want := binary.LittleEndian.Uint32(data[4:]); sum != want {
		return nil, size, &CorruptError{"checksum mismatch", 4}
	}
	payload = data[HeaderSize:size]
	switch flags := data[HeaderSize-1]; flags &^ flagBegins {
	case 0:
		return payload, size, nil
	case flagS2:
		m, err := s2.DecodedLen(payload)
		if err != nil || m > FrameMax {
			return nil, size, &CorruptError{"bad compression header", HeaderSize}
		}
		if cap(buf) < m {
			buf = make([]byte, m)
		}
		out, err := s2.Decode(buf[:cap(buf)], payload)
		if err != nil {
			return nil, size, &CorruptError{"bad compressed data", HeaderSize}
		}
		return out, size, nil
	default:
		return nil, size, fmt.Errorf("frame flags %#x: %w", flags, ErrFuture)
	}
}

// Begins tells whether the frame at the front of data, which ReadFrame has read
// without an error, was written when all frames before it were durable.
func Begins(data []byte) bool { return data[HeaderSize-1]&flagBegins != 0 }

// Unbegin takes back, in place, that frames were written when all before them
// were durable: they are to be written elsewhere. frames are whole and intact.
func Unbegin(frames []byte) {
	for len(frames) > 0 {
		size := HeaderSize + int(binary.LittleEndian.Uint32(frames))
		if Begins(frames) {
			frames[HeaderSize-1] &^= flagBegins
			binary.LittleEndian.PutUint32(frames[4:], crc32.Checksum(frames[HeaderSize-1:size], castagnoli))
		}
		frames = frames[size:]
	}
}

// findMax bounds the frames that FindFrame looks for, in bytes: a longer claim
// is taken for an accident, so that a search reads each byte a few times only.
const findMax = 4 << 20

// FindFrame looks for a whole frame behind damage: it returns the offset of the
// first one in data, from its second byte on, or -1.
func FindFrame(data []byte) int {
	for at := 1; at+HeaderSize <= len(data); at++ {
		n := binary.LittleEndian.Uint32(data[at:])
		if n > findMax || uint64(n) > uint64(len(data)-at-HeaderSize) || data[at+HeaderSize-1]&^(flagS2|flagBegins) != 0 {
			continue
		}
		sum := crc32.Checksum(data[at+HeaderSize-1:at+HeaderSize+int(n)], castagnoli)
		if sum == binary.LittleEndian.Uint32(data[at+4:]) {
			return at
		}
	}
	return -1
}

// Segment header: magic with the format's version, then the segment's number.
const (
	magic = "NILOWAL1"
	// SegmentHeaderSize is the number of bytes before the first frame.
	SegmentHeaderSize = len(magic) + 8
)

// AppendSegmentHeader appends the header of segment number n.
func AppendSegmentHeader(dst []byte, n uint64) []byte {
	dst = append(dst, magic...)
	return binary.LittleEndian.AppendUint64(dst, n)
}

// ReadSegmentHeader returns a segment's number. Its errors are ErrTorn,
// ErrFuture or a *CorruptError.
func ReadSegmentHeader(data []byte) (uint64, error) {
	if len(data) < SegmentHeaderSize {
		return 0, ErrTorn
	}
	if string(data[:len(magic)-1]) != magic[:len(magic)-1] {
		return 0, &CorruptError{"this is no segment of a write-ahead log", 0}
	}
	if data[len(magic)-1] != magic[len(magic)-1] {
		return 0, fmt.Errorf("segment format %q: %w", data[len(magic)-1], ErrFuture)
	}
	return binary.LittleEndian.Uint64(data[len(magic):]), nil
}
