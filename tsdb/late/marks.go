package late

// Marks say which late samples are in blocks. The zero value says: none.
type Marks struct {
	// All is the sequence up to which every late sample is in a block.
	All uint64
	// Spans have more in blocks than All.
	Spans []SpanMark
}

// SpanMark says that the late samples at times [From, To) up to a sequence are
// in blocks.
type SpanMark struct {
	From, To int64
	Seq      uint64
}

// At is the sequence up to which late samples at a time are in blocks.
func (m Marks) At(t int64) uint64 {
	seq := m.All
	for _, s := range m.Spans {
		if s.From <= t && t < s.To {
			seq = max(seq, s.Seq)
		}
	}
	return seq
}

// Last is the highest sequence that is in a block.
func (m Marks) Last() uint64 {
	seq := m.All
	for _, s := range m.Spans {
		seq = max(seq, s.Seq)
	}
	return seq
}

// of is At for all times of a span, which no mark may cut: then what a mark
// says is left out, and a sample may be seen twice with one value.
func (m Marks) of(from, to int64) uint64 {
	seq := m.All
	for _, s := range m.Spans {
		if s.From <= from && to <= s.To {
			seq = max(seq, s.Seq)
		}
	}
	return seq
}
