package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A file is a header, frames back to back, a table of the frames, and a footer.
const (
	fileMagic   = "nilseals"
	fileVersion = 1
	// HeaderBytes is the size of a file's header.
	HeaderBytes = 16

	entryTableBytes = 40
	footerBytes     = 16
	footerMagic     = "sealend\n"
)

// ErrFuture: a newer version of the program wrote this.
var ErrFuture = errors.New("written by a newer version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind says what a frame is.
type Kind uint8

// The kinds of frames.
const (
	// Groups have the state of a group in their head, and its stretches in their
	// body.
	Groups Kind = 1
	// Series have definitions of series in their head, and no body.
	Series Kind = 2
)

// Frame is an entry of a file's table: where a frame stands. Its head and its
// body have checksums of their own, so that a reader needs only what it uses.
type Frame struct {
	Kind Kind
	// Offset is where the head begins; the body follows it.
	Offset     uint64
	Head, Body uint32 // bytes
	headSum    uint32
	bodySum    uint32
}

// AppendHeader appends a file's header.
func AppendHeader(dst []byte) []byte {
	dst = append(dst, fileMagic...)
	return append(dst, fileVersion, 0, 0, 0, 0, 0, 0, 0)
}

// Table gathers the frames of a file that is written.
type Table struct{ frames []Frame }

// Add notes a frame of a head and the parts of a body that the caller writes at
// an offset.
func (t *Table) Add(k Kind, offset uint64, head []byte, body ...[]byte) Frame {
	f := Frame{Kind: k, Offset: offset, Head: uint32(len(head)), headSum: crc32.Checksum(head, castagnoli)}
	for _, b := range body {
		f.Body += uint32(len(b))
		f.bodySum = crc32.Update(f.bodySum, castagnoli, b)
	}
	t.frames = append(t.frames, f)
	return f
}

// Append appends table and footer: the end of the file.
func (t *Table) Append(dst []byte) []byte {
	from := len(dst)
	for _, f := range t.frames {
		dst = append(dst, byte(f.Kind), 0, 0, 0, 0, 0, 0, 0)
		dst = binary.LittleEndian.AppendUint64(dst, f.Offset)
		dst = binary.LittleEndian.AppendUint32(dst, f.Head)
		dst = binary.LittleEndian.AppendUint32(dst, f.Body)
		dst = binary.LittleEndian.AppendUint32(dst, f.headSum)
		dst = binary.LittleEndian.AppendUint32(dst, f.bodySum)
		dst = binary.LittleEndian.AppendUint64(dst, 0)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(t.frames)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
	return append(dst, footerMagic...)
}

// ReadFile returns the frames of a file. It looks at header and table only.
func ReadFile(b []byte) ([]Frame, error) {
	if len(b) < HeaderBytes+footerBytes || string(b[:8]) != fileMagic {
		return nil, corrupt(0, "no file of seals")
	}
	if v := b[8]; v > fileVersion {
		return nil, fmt.Errorf("file of seals of version %d: %w", v, ErrFuture)
	}
	if b[8] != fileVersion || string(b[9:HeaderBytes]) != "\x00\x00\x00\x00\x00\x00\x00" {
		return nil, corrupt(8, "a bad header")
	}
	end := len(b) - footerBytes
	if string(b[end+8:]) != footerMagic {
		return nil, corrupt(end+8, "no footer")
	}
	count := int(binary.LittleEndian.Uint32(b[end:]))
	if count > (end-HeaderBytes)/entryTableBytes {
		return nil, corrupt(end, "%d frames in %d bytes", count, len(b))
	}
	from := end - count*entryTableBytes
	if sum := crc32.Checksum(b[from:end+4], castagnoli); sum != binary.LittleEndian.Uint32(b[end+4:]) {
		return nil, corrupt(from, "the table's checksum does not fit")
	}
	frames, at := make([]Frame, count), uint64(HeaderBytes)
	for i := range frames {
		e := b[from+i*entryTableBytes:]
		f := Frame{
			Kind: Kind(e[0]), Offset: binary.LittleEndian.Uint64(e[8:]),
			Head: binary.LittleEndian.Uint32(e[16:]), Body: binary.LittleEndian.Uint32(e[20:]),
			headSum: binary.LittleEndian.Uint32(e[24:]), bodySum: binary.LittleEndian.Uint32(e[28:]),
		}
		if f.Kind != Groups && f.Kind != Series {
			return nil, fmt.Errorf("frame of kind %d: %w", f.Kind, ErrFuture)
		}
		if f.Offset != at || at+uint64(f.Head)+uint64(f.Body) > uint64(from) {
			return nil, corrupt(from+i*entryTableBytes, "frame %d does not follow the one before", i)
		}
		at += uint64(f.Head) + uint64(f.Body)
		frames[i] = f
	}
	if at != uint64(from) {
		return nil, corrupt(int(at), "%d bytes between the frames and their table", uint64(from)-at)
	}
	return frames, nil
}

// ReadHead returns the head of a frame of file b, checked.
func (f Frame) ReadHead(b []byte) ([]byte, error) {
	head := b[f.Offset : f.Offset+uint64(f.Head)]
	if crc32.Checksum(head, castagnoli) != f.headSum {
		return nil, corrupt(int(f.Offset), "the checksum of a frame's head does not fit")
	}
	return head, nil
}

// ReadBody returns the body of a frame of file b, checked.
func (f Frame) ReadBody(b []byte) ([]byte, error) {
	from := f.Offset + uint64(f.Head)
	body := b[from : from+uint64(f.Body) : from+uint64(f.Body)]
	if crc32.Checksum(body, castagnoli) != f.bodySum {
		return nil, corrupt(int(from), "the checksum of a frame's body does not fit")
	}
	return body, nil
}
