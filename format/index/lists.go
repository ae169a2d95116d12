package index

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/nilometer/nilometer/format/postings"
)

// The postings of one name lie in blocks of listsPerBlock values, so that one
// offset serves many lists.
const (
	listsPerBlock = 64

	listsApart = 0 // each list by itself, after the lengths of its block
	listsInRow = 1 // each list is one run, and begins after the one before
)

// appendLists appends the postings of one name, in order of values.
func appendLists(dst []byte, lists []*postings.Encoder) ([]byte, error) {
	kind, blocks := listsInRow, [][]byte(nil)
	if !inRow(lists) {
		kind = listsApart
	}
	last := uint32(0)
	for from := 0; from < len(lists); from += listsPerBlock {
		block := lists[from:min(from+listsPerBlock, len(lists))]
		if kind == listsInRow {
			var b []byte
			b, last = appendInRow(nil, block, last)
			blocks = append(blocks, b)
			continue
		}
		b, err := appendApart(block)
		if err != nil {
			return dst, err
		}
		blocks = append(blocks, b)
	}
	size := 0
	for _, b := range blocks {
		size += len(b)
	}
	if size > math.MaxUint32 {
		return dst, fmt.Errorf("postings of %d bytes: at most 4 GiB are allowed", size)
	}
	width := 1
	for size>>(8*width) > 0 {
		width++
	}
	dst = append(dst, byte(kind<<4|width))
	at := 0
	for _, b := range blocks {
		for k := range width {
			dst = append(dst, byte(at>>(8*k)))
		}
		at += len(b)
	}
	for _, b := range blocks {
		dst = append(dst, b...)
	}
	return dst, nil
}

// inRow reports whether each list is one run that begins after the one before.
func inRow(lists []*postings.Encoder) bool {
	last := uint32(0)
	for _, l := range lists {
		run, ok := l.Single()
		if !ok || run.From < last {
			return false
		}
		last = run.To
	}
	return true
}

// appendInRow appends runs as the postings of one value would be, but for the
// first number: where the run before ends.
func appendInRow(dst []byte, lists []*postings.Encoder, last uint32) ([]byte, uint32) {
	dst = binary.AppendUvarint(dst, uint64(last))
	for _, l := range lists {
		run, _ := l.Single()
		gap := uint64(run.From - last)
		if n := run.To - run.From; n == 1 {
			dst = binary.AppendUvarint(dst, gap<<1)
		} else {
			dst = binary.AppendUvarint(dst, gap<<1|1)
			dst = binary.AppendUvarint(dst, uint64(n-2))
		}
		last = run.To
	}
	return dst, last
}

func appendApart(lists []*postings.Encoder) (block []byte, err error) {
	var body []byte
	for _, l := range lists {
		was := len(body)
		if body, err = l.AppendTo(body); err != nil {
			return nil, err
		}
		block = binary.AppendUvarint(block, uint64(len(body)-was))
	}
	return append(block, body...), nil
}

// readList reads the i-th of n lists in b, of ordinals below limit. The error
// comes with its offset in b.
func readList(b []byte, i, n int, limit uint32) (l postings.List, at int, err error) {
	if len(b) == 0 {
		return nil, 0, fmt.Errorf("no kind")
	}
	kind, width := b[0]>>4, int(b[0]&15)
	blocks := (n + listsPerBlock - 1) / listsPerBlock
	if kind > listsInRow || width < 1 || width > 4 || 1+width*blocks > len(b) {
		return nil, 0, fmt.Errorf("kind %d with %d offsets of %d bytes", kind, blocks, width)
	}
	block := i / listsPerBlock
	data := b[1+width*blocks:]
	from, to := fixed(b[1+width*block:], width), len(data)
	if block+1 < blocks {
		to = fixed(b[1+width*(block+1):], width)
	}
	if from > to || to > len(data) {
		return nil, 1 + width*block, fmt.Errorf("a block from %d to %d of %d", from, to, len(data))
	}
	at = 1 + width*blocks + from
	r := reader{b: data[from:to]}
	count := min(listsPerBlock, n-block*listsPerBlock)
	if kind == listsInRow {
		l, err = r.inRow(i%listsPerBlock, limit)
	} else {
		l, err = r.apart(i%listsPerBlock, count, limit)
	}
	return l, at + r.off, err
}

// inRow reads the i-th run of a block.
func (r *reader) inRow(i int, limit uint32) (postings.List, error) {
	last := r.uvarint(uint64(limit))
	for k := 0; ; k++ {
		x, n := r.uvarint(uint64(limit)<<1|1), uint64(1)
		if x&1 == 1 {
			n = r.uvarint(uint64(limit)) + 2
		}
		from := last + x>>1
		last = from + n
		if r.bad || last > uint64(limit) {
			return nil, fmt.Errorf("a run that ends at %d of %d series", last, limit)
		}
		if k == i {
			return postings.List{{From: uint32(from), To: uint32(last)}}, nil
		}
	}
}

// apart reads the i-th of count lists.
func (r *reader) apart(i, count int, limit uint32) (postings.List, error) {
	from, length := uint64(0), uint64(0)
	for k := range count {
		n := r.uvarint(uint64(len(r.b)))
		if k < i {
			from += n
		} else if k == i {
			length = n
		}
	}
	if r.bad || from+length > uint64(len(r.b)-r.off) {
		return nil, fmt.Errorf("a list of %d bytes after %d of %d", length, from, len(r.b)-r.off)
	}
	r.off += int(from)
	l, err := postings.Decode(r.b[r.off:r.off+int(length)], limit)
	return l, err
}
