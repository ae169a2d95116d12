package head

import (
	"fmt"
	"io"
	"maps"
	"slices"

	format "github.com/nilometer/nilometer/format/seriestable"
)

// dumpTries is how often a dump starts over because labels were compacted;
// then it keeps the lock.
const dumpTries = 2

// dump writes the index as it is at some time between begin and end, as a table
// of format/seriestable. Series that come and go meanwhile are in it as they
// were or as they are. numberOf gives the number of a group for its index,
// which must last longer than the head does; false: its series are left out.
// The lock is held for some thousand series at a time.
func (x *index) dump(w io.Writer, numberOf func(group uint32) (uint64, bool)) error {
	d := dumper{index: x, w: w, numberOf: numberOf}
	for try := 0; ; try++ {
		done, err := d.table(try == dumpTries)
		if err != nil || done {
			return err
		}
	}
}

// dumper is one dump on its way.
type dumper struct {
	index    *index
	w        io.Writer
	numberOf func(uint32) (uint64, bool)
	buf      []byte
	totals   format.Totals
}

// dumpRows is the number of rows that are written in one holding of the lock.
const dumpRows = 1 << 14

// table writes all of it; done is false when labels got other numbers on the
// way.
func (d *dumper) table(hold bool) (done bool, err error) {
	x := d.index
	d.totals = format.Totals{}
	x.mu.RLock()
	generation, n := x.generation, x.hashes.Len()
	d.buf = format.AppendBegin(d.buf[:0])
	if !hold {
		x.mu.RUnlock()
	} else {
		defer x.mu.RUnlock()
	}
	step := func(count uint64, rows func(from, to int)) bool {
		for from := 0; from < int(count) && err == nil; from += dumpRows {
			if !hold {
				x.mu.RLock()
			}
			same := x.generation == generation
			if same {
				rows(from, min(from+dumpRows, int(count)))
			}
			if !hold {
				x.mu.RUnlock()
			}
			if !same {
				return false
			}
			err = d.flush()
		}
		return true
	}
	// Labels only become more: what the series name is among them at the end.
	d.totals.Series = uint64(n)
	if !step(d.totals.Series, d.series) || !step(1, d.places) {
		return false, err
	}
	x.mu.RLock()
	d.totals.Tuples, d.totals.Pairs, d.totals.Strings = uint64(x.tuples.all.Len()-1), uint64(x.tuples.pairs.Len()), uint64(x.tuples.symbols.at.Len())
	x.mu.RUnlock()
	if !step(d.totals.Tuples, d.tuples) || !step(d.totals.Pairs, d.pairs) || !step(d.totals.Strings, d.strings) || err != nil {
		return false, err
	}
	d.buf = format.AppendEnd(d.buf, d.totals)
	return true, d.flush()
}

func (d *dumper) flush() error {
	if _, err := d.w.Write(d.buf); err != nil {
		return fmt.Errorf("write the table of series: %w", err)
	}
	d.buf = d.buf[:0]
	return nil
}

func (d *dumper) series(from, to int) {
	x := d.index
	rows := make([]format.Row, 0, to-from)
	left, right, hashes, owners := x.left.All(), x.right.All(), x.hashes.All(), x.owners.All()
	group, number, known := nowhere.group, uint64(0), false
	for id := from; id < to; id++ {
		if owners[id].group != group {
			group = owners[id].group
			number, known = d.numberOf(group)
		}
		if owners[id] == nowhere || !known {
			rows = append(rows, format.Row{})
			continue
		}
		rows = append(rows, format.Row{Left: uint32(left[id]), Right: uint32(right[id]), Hash: uint64(hashes[id]), Group: number, Slot: owners[id].slot})
	}
	d.buf = format.AppendSeries(d.buf, rows)
}

func (d *dumper) places(int, int) {
	var rows []format.Place
	for _, id := range slices.Sorted(maps.Keys(d.index.former)) {
		for _, at := range d.index.former[id] {
			if number, ok := d.numberOf(at.group); ok && uint64(id) < d.totals.Series {
				rows = append(rows, format.Place{Series: uint32(id), Group: number, Slot: at.slot})
			}
		}
	}
	d.totals.Places = uint64(len(rows))
	for chunk := range slices.Chunk(rows, format.RowsMax) {
		d.buf = format.AppendPlaces(d.buf, chunk)
	}
}

func (d *dumper) tuples(from, to int) {
	rows := make([][]uint32, 0, to-from)
	var flat []uint32
	for id := from + 1; id <= to; id++ {
		at := len(flat)
		for _, p := range d.index.tuples.of(tupleID(id)) {
			flat = append(flat, uint32(p))
		}
		rows = append(rows, flat[at:len(flat):len(flat)])
	}
	d.buf = format.AppendTuples(d.buf, rows)
}

func (d *dumper) pairs(from, to int) {
	rows := make([]format.Pair, 0, to-from)
	for _, p := range d.index.tuples.pairs.All()[from:to] {
		rows = append(rows, format.Pair{Name: uint32(p.name), Value: uint32(p.value)})
	}
	d.buf = format.AppendPairs(d.buf, rows)
}

func (d *dumper) strings(from, to int) {
	rows := make([]string, 0, to-from)
	for id := from; id < to; id++ {
		rows = append(rows, d.index.tuples.symbols.of(symbolID(id)))
	}
	d.buf = format.AppendStrings(d.buf, rows)
}
