package exec

// orderedMax is the number of points up to which an aggregation keeps its rows
// until all have come, and adds them in label order: upstream's, so that sums
// agree bit for bit. 2 MiB: what a second-level cache holds. Larger inputs are
// added as they come, and agree to the last bit or two.
const orderedMax = 256 << 10

// pending are rows that wait for their turn. Workers fill different rows at the
// same time.
type pending struct {
	steps, words int
	v            []float64
	present      []uint64
	partial      []bool // by rank: present counts; else the row is whole
}

func (f *fused) beginOrdered(series, groups int) (lanes int, err error) {
	p := &pending{steps: f.grid.Steps, words: (f.grid.Steps + 63) / 64}
	need := int64(series) * (int64(p.steps+p.words)*8 + 1)
	if err := f.run.q.Budget.takeBytes(need, f.where); err != nil {
		return 0, err
	}
	p.v = f.run.q.Budget.pool.arrays.get(series * p.steps)
	p.present = make([]uint64, series*p.words)
	p.partial = make([]bool, series)
	f.rows = p
	f.lanes, f.held = [][]*cells{make([]*cells, groups)}, []int64{need}
	return 0, nil
}

func (p *pending) take(rank uint32, from int, v []float64, present Bits) {
	at := int(rank) * p.steps
	copy(p.v[at+from:], v)
	if present != nil && from == 0 {
		p.partial[rank] = true
		copy(p.present[int(rank)*p.words:], present)
	}
}

func (p *pending) row(rank int) ([]float64, Bits) {
	v := p.v[rank*p.steps : (rank+1)*p.steps]
	if !p.partial[rank] {
		return v, nil
	}
	return v, Bits(p.present[rank*p.words : (rank+1)*p.words])
}
