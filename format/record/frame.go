package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// HeaderSize is the number of bytes before a frame's payload: length, checksum
// and flags.
const HeaderSize = 9

// FrameMax bounds a frame's payload, compressed and not, in bytes.
const FrameMax = 256 << 20

// Flags of a frame.
const (
	flagStripes = 1
	flagBegins  = 2

	frameFlagsMask = flagStripes | flagBegins
)

// ErrTorn is a frame that ends before its length says: the end of a segment
// that was cut off by a crash, or not written yet.
var ErrTorn = errors.New("the frame is cut off")

// ErrFuture is a segment, frame or record of a format that this version does
// not know.
var ErrFuture = errors.New("a newer version wrote this")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends a frame with the payload to dst. begins says that all frames
// before this one are durable when it is written: a reader that finds it knows
// that what is damaged before it is damage, and not the end that a crash has
// left.
func (f *Framer) Append(dst, payload []byte, begins bool) []byte {
	payload, flags := f.compress(payload)
	if begins {
		flags |= flagBegins
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum([]byte{flags}, castagnoli), castagnoli, payload)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	dst = append(dst, flags)
	return append(dst, payload...)
}

// Read reads the frame at the front of data: its payload, valid until the next
// call (and as long as data), and its size in bytes. After an error other than
// ErrTorn, size is that of the damaged frame when its length is believable,
// else 0.
func (u *Unframer) Read(data []byte) (payload []byte, size int, err error) {
	if size, err = checkFrame(data); err != nil {
		return nil, size, err
	}
	flags := data[HeaderSize-1]
	if flags&^frameFlagsMask != 0 {
		return nil, size, fmt.Errorf("frame flags %#x: %w", flags, ErrFuture)
	}
	if payload, err = u.decompress(data[HeaderSize:size], flags); err != nil {
		return nil, size, err
	}
	return payload, size, nil
}

// checkFrame returns the size of the frame at the front of data, which is whole.
func checkFrame(data []byte) (size int, err error) {
	if len(data) < HeaderSize {
		return 0, ErrTorn
	}
	n := binary.LittleEndian.Uint32(data)
	if n > FrameMax {
		return 0, &CorruptError{fmt.Sprintf("a frame claims %d bytes", n), 0}
	}
	if uint64(len(data)-HeaderSize) < uint64(n) {
		return 0, ErrTorn
	}
	size = HeaderSize + int(n)
	sum := crc32.Checksum(data[HeaderSize-1:size], castagnoli)
	if want := binary.LittleEndian.Uint32(data[4:]); sum != want {
		return size, &CorruptError{"checksum mismatch", 4}
	}
	return size, nil
}

// Begins tells whether the frame at the front of data, which was read
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
		if n > findMax || uint64(n) > uint64(len(data)-at-HeaderSize) || data[at+HeaderSize-1]&^frameFlagsMask != 0 {
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
