package exec

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/promql/parser/posrange"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// rowSource is a scan with a kernel over it: it makes one row of each series.
type rowSource struct {
	scan *plan.Scan
	when plan.When
	// rangeMs is the window's length: the lookback of instant selectors.
	rangeMs int64
	fn      function.RangeFunc
	params  [][]float64
	// staleEnds: a stale marker is a sample, and the row is absent where it is
	// the last one (instant selectors). Otherwise markers are left out.
	staleEnds bool
	// anchored and smoothed are the range's modifiers; its samples reach behind
	// and ahead (ms) of the window.
	anchored, smoothed bool
	behind, ahead      int64
	// starts: start timestamps count.
	starts bool
	// general: no kernel knows this function, all windows go to fn.Span.
	general bool
	// touched, if not nil, collects the steps at which some series has a sample,
	// or with floatsTouch those at which some series has a float.
	touched     Bits
	floatsTouch bool
	// noted are the remarks on the series of each rank, complete when rows ends.
	noted map[uint32]noted
	// raw, if not nil, gets the samples of the first step's window instead of
	// the sink getting rows. It is called from several goroutines.
	raw func(rank uint32, t []int64, v []float64, h []function.HistogramPoint) error
	// only, if not nil, tells which rows may be left out.
	only  *filter
	where string
	// pos is the place of the range in the text, firstPos that of the function's
	// first argument, paramPos that of a parameter that is checked.
	pos, firstPos, paramPos posrange.PositionRange
}

// seconds is the window's length as upstream computes it.
func (s *rowSource) seconds() float64 {
	return (time.Duration(s.rangeMs) * time.Millisecond).Seconds()
}

// rowSink takes the rows of a rowSource.
type rowSink interface {
	// begin is called once, before any row. It returns the number of lanes, 0
	// when the order of rows does not matter.
	begin(s storage.Scan) (lanes int, err error)
	// take gets the values of the steps [from, from+len(v)) of a series; present
	// (over all steps) is not empty and the same for all pieces. Rows of a lane
	// come in order, from one goroutine at a time; without lanes rows of
	// different ranks come at the same time. v and present are only valid during
	// the call.
	take(lane int, rank uint32, from int, v []float64, present Bits) error
	// takeMixed is take of a whole row in which some values are histograms; h
	// may be nil.
	takeMixed(lane int, rank uint32, v []float64, h []*histogram.FloatHistogram, present Bits) error
	// piece is the largest number of steps of one take.
	piece() int
}

// timesOnly: nothing is made of values.
func (s *rowSource) timesOnly() bool {
	return s.fn.TimesOnly && !s.fn.Kinds && !s.general && s.raw == nil
}

// rows runs a source into a sink and calls end before the scan is closed.
func (r *Run) rows(ctx context.Context, src *rowSource, g function.Grid, sink rowSink, end func(storage.Scan) error) error {
	scan, err := r.selects(ctx, storage.Selection{
		Matchers: src.scan.Matchers, MinTime: src.scan.MinTime, MaxTime: src.scan.MaxTime, Partial: r.q.Partial,
		TimesOnly: src.timesOnly(),
	}, src.where)
	if err != nil {
		return err
	}
	defer scan.Close()
	st := &strand{src: src, sink: sink}
	if err := st.begin(scan); err != nil {
		return err
	}
	if err := r.work(ctx, g, scan, st); err != nil {
		return err
	}
	r.merge(scan.Warnings())
	r.remarkAll(src, scan)
	return end(scan)
}

// selects asks storage, and counts the series.
func (r *Run) selects(ctx context.Context, sel storage.Selection, where string) (storage.Scan, error) {
	scan, err := r.q.View.Select(ctx, sel)
	if err != nil {
		return nil, fmt.Errorf("select series: %w", err)
	}
	if err := r.q.Budget.takeSeries(int64(scan.Series()), where); err != nil {
		r.q.Budget.giveSeries(int64(scan.Series()))
		scan.Close()
		return nil, err
	}
	r.seriesSelected.Add(int64(scan.Series()))
	return scan, nil
}

// remarkAll says what was noted about the series of a scan.
func (r *Run) remarkAll(src *rowSource, scan storage.Scan) {
	for rank, n := range src.noted {
		r.remark(n, scan.LabelValue(rank, model.MetricNameLabel), src.pos, src.firstPos)
	}
}
