package page

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"sync/atomic"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
)

// Tiles tells how many tiles of a column lie in the page's row, and how many
// positions a tile of it has at most. An unknown column has none.
type Tiles func(column uint32) (n int)

// Page is a decoded directory over a payload. Its answers do not change after
// Parse, and it is safe for concurrent use as long as the payload stays.
type Page struct {
	payload []byte
	entries []Entry
	ends    []uint32 // where each chunk's data ends in payload
	begin   uint32   // where the first chunk's data begins
	excepts []except // in order of chunks
	runs    []Presence
	refs    []refItem // in order of chunks

	recent *[recentSlots]atomic.Pointer[decoded] // nil without references
}

// Entry is one series on one column.
type Entry struct {
	Series, Column uint32
	chunk          uint32 // the first of its chunks
}

type except struct{ chunk, runs uint32 }

// Presence is what a chunk says about positions without a value: Lead and
// Trail are the absent positions at the begin and the end of the tile, Runs
// the others, counted from position Lead on.
type Presence struct {
	Lead, Trail int
	Runs        []column.Run
	// Absent and Stale count the positions of these states, Lead and Trail
	// included.
	Absent, Stale int
	end           int // where the last run ends, in the tile
}

// Parse reads the directory of a payload.
func Parse(payload []byte, tiles Tiles) (*Page, error) {
	r := reader{b: payload}
	count := r.uvarint(uint64(len(payload)), "number of entries") // each has a length
	series := r.uvarint(math.MaxUint32, "first series")
	col := r.uvarint(math.MaxUint32, "first column")
	runs := r.uvarint(uint64(len(payload)), "number of presence runs")
	excepts := r.uvarint(uint64(len(payload)), "number of exceptions")
	refs := r.uvarint(uint64(len(payload)), "number of chunks that refer to others")
	codes := r.bytes(int(count+3)/4, "codes")
	if r.err != nil {
		return nil, r.err
	}
	p := &Page{payload: payload, entries: make([]Entry, 0, count)}
	if err := p.readEntries(&r, codes, int(count), Entry{Series: uint32(series), Column: uint32(col)}, tiles); err != nil {
		return nil, err
	}
	p.readRuns(&r, int(runs))
	p.readExceptions(&r, int(excepts))
	p.readRefs(&r, int(refs))
	if r.err == nil {
		p.readEnds(&r)
	}
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// readEntries decodes the codes and extras, and with them how many lengths
// follow; those are read into ends.
func (p *Page) readEntries(r *reader, codes []byte, count int, e Entry, tiles Tiles) error {
	chunks := uint64(0)
	for i := range count {
		if code := codes[i/4] >> (i % 4 * 2) & 3; i > 0 && !e.follow(r, code) {
			return r.err
		}
		n := tiles(e.Column)
		if n <= 0 {
			return &CorruptError{r.off, fmt.Sprintf("entry %d is on column %d, which has no tile here", i, e.Column)}
		}
		e.chunk = uint32(chunks)
		if chunks += uint64(n); chunks > uint64(len(p.payload)) {
			return &CorruptError{r.off, fmt.Sprintf("entry %d: more chunks than bytes", i)}
		}
		p.entries = append(p.entries, e)
	}
	p.ends = make([]uint32, chunks)
	for i := range p.ends {
		p.ends[i] = uint32(r.uvarint(uint64(len(p.payload)), "length of a chunk"))
	}
	return r.err
}

// follow makes e the entry that follows it.
func (e *Entry) follow(r *reader, code byte) bool {
	series, columns := uint64(1), int64(0)
	switch code {
	case nextSeriesNextColumn:
		columns = 1
	case nextSeriesAnyColumn:
		columns = r.varint("difference of columns")
	case anySeriesAnyColumn:
		series = r.uvarint(math.MaxUint32, "difference of series")
		columns = r.varint("difference of columns")
	}
	s, c := uint64(e.Series)+series, int64(e.Column)+columns
	if r.err == nil && (s > math.MaxUint32 || c < 0 || c > math.MaxUint32) {
		r.fail("an entry out of range")
	}
	e.Series, e.Column = uint32(s), uint32(c)
	return r.err == nil
}

// readRuns decodes the dictionary of presence runs. Their tile's length is not
// known here, so they are kept as they came until the exceptions are read.
func (p *Page) readRuns(r *reader, n int) {
	for range n {
		if r.err != nil {
			return
		}
		runs, rest, err := format.DecodeRuns(nil, r.b[r.off:], column.TilePositions)
		if err != nil {
			r.fail("presence runs: " + err.Error())
			return
		}
		r.off = len(r.b) - len(rest)
		p.runs = append(p.runs, presence(runs))
	}
}

// presence counts, and moves the absent begin out of the runs; the absent end
// is Trail only together with a tile's length, so it stays (see Chunk).
func presence(runs []column.Run) Presence {
	var q Presence
	for _, run := range runs {
		if run.State == column.Absent {
			q.Absent += int(run.Len)
		} else {
			q.Stale += int(run.Len)
		}
	}
	if len(runs) > 0 {
		q.end = runs[len(runs)-1].End()
	}
	if len(runs) > 0 && runs[0].At == 0 && runs[0].State == column.Absent {
		q.Lead = int(runs[0].Len)
		runs = runs[1:]
		for i := range runs {
			runs[i].At -= uint16(q.Lead)
		}
	}
	q.Runs = runs
	return q
}

func (p *Page) readExceptions(r *reader, n int) {
	at := uint64(0)
	for range n {
		at += r.uvarint(uint64(len(p.ends)), "distance of an exception")
		runs := r.uvarint(uint64(len(p.runs)), "index of presence runs")
		if r.err == nil && (at >= uint64(len(p.ends)) || runs >= uint64(len(p.runs))) {
			r.fail("an exception out of range")
		}
		if r.err != nil {
			return
		}
		p.excepts = append(p.excepts, except{uint32(at), uint32(runs)})
		at++
	}
}

// readEnds turns lengths into ends.
func (p *Page) readEnds(r *reader) {
	p.begin = uint32(r.off)
	end := uint64(r.off)
	for i, n := range p.ends {
		if end += uint64(n); end > uint64(len(p.payload)) {
			r.fail(fmt.Sprintf("chunk %d ends beyond the page", i))
			return
		}
		p.ends[i] = uint32(end)
	}
	if end != uint64(len(p.payload)) {
		r.off = int(end)
		r.fail("bytes after the last chunk")
	}
}

// Entries returns all entries.
func (p *Page) Entries() []Entry { return p.entries }

// Find returns the index of the first entry of a series or of one after it.
func (p *Page) Find(series uint32) int {
	// Mostly every series of a range has one entry.
	if n := len(p.entries); n > 0 && series >= p.entries[0].Series {
		if i := int(series - p.entries[0].Series); i < n && p.entries[i].Series == series && (i == 0 || p.entries[i-1].Series < series) {
			return i
		}
	}
	return sort.Search(len(p.entries), func(i int) bool { return p.entries[i].Series >= series })
}

// Chunk returns the data of an entry's i-th chunk, with the presence on its
// tile, or false when there is none. n is the number of the tile's positions.
func (p *Page) Chunk(e Entry, i, n int) ([]byte, Presence, bool, error) {
	at := e.chunk + uint32(i)
	from := p.begin
	if at > 0 {
		from = p.ends[at-1]
	}
	data := p.payload[from:p.ends[at]:p.ends[at]]
	if len(p.excepts) == 0 {
		return data, Presence{}, len(data) > 0, nil
	}
	runs := p.runsOf(at)
	if runs < 0 {
		return data, Presence{}, len(data) > 0, nil
	}
	q := p.runs[runs]
	if q.end > n || (q.Absent+q.Stale < n) != (len(data) > 0) {
		return nil, Presence{}, false, &CorruptError{int(from), fmt.Sprintf("series %d: presence runs and data of a tile of %d positions do not fit", e.Series, n)}
	}
	return data, q.trim(n), true, nil
}

// Whole reports whether an entry has data and no exception in its chunks from
// the from-th to before the to-th: there a series is present throughout.
func (p *Page) Whole(e Entry, from, to int) bool {
	first, end := e.chunk+uint32(from), e.chunk+uint32(to)
	for at := first; at < end; at++ {
		begin := p.begin
		if at > 0 {
			begin = p.ends[at-1]
		}
		if p.ends[at] == begin {
			return false
		}
	}
	if len(p.excepts) == 0 {
		return true
	}
	k := sort.Search(len(p.excepts), func(k int) bool { return p.excepts[k].chunk >= first })
	return k == len(p.excepts) || p.excepts[k].chunk >= end
}

// runsOf returns the index of a chunk's presence runs, -1 without.
func (p *Page) runsOf(chunk uint32) int {
	k := sort.Search(len(p.excepts), func(k int) bool { return p.excepts[k].chunk >= chunk })
	if k == len(p.excepts) || p.excepts[k].chunk != chunk {
		return -1
	}
	return int(p.excepts[k].runs)
}

// trim moves the absent end of a tile of n positions out of the runs.
func (q Presence) trim(n int) Presence {
	k := len(q.Runs) - 1
	if k >= 0 && q.Runs[k].State == column.Absent && q.Lead+q.Runs[k].End() >= n {
		q.Trail = int(q.Runs[k].Len)
		q.Runs = q.Runs[:k]
	}
	if len(q.Runs) == 0 {
		q.Runs = nil
	}
	return q
}

// MemoryBytes is about what the page takes beside its payload.
func (p *Page) MemoryBytes() int {
	recent := 0
	if p.recent != nil {
		recent = recentSlots * (64 + 8*column.TilePositions)
	}
	return recent + 12*cap(p.refs) + 200 + 12*cap(p.entries) + 4*cap(p.ends) + 8*cap(p.excepts) + 100*cap(p.runs)
}

// reader reads varints and remembers the first fault.
type reader struct {
	b   []byte
	off int
	err error
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = &CorruptError{r.off, reason}
	}
}

func (r *reader) uvarint(limit uint64, what string) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.off:])
	if n <= 0 || v > limit {
		r.fail("bad " + what)
		return 0
	}
	r.off += n
	return v
}

func (r *reader) varint(what string) int64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Varint(r.b[r.off:])
	if n <= 0 {
		r.fail("bad " + what)
		return 0
	}
	r.off += n
	if v > math.MaxUint32 || v < -math.MaxUint32 {
		r.fail("bad " + what)
		return 0
	}
	return v
}

func (r *reader) bytes(n int, what string) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b)-r.off {
		r.fail(what + " cut off")
		return nil
	}
	b := r.b[r.off : r.off+n]
	r.off += n
	return b
}
