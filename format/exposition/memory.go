package exposition

import (
	"bytes"
	"hash/maphash"
)

// Ref is what a caller remembers about a line: which series it is. The meaning
// is the caller's; groups over GroupMax are reserved.
type Ref struct {
	Slot  uint32
	Group uint16
}

// groupComment marks the lines without a sample: blank ones, comments and
// metadata. Their slot is the code of the metric type that holds after them, or
// 0.
const groupComment = 0xFFFF

// groupPending marks a new sample's line that has no Ref yet. It stands in
// Scanner.next only.
const groupPending = 0xFFFE

// GroupMax is the largest Group of a Ref.
const GroupMax = groupPending - 1

// line is what is kept of one line: 16 bytes.
type line struct {
	// hash is lineHash of the size bytes before the value, salted by the metric
	// type; of the whole line with its line feed in a comment, without salt.
	hash  uint64
	slot  uint32
	size  uint16
	group uint16
}

// lineSizeMax bounds what a line can remember; longer lines are parsed anew
// each time.
const lineSizeMax = 1<<16 - 1

// Memory is what is kept of a target between two scrapes. The zero value knows
// nothing. It is changed by Scanner.Commit only.
type Memory struct {
	options   Options
	lines     []line
	exemplars []uint64 // hashes of those of the last body, in its order
}

// Lines returns the number of lines known.
func (m *Memory) Lines() int { return len(m.lines) }

// SizeBytes returns the memory that m holds.
func (m *Memory) SizeBytes() int { return cap(m.lines)*16 + cap(m.exemplars)*8 }

// Forget removes every sample line whose Ref drop answers true to, so that the
// next body has it as a new sample. Without drop it forgets all lines.
func (m *Memory) Forget(drop func(Ref) bool) {
	if drop == nil {
		m.lines = nil
		return
	}
	kept := m.lines[:0]
	for _, l := range m.lines {
		if l.group == groupComment || !drop(Ref{l.slot, l.group}) {
			kept = append(kept, l)
		}
	}
	m.lines = kept
}

// walk is where the scanner stands.
type walk struct {
	pos  int    // in the body: the start of a line
	at   int    // in the memory's lines
	kind uint32 // code of the metric type in force
	// typeAt is where the line begins that set kind.
	typeAt int
}

// salts make a line under a histogram's or summary's TYPE another line than
// the same bytes without: the type decides how le and quantile are written.
var salts = [len(kinds)]uint64{codeHistogram: 0x9e3779b97f4a7c15, codeSummary: 0xc2b2ae3d27d4eb4f}

// seed makes every process remember other hashes: they are kept nowhere else,
// and no body can be made for them to collide.
var seed = maphash.MakeSeed()

// lineHash is by the processor's own instructions where it has them: twice as
// fast as hashes that look the same everywhere.
func lineHash(text []byte) uint64 { return maphash.Bytes(seed, text) }

// matches tells whether the bytes at pos are the remembered line, as far as it
// is remembered.
func (l *line) matches(body []byte, pos int, salt uint64) bool {
	end := pos + int(l.size)
	return end <= len(body) && lineHash(body[pos:end])^salt == l.hash
}

// known follows body along lines for as long as both agree and every line is
// nothing but name, labels and value. It appends the refs and values of the
// samples and returns where it stopped. This is the hot loop: a hash of the
// part before the value and the parsing of the value, nothing else. It stops
// behind a TYPE line that sets one of the types in slow (bits by code).
func known(body []byte, lines []line, w walk, slow uint32, refs []Ref, values []float64) (walk, []Ref, []float64) {
	salt := salts[w.kind]
	for w.at < len(lines) {
		l := &lines[w.at]
		if l.group == groupComment {
			if !l.matches(body, w.pos, 0) {
				break
			}
			at := w.pos
			w.pos += int(l.size)
			w.at++
			if l.slot == 0 {
				continue
			}
			w.kind, w.typeAt = l.slot, at
			salt = salts[w.kind]
			if slow>>w.kind&1 != 0 {
				break
			}
			continue
		}
		if !l.matches(body, w.pos, salt) {
			break
		}
		v, next, ok := fastFloat(body, w.pos+int(l.size))
		if !ok {
			if v, next, ok = slowFloat(body, w.pos+int(l.size)); !ok {
				break
			}
		}
		if body[next] != '\n' {
			break
		}
		refs = append(refs, Ref{l.slot, l.group})
		values = append(values, v)
		w.pos = next + 1
		w.at++
	}
	return w, refs, values
}

// slowFloat parses a value that ends with a line feed or a space through
// strconv. A value with a tab or brace after it is left to the grammar.
func slowFloat(body []byte, i int) (v float64, end int, ok bool) {
	n := bytes.IndexAny(body[i:min(i+64, len(body))], "\n \t{")
	if n <= 0 || body[i+n] != '\n' && body[i+n] != ' ' {
		return 0, 0, false
	}
	v, err := parseFloat(body[i : i+n])
	return v, i + n, err == nil
}

// resyncWindow is how far ahead a line is looked for before the index is made:
// removed lines are mostly few in a row.
const resyncWindow = 32

// seek returns the index at or after from, within the window, of the line with
// this hash and size, -1 without one.
func seek(lines []line, from int, hash uint64, size int) int {
	for i := from; i < min(from+resyncWindow, len(lines)); i++ {
		if lines[i].hash == hash && int(lines[i].size) == size {
			return i
		}
	}
	return -1
}

// index finds lines by hash: open addressing at half load over positions + 1.
type index []uint32

// build fills ix, reusing its memory, with lines. Of lines with one hash only
// the first is kept, so that many equal ones cost nothing.
func (ix index) build(lines []line) index {
	size := 16
	for size < 2*len(lines) {
		size *= 2
	}
	if cap(ix) < size {
		ix = make(index, size)
	}
	ix = ix[:size]
	clear(ix)
	mask := uint64(size - 1)
	for i := range lines {
		h := lines[i].hash & mask
		for ix[h] != 0 && lines[ix[h]-1].hash != lines[i].hash {
			h = (h + 1) & mask
		}
		if ix[h] == 0 {
			ix[h] = uint32(i) + 1
		}
	}
	return ix
}

// find returns the position of a line, -1 without one.
func (ix index) find(lines []line, hash uint64, size int) int {
	mask := uint64(len(ix) - 1)
	for h := hash & mask; ix[h] != 0; h = (h + 1) & mask {
		i := int(ix[h] - 1)
		if lines[i].hash == hash && int(lines[i].size) == size {
			return i
		}
	}
	return -1
}
