package seriestable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Type says what a section has.
type Type byte

// The types of sections.
const (
	Begin   Type = 1 // a table begins; sections before it are void
	Series  Type = 2 // Section.Series
	Places  Type = 3 // Section.Places
	Tuples  Type = 4 // Section.Tuples
	Pairs   Type = 5 // Section.Pairs
	Strings Type = 6 // Section.Strings
	End     Type = 7 // the table is complete; Section.Totals
)

// magic begins every section Begin: four letters and the version.
const magic = "NST\x01"

// RowsMax is the number of rows of a section at most.
const RowsMax = 1 << 16

// sectionBytesMax bounds a section's payload.
const sectionBytesMax = 64 << 20

// headerSize is the bytes before a section's payload: type, rows, length.
const headerSize = 9

// Row is a series: two tuples of labels, the hash of its labels, and the slot of
// the group that its samples go to. A number that no series has, has the tuples
// 0 and 0.
type Row struct {
	Left, Right uint32
	Hash        uint64
	Group       uint64
	Slot        uint32
}

// Place is a slot where a series' samples went before.
type Place struct {
	Series uint32
	Group  uint64
	Slot   uint32
}

// Pair is a label: the numbers of two strings.
type Pair struct{ Name, Value uint32 }

// Totals are the numbers of rows of a table, by type.
type Totals struct{ Series, Places, Tuples, Pairs, Strings uint64 }

// Errors that callers branch on.
var (
	// ErrFuture is a table of a version that this program does not know.
	ErrFuture = errors.New("a newer version wrote this table of series")
	// ErrIncomplete is a table without its end.
	ErrIncomplete = errors.New("the table of series has no end")
)

// CorruptError is bytes that are no section.
type CorruptError struct {
	What   string
	Offset int
}

// Error says what is wrong and where.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("table of series: %s at offset %d", e.What, e.Offset)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBegin appends the section that begins a table.
func AppendBegin(dst []byte) []byte {
	return appendSection(dst, Begin, 0, func(b []byte) []byte { return append(b, magic...) })
}

// AppendSeries appends rows of consecutive series, at most RowsMax.
func AppendSeries(dst []byte, rows []Row) []byte {
	return appendSection(dst, Series, len(rows), func(b []byte) []byte {
		var last Row
		for _, r := range rows {
			b = binary.AppendVarint(b, int64(r.Left)-int64(last.Left))
			b = binary.AppendVarint(b, int64(r.Right)-int64(last.Right)-1)
			b = binary.AppendVarint(b, int64(r.Group-last.Group))
			b = binary.AppendVarint(b, int64(r.Slot)-int64(last.Slot)-1)
			b = binary.LittleEndian.AppendUint64(b, r.Hash)
			last = r
		}
		return b
	})
}

// AppendPlaces appends former places, at most RowsMax; those of one series are
// in order, the oldest first.
func AppendPlaces(dst []byte, rows []Place) []byte {
	return appendSection(dst, Places, len(rows), func(b []byte) []byte {
		for _, r := range rows {
			b = binary.AppendUvarint(b, uint64(r.Series))
			b = binary.AppendUvarint(b, r.Group)
			b = binary.AppendUvarint(b, uint64(r.Slot))
		}
		return b
	})
}

// AppendTuples appends tuples, at most RowsMax: each is the numbers of its
// labels.
func AppendTuples(dst []byte, rows [][]uint32) []byte {
	return appendSection(dst, Tuples, len(rows), func(b []byte) []byte {
		for _, labels := range rows {
			b = binary.AppendUvarint(b, uint64(len(labels)))
			for _, p := range labels {
				b = binary.AppendUvarint(b, uint64(p))
			}
		}
		return b
	})
}

// AppendPairs appends labels, at most RowsMax.
func AppendPairs(dst []byte, rows []Pair) []byte {
	return appendSection(dst, Pairs, len(rows), func(b []byte) []byte {
		for _, r := range rows {
			b = binary.AppendUvarint(b, uint64(r.Name))
			b = binary.AppendUvarint(b, uint64(r.Value))
		}
		return b
	})
}

// AppendStrings appends strings, at most RowsMax.
func AppendStrings(dst []byte, rows []string) []byte {
	return appendSection(dst, Strings, len(rows), func(b []byte) []byte {
		for _, r := range rows {
			b = binary.AppendUvarint(b, uint64(len(r)))
			b = append(b, r...)
		}
		return b
	})
}

// AppendEnd appends the section that makes a table complete.
func AppendEnd(dst []byte, t Totals) []byte {
	return appendSection(dst, End, 0, func(b []byte) []byte {
		for _, n := range []uint64{t.Series, t.Places, t.Tuples, t.Pairs, t.Strings} {
			b = binary.AppendUvarint(b, n)
		}
		return b
	})
}

// appendSection appends a header, a payload and the checksum of both.
func appendSection(dst []byte, typ Type, rows int, payload func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, byte(typ))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(rows))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = payload(dst)
	binary.LittleEndian.PutUint32(dst[at+5:], uint32(len(dst)-at-headerSize))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}
