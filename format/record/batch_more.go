package record

import (
	"encoding/binary"

	"github.com/nilometer/nilometer/model/column"
)

// section is what stands behind the values of a batch, if there is any: a
// count, then entries in order of slots.
type section struct {
	data  []byte
	count int
	last  int64 // slot
}

func (s *section) slot(slot uint32) {
	s.data = appendSlot(s.data, s.last, slot)
	s.last = int64(slot)
	s.count++
}

func (s *section) append(dst []byte) []byte {
	if s.count == 0 {
		return dst
	}
	return append(binary.AppendUvarint(dst, uint64(s.count)), s.data...)
}

// AddHistogram adds a member's histogram as AppendHistogram has written it,
// against the member's value before; slots increase.
func (w *BatchWriter) AddHistogram(slot uint32, histogram []byte) {
	w.histograms.slot(slot)
	w.histograms.data = append(w.histograms.data, histogram...)
}

// AddStart says that a member's start timestamp is start from this position on
// (0: none); slots increase.
func (w *BatchWriter) AddStart(slot uint32, start int64) {
	w.starts.slot(slot)
	x := uint64(0)
	if start != 0 {
		x = zigzag(w.Time-start) + 1
	}
	w.starts.data = binary.AppendUvarint(w.starts.data, x)
}

// part is where the reading of a batch stands.
type part uint8

const (
	inValues part = iota
	inHistograms
	inStarts
)

// next returns the slot of the next entry of a part. The parts are read in
// their order, each to its end.
func (b *Batch) next(in part) (slot uint32, ok bool, err error) {
	for b.in < in && b.left == 0 && b.r.err == nil {
		b.in++
		b.prev = -1
		if b.in == inHistograms && b.Histograms || b.in == inStarts && b.Starts {
			b.left = b.r.count(2)
		}
	}
	if b.in != in {
		b.r.fail("parts of a batch that are read out of order")
	}
	if b.r.err != nil {
		return 0, false, b.r.err
	}
	r := &b.r
	if in == inValues {
		if b.values == nil {
			b.values = b.open()
		}
		r = &b.values.slots
	}
	if b.left == 0 {
		return 0, false, b.endOf(in)
	}
	b.left--
	b.prev = r.slot(b.prev)
	return uint32(b.prev), r.err == nil, r.err
}

// endOf checks that nothing stands behind a part that should not.
func (b *Batch) endOf(in part) error {
	var ended []*reader
	if in == inValues {
		ended = []*reader{&b.values.slots, &b.values.codes, &b.values.operands}
	}
	if last := in == inStarts || in == inHistograms && !b.Starts || !b.Starts && !b.Histograms; last {
		ended = append(ended, &b.r)
	}
	for _, r := range ended {
		if r.err == nil && r.pos != len(r.data) {
			r.fail("bytes after the end of a batch")
		}
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// NextHistogram returns the slot of the next histogram; ok is false at the end.
// It is called when Next has come to its end; Histogram must be called before
// the next NextHistogram.
func (b *Batch) NextHistogram() (slot uint32, ok bool, err error) { return b.next(inHistograms) }

// Histogram returns the histogram of the slot that NextHistogram has returned,
// given the member's one before (zero when its last value was none).
func (b *Batch) Histogram(prev column.Histogram) (column.Histogram, error) {
	h := b.r.histogram(prev)
	if b.r.err != nil {
		return column.Histogram{}, b.r.err
	}
	return h, nil
}

// NextStart returns the slot of the next start timestamp; ok is false at the
// end. It is called when NextHistogram has come to its end; Start must be called
// before the next NextStart.
func (b *Batch) NextStart() (slot uint32, ok bool, err error) { return b.next(inStarts) }

// Start returns the start timestamp of the slot that NextStart has returned, 0
// for none.
func (b *Batch) Start() (int64, error) {
	x := b.r.uvarint()
	if x == 0 {
		return 0, b.r.err
	}
	x--
	return b.Time - (int64(x>>1) ^ -int64(x&1)), b.r.err
}
