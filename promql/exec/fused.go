package exec

import (
	"context"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/schema"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// Lanes are added to independently, so that several workers find work, and
// merged at the end. Their number is a function of the query alone: results
// must not depend on who did what.
const (
	lanesMax = 8
	// laneCellsMax bounds the memory that lanes beyond the first can cost: 2 Mi
	// cells in eight lanes are about 300 MB.
	laneCellsMax = 2 << 20
)

// fusedSteps is how many steps of a series go through kernel and accumulator
// at a time: three arrays of them stay in a first-level cache of 32 KiB.
const fusedSteps = 512

// fused is the rowSink of an aggregation.
type fused struct {
	run      *Run
	op       parser.ItemType
	grid     function.Grid
	loseName bool // the input's rows have no metric name
	grouping *grouping
	groupOf  []int32    // by rank
	lanes    [][]*cells // by lane and group
	nonEmpty []bool     // by rank
	held     []int64    // bytes counted, by lane
	spent    [][]float64
	// rows are kept, if not nil, and added in label order at the end.
	rows *pending
	// filter, if not nil, takes values away from rows; kept is its memory, by lane.
	filter *filter
	kept   []Bits
	where  string
}

func (f *fused) piece() int { return fusedSteps }

func (f *fused) begin(s storage.Scan) (int, error) {
	n := s.Series()
	if err := f.run.q.Budget.takeBytes(int64(n)*8, f.where); err != nil {
		return 0, err
	}
	f.groupOf, f.nonEmpty = make([]int32, n), make([]bool, n)
	f.groupAll(s)
	groups := len(f.grouping.labels)
	if int64(n)*int64(f.grid.Steps) <= orderedMax {
		return f.beginOrdered(n, groups)
	}
	lanes := lanesFor(n, groups)
	if int64(groups)*int64(f.grid.Steps) > laneCellsMax {
		lanes = 1
	}
	f.lanes, f.held = make([][]*cells, lanes), make([]int64, lanes)
	for i := range f.lanes {
		f.lanes[i] = make([]*cells, groups)
	}
	if f.filter != nil {
		f.kept = make([]Bits, lanes)
		for i := range f.kept {
			f.kept[i] = newBits(f.grid.Steps)
		}
	}
	return lanes, nil
}

// lanesFor is how many lanes so many series are worth: to merge a lane costs each
// group what another series does, and two lanes are enough for two workers.
func lanesFor(series, groups int) int {
	switch each := series / max(groups, 1); {
	case each < 4:
		return 2
	case each < 16:
		return 4
	}
	return lanesMax
}

// groupAll finds the groups of all series.
func (f *fused) groupAll(s storage.Scan) {
	g, ok := s.(storage.Grouper)
	if !ok {
		for rank := range f.groupOf {
			f.groupOf[rank] = f.group(s, uint32(rank))
		}
		return
	}
	gr := f.grouping
	names := gr.names
	if f.loseName {
		names = slices.DeleteFunc(slices.Clone(names), schema.IsMetadataLabel)
		if gr.without {
			names = appendSorted(names, metadataLabels...)
		}
	}
	for _, rank := range g.Groups(names, gr.without, f.groupOf) {
		b := labels.NewBuilder(s.Labels(rank))
		if gr.without {
			b.Del(names...)
		} else {
			b.Keep(names...)
		}
		gr.labels = append(gr.labels, b.Labels())
	}
}

// metadataLabels are those that go where a name is lost.
var metadataLabels = []string{model.MetricNameLabel, model.MetricTypeLabel, model.MetricUnitLabel}

// group finds the group of a series. Grouping by labels asks for those alone.
func (f *fused) group(s storage.Scan, rank uint32) int32 {
	gr := f.grouping
	if gr.without {
		lset := s.Labels(rank)
		if f.loseName {
			lset = dropNames(lset)
		}
		return gr.group(lset)
	}
	gr.buf = gr.buf[:0]
	for _, name := range gr.names {
		gr.buf = append(gr.buf, f.label(s, rank, name)...)
		gr.buf = append(gr.buf, 0xff)
	}
	at, ok := gr.index[string(gr.buf)]
	if !ok {
		b := labels.NewBuilder(labels.EmptyLabels())
		for _, name := range gr.names {
			b.Set(name, f.label(s, rank, name))
		}
		at = gr.add(string(gr.buf), b.Labels())
	}
	return at
}

func (f *fused) label(s storage.Scan, rank uint32, name string) string {
	if f.loseName && schema.IsMetadataLabel(name) {
		return ""
	}
	return s.LabelValue(rank, name)
}

func (f *fused) take(lane int, rank uint32, from int, v []float64, present Bits) error {
	f.nonEmpty[rank] = true
	if f.filter != nil {
		return f.takeFiltered(lane, rank, from, v, present)
	}
	if f.rows != nil {
		f.rows.take(rank, from, v, present)
		return nil
	}
	return f.add(lane, rank, from, v, present)
}

// takeMixed cannot add up histograms.
func (f *fused) takeMixed(lane int, rank uint32, v []float64, h []*histogram.FloatHistogram, present Bits) error {
	if h != nil {
		return errHistograms
	}
	return f.take(lane, rank, 0, v, present)
}

func (f *fused) add(lane int, rank uint32, from int, v []float64, present Bits) error {
	c, err := f.cellsOf(lane, rank)
	if err != nil {
		return err
	}
	c.addPiece(from, v, present)
	return nil
}

// cellsOf returns the cells of a series' group in a lane.
func (f *fused) cellsOf(lane int, rank uint32) (*cells, error) {
	c := &f.lanes[lane][f.groupOf[rank]]
	if *c == nil {
		need := int64(f.grid.Steps) * cellBytes(f.op)
		if err := f.run.q.Budget.takeBytes(need, f.where); err != nil {
			return nil, err
		}
		f.held[lane] += need
		*c = newCells(f.op, f.grid.Steps, f.run.q.Budget.pool.arrays.get(cellValues(f.op)*f.grid.Steps))
	}
	return *c, nil
}

// merged returns the row of every group; of those without a value it is empty. They
// are in memory that spend gives back.
func (f *fused) merged() ([]groupRow, error) {
	if f.rows != nil {
		for rank, some := range f.nonEmpty {
			if !some {
				continue
			}
			v, present := f.rows.row(rank)
			if err := f.add(0, uint32(rank), 0, v, present); err != nil {
				return nil, err
			}
		}
		f.run.q.Budget.pool.arrays.put(f.rows.v)
		f.rows.v = nil
	}
	out := make([]groupRow, len(f.grouping.labels))
	for group := range out {
		var all *cells
		for _, lane := range f.lanes {
			switch {
			case lane[group] == nil:
			case all == nil:
				all = lane[group]
			default:
				all.merge(lane[group])
				f.run.q.Budget.pool.arrays.put(lane[group].memory)
			}
		}
		if all == nil {
			continue
		}
		var err error
		if out[group], err = all.row(); err != nil {
			return nil, err
		}
		f.spent = append(f.spent, all.memory)
	}
	return out, nil
}

// spend gives the memory of the rows back, for other queries to use.
func (f *fused) spend() {
	for _, memory := range f.spent {
		f.run.q.Budget.pool.arrays.put(memory)
	}
	f.spent = nil
}

// release gives back what the sink counted.
func (f *fused) release() {
	f.run.q.Budget.giveBytes(int64(len(f.groupOf)) * 8)
	for _, n := range f.held {
		f.run.q.Budget.giveBytes(n)
	}
}

// flowingSource is the input of a fused aggregation as a source.
func (r *Run) flowingSource(ctx context.Context, n *plan.Aggregate, g function.Grid) (*rowSource, error) {
	rows := n.Rows()
	if call, ok := rows.(*plan.Call); ok {
		return r.rangeSource(ctx, call, g)
	}
	return r.instantSource(rows.(*plan.Instant)), nil
}

// aggregateFused aggregates the rows of a selector, or of a range function over
// one, as they come from the columns, or what a comparison leaves of them.
func (r *Run) aggregateFused(ctx context.Context, n *plan.Aggregate, g function.Grid) (Matrix, error) {
	src, err := r.flowingSource(ctx, n, g)
	if err != nil {
		return Matrix{}, err
	}
	return r.do(ctx, r.aggregation(n, src, g), g)
}

// aggregation is the work of aggregateFused.
func (r *Run) aggregation(n *plan.Aggregate, src *rowSource, g function.Grid) *job {
	only := filterOf(n)
	if only == nil && (n.Op == parser.COUNT || n.Op == parser.GROUP) {
		// Which steps have a value depends on times alone.
		src.fn = src.fn.Presence()
	}
	f := &fused{
		run: r, op: n.Op, grid: g, grouping: newGrouping(n.Grouping, n.Without), filter: only,
		loseName: !src.fn.KeepsName && !r.q.DelayedNames,
		where:    "the aggregation " + n.Op.String(),
	}
	end := func(s storage.Scan) error {
		if err := r.checkParams(src, g); err != nil {
			return err
		}
		return r.checkRows(s, src, f)
	}
	result := func() (Matrix, error) {
		rows, err := f.merged()
		if err != nil {
			return Matrix{}, err
		}
		m := Matrix{Grid: g}
		for i, c := range rows {
			if c.v == nil {
				continue
			}
			if row, ok := newRow(f.grouping.labels[i], c.v, c.present); ok {
				row.DropName = !src.fn.KeepsName
				m.Rows = append(m.Rows, row)
			}
		}
		f.spend()
		return r.hold(m, f.where)
	}
	return &job{src: src, sink: f, end: end, result: result, drop: f.release, done: f.release}
}

// checkRows does for rows that were never made what collect does for those
// that were: remarks on names, and the check that no two have the same labels.
func (r *Run) checkRows(s storage.Scan, src *rowSource, f *fused) error {
	unique := !f.loseName
	if src.scan.NameFixed {
		unique = unique || !f.described(s)
		if unique && !r.q.TypeAndUnitLabels && slices.Contains(f.nonEmpty, true) {
			r.notice(src, src.scan.Name, "")
			return nil
		}
	}
	if unique && !src.fn.Counter {
		return nil
	}
	seen := make(map[uint64]struct{}, s.Series())
	for rank, some := range f.nonEmpty {
		if !some {
			continue
		}
		r.notice(src, s.LabelValue(uint32(rank), model.MetricNameLabel), s.LabelValue(uint32(rank), typeLabel))
		if unique {
			continue
		}
		h := dropNames(s.Labels(uint32(rank))).Hash()
		if _, ok := seen[h]; ok {
			return errSameLabels()
		}
		seen[h] = struct{}{}
	}
	return nil
}

// described reports whether a series with a row has labels besides the name
// that are dropped with it.
func (f *fused) described(s storage.Scan) bool {
	if g, ok := s.(storage.Grouper); ok {
		describing := metadataLabels[1:]
		first := g.Groups(describing, false, make([]int32, s.Series()))
		if len(first) == 0 || len(first) == 1 && !f.describedBy(s, first[0]) { // nearly always
			return false
		}
	}
	for rank, some := range f.nonEmpty {
		if some && f.describedBy(s, uint32(rank)) {
			return true
		}
	}
	return false
}

func (f *fused) describedBy(s storage.Scan, rank uint32) bool {
	return s.LabelValue(rank, model.MetricTypeLabel) != "" || s.LabelValue(rank, model.MetricUnitLabel) != ""
}

// appendSorted returns a copy of names with more in their places.
func appendSorted(names []string, more ...string) []string {
	out := append(slices.Clone(names), more...)
	slices.Sort(out)
	return slices.Compact(out)
}
