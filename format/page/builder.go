package page

import (
	"encoding/binary"
	"fmt"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
)

// Chunk is one series on one tile: a chunk of format/chunk and the positions
// of the tile that are not present. A chunk without data and runs is none: the
// series has no sample there. One without data and with runs has stale markers
// only.
//
// A chunk of format/column that refers to others has Refs: at most RefsMax,
// in the order in which its terms are.
type Chunk struct {
	Data []byte
	Runs []column.Run
	Refs []Ref
}

// None reports whether there is no chunk.
func (c Chunk) None() bool { return len(c.Data) == 0 && len(c.Runs) == 0 }

// The codes of entries, two bits each: how an entry follows the one before.
const (
	nextSeriesSameColumn = 0
	nextSeriesNextColumn = 1
	nextSeriesAnyColumn  = 2 // the column's difference is an extra
	anySeriesAnyColumn   = 3 // the series' and the column's differences are extras
)

// Builder gathers the entries of one page. The zero Builder is an empty page;
// Reset makes it one again.
type Builder struct {
	first   entryKey
	last    entryKey
	entries int
	codes   []byte
	extras  []byte
	lengths []byte
	chunks  int

	runs     map[string]int // encoded runs -> index in the dictionary
	runBytes []byte         // the dictionary
	except   []byte         // chunk distance, dictionary index
	excepts  int
	lastRuns int // the chunk of the last exception, -1 before the first

	refs      []byte // chunk distance, references
	refChunks int    // chunks that refer
	nextRef   int    // the chunk after the last of them

	data    []byte
	scratch []byte
}

type entryKey struct{ series, column uint32 }

// Entries is the number of entries so far.
func (b *Builder) Entries() int { return b.entries }

// SizeBytes is about what the payload takes.
func (b *Builder) SizeBytes() int {
	return len(b.codes) + len(b.extras) + len(b.lengths) + len(b.runBytes) + len(b.except) + len(b.refs) + len(b.data) + 16
}

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset() {
	clear(b.runs)
	*b = Builder{
		codes: b.codes[:0], extras: b.extras[:0], lengths: b.lengths[:0], runs: b.runs,
		runBytes: b.runBytes[:0], except: b.except[:0], refs: b.refs[:0], data: b.data[:0], scratch: b.scratch,
	}
}

// Add appends an entry: a series on a column, with one chunk per tile of the
// column in this row. Series come in order; entries of one in order of time.
func (b *Builder) Add(series, col uint32, chunks []Chunk) {
	if b.entries > 0 && series < b.last.series {
		panic(fmt.Sprintf("page: series %d follows %d", series, b.last.series))
	}
	key := entryKey{series, col}
	code := byte(nextSeriesSameColumn)
	if b.entries == 0 {
		b.first, b.lastRuns = key, -1
	} else {
		code = b.code(key)
	}
	if b.entries%4 == 0 {
		b.codes = append(b.codes, 0)
	}
	b.codes[b.entries/4] |= code << (b.entries % 4 * 2)
	b.entries++
	b.last = key
	for _, c := range chunks {
		b.addChunk(c)
	}
}

func (b *Builder) code(key entryKey) byte {
	columns := int64(key.column) - int64(b.last.column)
	if key.series != b.last.series+1 {
		b.extras = binary.AppendUvarint(b.extras, uint64(key.series-b.last.series))
		b.extras = binary.AppendVarint(b.extras, columns)
		return anySeriesAnyColumn
	}
	switch columns {
	case 0:
		return nextSeriesSameColumn
	case 1:
		return nextSeriesNextColumn
	}
	b.extras = binary.AppendVarint(b.extras, columns)
	return nextSeriesAnyColumn
}

func (b *Builder) addChunk(c Chunk) {
	b.lengths = binary.AppendUvarint(b.lengths, uint64(len(c.Data)))
	b.data = append(b.data, c.Data...)
	if len(c.Runs) > 0 {
		b.scratch = format.AppendRuns(b.scratch[:0], c.Runs)
		index, ok := b.runs[string(b.scratch)]
		if !ok {
			if b.runs == nil {
				b.runs = map[string]int{}
			}
			index = len(b.runs)
			b.runs[string(b.scratch)] = index
			b.runBytes = append(b.runBytes, b.scratch...)
		}
		b.except = binary.AppendUvarint(b.except, uint64(b.chunks-b.lastRuns-1))
		b.except = binary.AppendUvarint(b.except, uint64(index))
		b.lastRuns = b.chunks
		b.excepts++
	}
	b.addRefs(c.Refs)
	b.chunks++
}

// AppendPayload appends the page's payload to dst.
func (b *Builder) AppendPayload(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(b.entries))
	dst = binary.AppendUvarint(dst, uint64(b.first.series))
	dst = binary.AppendUvarint(dst, uint64(b.first.column))
	dst = binary.AppendUvarint(dst, uint64(len(b.runs)))
	dst = binary.AppendUvarint(dst, uint64(b.excepts))
	dst = binary.AppendUvarint(dst, uint64(b.refChunks))
	dst = append(dst, b.codes...)
	dst = append(dst, b.extras...)
	dst = append(dst, b.lengths...)
	dst = append(dst, b.runBytes...)
	dst = append(dst, b.except...)
	dst = append(dst, b.refs...)
	return append(dst, b.data...)
}
