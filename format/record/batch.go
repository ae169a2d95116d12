package record

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
)

// Flags of a batch.
const (
	// FlagBodyStale: every present member that the batch does not mention is
	// stale at its position.
	FlagBodyStale = 1
	// FlagTakeover: a new writer has come; nothing is known to continue that the
	// batch does not mention.
	FlagTakeover = 2

	// Behind the values stand histograms, then start timestamps: the writer sets
	// these.
	flagHistograms = 4
	flagStarts     = 8

	batchFlagsMask = FlagBodyStale | FlagTakeover | flagHistograms | flagStarts
)

// BatchWriter encodes the body of a batch record: a header, then new members,
// stale markers, histograms, start timestamps and values, each in order of
// slots. Slots, codes and operands of values stand apart: a frame takes each
// with those of other batches, where they compress best (see stripes).
type BatchWriter struct {
	Group, Seq uint64
	Time       int64
	Flags      byte

	members, stale         []byte
	slots, codes, operands []byte // of values
	memberCount            int
	valueCount, staleCount int
	lastMember, lastValue  int64
	lastStale              int64
	lastSeries             uint64
	histograms, starts     section
}

// Reset begins a new batch and keeps the memory.
func (w *BatchWriter) Reset(group, seq uint64, time int64, flags byte) {
	*w = BatchWriter{
		Group: group, Seq: seq, Time: time, Flags: flags,
		members: w.members[:0], stale: w.stale[:0], slots: w.slots[:0], codes: w.codes[:0], operands: w.operands[:0], lastMember: -1, lastValue: -1, lastStale: -1,
		histograms: section{data: w.histograms.data[:0], last: -1}, starts: section{data: w.starts.data[:0], last: -1},
	}
}

// AddMember introduces a new member; slots increase.
func (w *BatchWriter) AddMember(slot uint32, series uint64, lset labels.Labels) {
	w.members = appendSlot(w.members, w.lastMember, slot)
	w.members = appendSeries(w.members, w.lastSeries, series)
	w.members = appendLabels(w.members, lset)
	w.lastMember, w.lastSeries = int64(slot), series
	w.memberCount++
}

// AddValue adds the value of a member whose last one had the bits prev (0 when
// it had none); slots increase. hint is the member's.
func (w *BatchWriter) AddValue(slot uint32, prev, value uint64, hint *Hint) {
	w.add(slot, code(prev, value, hint))
}

// AddStep adds the value k/10^exp of a member whose last one times 10^exp is
// nearest to from, as AddValue would find it out. It adds nothing and is not ok
// where these are out of the log's bounds.
func (w *BatchWriter) AddStep(slot uint32, exp int, from, k int64) (ok bool) {
	if exp > exponentMax || from <= -scaledMax || from >= scaledMax || k <= -scaledMax || k >= scaledMax {
		return false
	}
	w.add(slot, step(exp, zigzag(k-from)))
	return true
}

func (w *BatchWriter) add(slot uint32, c coded) {
	w.slots = appendSlot(w.slots, w.lastValue, slot)
	w.codes = c.appendCode(w.codes)
	w.operands = c.appendOperand(w.operands)
	w.lastValue = int64(slot)
	w.valueCount++
}

// AddStale adds a stale marker; slots increase.
func (w *BatchWriter) AddStale(slot uint32) {
	w.stale = appendSlot(w.stale, w.lastStale, slot)
	w.lastStale = int64(slot)
	w.staleCount++
}

// Append appends the body to dst.
func (w *BatchWriter) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, w.Group)
	dst = binary.AppendUvarint(dst, w.Seq)
	dst = binary.AppendVarint(dst, w.Time)
	flags := w.Flags
	if w.histograms.count > 0 {
		flags |= flagHistograms
	}
	if w.starts.count > 0 {
		flags |= flagStarts
	}
	dst = append(dst, flags)
	for _, stripe := range [...][]byte{w.slots, w.codes, w.operands} {
		dst = binary.AppendUvarint(dst, uint64(len(stripe)))
	}
	dst = binary.AppendUvarint(dst, uint64(w.memberCount))
	dst = append(dst, w.members...)
	dst = binary.AppendUvarint(dst, uint64(w.staleCount))
	dst = append(dst, w.stale...)
	dst = binary.AppendUvarint(dst, uint64(w.valueCount))
	dst = w.starts.append(w.histograms.append(dst))
	return append(append(append(dst, w.slots...), w.codes...), w.operands...)
}

// Batch is a decoded batch record. Values are read one by one with Next, since
// each leans on the member's value before; then histograms with NextHistogram,
// then start timestamps with NextStart.
type Batch struct {
	Group, Seq uint64
	Time       int64
	Flags      byte
	New        []Member // Slot, Series and Labels only
	Stale      []uint32
	Count      int // of values
	// Histograms and Starts tell whether there are any behind the values.
	Histograms, Starts bool

	r      reader // up to the stripes of the values
	sizes  [stripeCount - 1]uint32
	values *values // nil before the first
	left   int
	prev   int64
	in     part
}

// values are the stripes of a batch's values: apart from it, because many
// batches wait for their turn in a replay.
type values struct{ slots, codes, operands reader }

// PeekBatch returns group and number of a batch or a leave: enough to know
// whether it is needed.
func PeekBatch(body []byte) (group, seq uint64, err error) {
	r := reader{data: body}
	group, seq = r.uvarint(), r.uvarint()
	return group, seq, r.err
}

// ReadBatch decodes the body of a batch record up to its values.
func ReadBatch(body []byte) (*Batch, error) {
	b := &Batch{r: reader{data: body}, prev: -1}
	r := &b.r
	b.Group, b.Seq, b.Time, b.Flags = r.uvarint(), r.uvarint(), r.varint(), r.byte()
	if b.Flags&^batchFlagsMask != 0 {
		r.fail("unknown flags of a batch")
	}
	b.readStripes()
	b.Histograms, b.Starts = b.Flags&flagHistograms != 0, b.Flags&flagStarts != 0
	b.Flags &^= flagHistograms | flagStarts
	n := r.count(3)
	builder := labels.NewScratchBuilder(16)
	prev, series := int64(-1), uint64(0)
	for range n {
		prev, series = r.slot(prev), r.series(series)
		m := Member{Slot: uint32(prev), Series: series, Labels: r.labels(&builder)}
		if r.err != nil {
			break
		}
		b.New = append(b.New, m)
	}
	n, prev = r.count(1), -1
	for range n {
		prev = r.slot(prev)
		if r.err != nil {
			break
		}
		b.Stale = append(b.Stale, uint32(prev))
	}
	count := r.uvarint()
	if count > uint64(min(b.sizes[0], b.sizes[1])) {
		r.fail("bad count")
	}
	b.Count, b.left = int(count), int(count)
	if r.err != nil {
		return nil, fmt.Errorf("batch: %w", r.err)
	}
	return b, nil
}

// readStripes reads the sizes of the values' stripes, and leaves r what stands
// before them.
func (b *Batch) readStripes() {
	r := &b.r
	sizes := r.stripeSizes()
	end := len(r.data)
	for i, n := range sizes {
		b.sizes[i] = uint32(n)
		end -= n
	}
	if end < r.pos {
		r.fail("stripes that are longer than their batch")
		return
	}
	r.data = r.data[:end]
}

// open makes readers of the values' stripes, which stand behind all the rest.
func (b *Batch) open() *values {
	from := len(b.r.data)
	stripe := func(size uint32) reader {
		at := from
		from += int(size)
		return reader{data: b.r.data[:from], pos: at}
	}
	return &values{stripe(b.sizes[0]), stripe(b.sizes[1]), stripe(b.sizes[2])}
}

// Next returns the slot of the next value; ok is false at the end. Bits must be
// called before the next Next.
func (b *Batch) Next() (slot uint32, ok bool, err error) { return b.next(inValues) }

// Bits returns the value of the slot that Next has returned, given the bits of
// the member's value before (0 when it had none, or a histogram).
func (b *Batch) Bits(prev uint64) (uint64, error) {
	v := b.values
	bits := readValue(&v.codes, &v.operands, prev)
	return bits, cmp.Or(v.codes.err, v.operands.err)
}
