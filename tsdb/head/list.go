package head

import (
	"encoding/binary"

	"github.com/nilometer/nilometer/tsdb/arena"
)

// list is a set of numbers that mostly grows at its end: postings. The last
// run of consecutive numbers is in the list itself, so that what nearly every
// series has costs nothing a series. Runs before it are in blocks of a slab:
//
//	next  first  end  used<<3|class   runs
//	u32   u32    u32  u16             …
//
// next names the following block, of the last one the first; first is the
// first number, end the one after the last. A run is a varint of the numbers
// left out since the run before, shifted by one, and a bit that says that there
// are more than one number: then a varint of how many more than two follows.
type list struct {
	count uint32
	last  uint32         // the largest number
	run   uint32         // length of the last run
	tail  arena.BlockRef // the last block; 0: there is none
}

const (
	listHeader   = 14
	listBlockMin = 32
	listBlockMax = 256
	// listRunMax is the length in bytes of a run at most.
	listRunMax = 2 * binary.MaxVarintLen32
)

// span is the numbers [from, to).
type span struct{ from, to uint32 }

// lists has the memory of many lists.
type lists struct{ slab arena.Slab }

// listBlock is a block in memory.
type listBlock []byte

func (b listBlock) next() arena.BlockRef {
	return arena.BlockRef(binary.LittleEndian.Uint32(b))
}
func (b listBlock) setNext(r arena.BlockRef) { binary.LittleEndian.PutUint32(b, uint32(r)) }
func (b listBlock) first() uint32            { return binary.LittleEndian.Uint32(b[4:]) }
func (b listBlock) setFirst(v uint32)        { binary.LittleEndian.PutUint32(b[4:], v) }
func (b listBlock) end() uint32              { return binary.LittleEndian.Uint32(b[8:]) }
func (b listBlock) setEnd(v uint32)          { binary.LittleEndian.PutUint32(b[8:], v) }
func (b listBlock) used() int                { return int(binary.LittleEndian.Uint16(b[12:]) >> 3) }
func (b listBlock) setUsed(n int) {
	binary.LittleEndian.PutUint16(b[12:], uint16(n)<<3|binary.LittleEndian.Uint16(b[12:])&7)
}
func (b listBlock) runs() []byte { return b[listHeader : listHeader+b.used()] }

// block returns a block by reference. Its class stands in it.
func (ls *lists) block(r arena.BlockRef) listBlock {
	head := ls.slab.Bytes(r, listBlockMin)
	class := head[12] & 7
	if class == 0 {
		return head
	}
	return ls.slab.Bytes(r, listBlockMin<<class)
}

// alloc makes an empty block of at least size bytes.
func (ls *lists) alloc(size int, first uint32) (arena.BlockRef, listBlock) {
	class, n := 0, listBlockMin
	for n < size && n < listBlockMax {
		n, class = 2*n, class+1
	}
	ref := ls.slab.Alloc(n)
	b := listBlock(ls.slab.Bytes(ref, n))
	b[12] = byte(class)
	b.setFirst(first)
	b.setEnd(first)
	return ref, b
}

// appendRun adds a run behind what the block has; false when it has no room.
func (b listBlock) appendRun(r span) bool {
	var buf [listRunMax]byte
	rec := binary.AppendUvarint(buf[:0], uint64(r.from-b.end())<<1|min(uint64(r.to-r.from-1), 1))
	if n := r.to - r.from; n > 1 {
		rec = binary.AppendUvarint(rec, uint64(n-2))
	}
	used := b.used()
	if listHeader+used+len(rec) > len(b) {
		return false
	}
	copy(b[listHeader+used:], rec)
	b.setUsed(used + len(rec))
	b.setEnd(r.to)
	return true
}

// nextRun reads one run of a block; end is the end of the run before.
func nextRun(rec []byte, end uint32) (r span, rest []byte) {
	v, k := uint64(rec[0]), 1
	if v >= 0x80 {
		v, k = binary.Uvarint(rec)
	}
	r.from = end + uint32(v>>1)
	r.to = r.from + 1
	if v&1 != 0 {
		more, j := binary.Uvarint(rec[k:])
		r.to += 1 + uint32(more)
		k += j
	}
	return r, rec[k:]
}

// add puts a number in that is not there.
func (ls *lists) add(l *list, v uint32) {
	switch {
	case l.count == 0:
		*l = list{count: 1, last: v, run: 1}
	case v == l.last+1:
		l.count, l.last, l.run = l.count+1, v, l.run+1
	case v > l.last:
		ls.close(l, span{l.last + 1 - l.run, l.last + 1})
		l.count, l.last, l.run = l.count+1, v, 1
	default:
		l.count++
		ls.insert(l, v)
	}
}

// close moves a run behind all blocks into them.
func (ls *lists) close(l *list, r span) {
	if l.tail != 0 && ls.block(l.tail).appendRun(r) {
		return
	}
	ref, b := ls.alloc(int(l.count), r.from) // about as much again as the list has
	if l.tail == 0 {
		b.setNext(ref)
	} else {
		tail := ls.block(l.tail)
		b.setNext(tail.next())
		tail.setNext(ref)
	}
	b.appendRun(r) // a new block has room for one
	l.tail = ref
}

// insert puts a number in before the last.
func (ls *lists) insert(l *list, v uint32) {
	if v+1 == l.last+1-l.run { // before the last run
		l.run++
		return
	}
	if l.tail == 0 || v >= ls.block(l.tail).end() {
		ls.close(l, span{v, v + 1})
		return
	}
	at := ls.block(l.tail).next()
	b := ls.block(at)
	for at != l.tail {
		next := ls.block(b.next())
		if next.first() > v {
			break
		}
		at, b = b.next(), next
	}
	var runs [listBlockMax]span
	n, placed := 0, false
	for rec, end := b.runs(), b.first(); len(rec) > 0; n++ {
		var r span
		r, rec = nextRun(rec, end)
		end = r.to
		if !placed && v < r.from {
			runs[n], placed = span{v, v + 1}, true
			n++
		}
		runs[n] = r
	}
	if !placed {
		runs[n] = span{v, v + 1}
		n++
	}
	ls.rewrite(l, at, fused(runs[:n]))
}

// fused makes one run of neighbours that touch.
func fused(runs []span) []span {
	out := runs[:0]
	for _, r := range runs {
		if k := len(out) - 1; k >= 0 && out[k].to == r.from {
			out[k].to = r.to
			continue
		}
		out = append(out, r)
	}
	return out
}

// rewrite gives a block other runs. When they have no room, half of them and
// what else is too much go to new blocks behind it.
func (ls *lists) rewrite(l *list, at arena.BlockRef, runs []span) {
	b := ls.block(at)
	n := b.fill(runs)
	if n == len(runs) {
		return
	}
	n = b.fill(runs[:min(n, (len(runs)+1)/2)])
	size := 2 * len(b)
	for runs = runs[n:]; len(runs) > 0; runs = runs[n:] {
		ref, more := ls.alloc(size, runs[0].from)
		n = more.fill(runs)
		b = ls.block(at) // the slab may have moved
		more.setNext(b.next())
		b.setNext(ref)
		if l.tail == at {
			l.tail = ref
		}
		at = ref
	}
}

// fill sets the runs of a block to as many of some as it has room for, and
// returns how many: one at least.
func (b listBlock) fill(runs []span) (n int) {
	b.setUsed(0)
	b.setFirst(runs[0].from)
	b.setEnd(runs[0].from)
	for n < len(runs) && b.appendRun(runs[n]) {
		n++
	}
	return n
}

// each calls do for the runs of a list, in order.
func (ls *lists) each(l *list, do func(span)) {
	if l.tail != 0 {
		for at := ls.block(l.tail).next(); ; {
			b := ls.block(at)
			for rec, end := b.runs(), b.first(); len(rec) > 0; {
				var r span
				r, rec = nextRun(rec, end)
				end = r.to
				do(r)
			}
			if at == l.tail {
				break
			}
			at = b.next()
		}
	}
	if l.count > 0 {
		do(span{l.last + 1 - l.run, l.last + 1})
	}
}

// remove takes numbers out, sorted ones, those of them that are there.
func (ls *lists) remove(l *list, gone []uint32) {
	if len(gone) == 0 || l.count == 0 {
		return
	}
	if l.tail == 0 || gone[len(gone)-1] > l.last-l.run {
		ls.rebuild(l, gone)
		return
	}
	prev, at := l.tail, ls.block(l.tail).next()
	for last := false; !last && len(gone) > 0; {
		b := ls.block(at)
		next := b.next()
		last = at == l.tail
		n := 0
		for n < len(gone) && gone[n] < b.end() {
			n++
		}
		var buf [2 * listBlockMax]span
		left, count := without(buf[:0], b, gone[:n])
		gone = gone[n:]
		switch {
		case count == 0:
		case len(left) == 0 && at == prev: // the only block
			ls.slab.Free(at, len(b))
			l.tail, last = 0, true
		case len(left) == 0:
			ls.block(prev).setNext(next)
			if last {
				l.tail = prev
			}
			ls.slab.Free(at, len(b))
			at = prev
		default:
			ls.rewrite(l, at, left)
			for ls.block(at).next() != next { // half of it went to a new block
				at = ls.block(at).next()
			}
		}
		l.count -= uint32(count)
		prev, at = at, next
	}
}

// without appends the runs of a block but for some of its numbers, and returns
// how many of these there were.
func without(dst []span, b listBlock, gone []uint32) (left []span, count int) {
	for rec, end := b.runs(), b.first(); len(rec) > 0; {
		var r span
		r, rec = nextRun(rec, end)
		end = r.to
		for len(gone) > 0 && gone[0] < r.from {
			gone = gone[1:]
		}
		for ; len(gone) > 0 && gone[0] < r.to; gone = gone[1:] {
			if r.from < gone[0] {
				dst = append(dst, span{r.from, gone[0]})
			}
			r.from = gone[0] + 1
			count++
		}
		if r.from < r.to {
			dst = append(dst, r)
		}
	}
	return dst, count
}

// rebuild makes a list anew without some numbers.
func (ls *lists) rebuild(l *list, gone []uint32) {
	var runs []span
	ls.each(l, func(r span) { runs = append(runs, r) })
	ls.free(l)
	for _, r := range runs {
		for len(gone) > 0 && gone[0] < r.from {
			gone = gone[1:]
		}
		for ; len(gone) > 0 && gone[0] < r.to; gone = gone[1:] {
			ls.addRun(l, span{r.from, gone[0]})
			r.from = gone[0] + 1
		}
		ls.addRun(l, r)
	}
}

// addRun adds numbers that are larger than all of the list.
func (ls *lists) addRun(l *list, r span) {
	n := r.to - r.from
	switch {
	case n == 0:
		return
	case l.count > 0 && l.last+1 == r.from:
		l.run += n
	default:
		if l.count > 0 {
			ls.close(l, span{l.last + 1 - l.run, l.last + 1})
		}
		l.run = n
	}
	l.count, l.last = l.count+n, r.to-1
}

// free gives the memory of a list back.
func (ls *lists) free(l *list) {
	if l.tail != 0 {
		for at := ls.block(l.tail).next(); ; {
			b := ls.block(at)
			next, last := b.next(), at == l.tail
			ls.slab.Free(at, len(b))
			if last {
				break
			}
			at = next
		}
	}
	*l = list{}
}
