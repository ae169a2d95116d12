package exec

import (
	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/simd"
	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// spans applies a range function to series whose samples may be of both kinds,
// sample by sample: what the kernels, which know floats in columns, leave out.
// One goroutine uses it; its buffers are reused from series to series.
type spans struct {
	src  *rowSource
	grid function.Grid

	floats []function.FloatPoint
	hists  []function.HistogramPoint
	// Columns of the floats, and the times of all samples, for kernels.
	floatTimes, times []int64
	values            []float64
	histTimes         []int64

	floatWin, histWin, allWin function.Windows
	resets                    []int32
	scratch                   function.Scratch

	out     []float64
	h       []*histogram.FloatHistogram
	present Bits
	// general: every window goes to the span function.
	general bool
	// touched, the owner's, are the steps whose window has a sample that counts.
	touched Bits
	noted   noted
}

func newSpans(src *rowSource, g function.Grid) *spans {
	s := &spans{src: src, grid: g, out: make([]float64, g.Steps), present: newBits(g.Steps)}
	for _, win := range []*function.Windows{&s.floatWin, &s.histWin, &s.allWin} {
		win.Grid, win.RangeMs = g, src.rangeMs+src.behind+src.ahead
		win.Reference = func(step int) int64 { return src.when.Reference(g.At(step)) + src.ahead }
	}
	return s
}

// reset forgets the samples.
func (s *spans) reset() { s.floats, s.hists = s.floats[:0], s.hists[:0] }

// load takes the samples of a series from a batch.
func (s *spans) load(values *storage.Values, buf *[]column.Sample, times []int64, chunks []storage.Chunk, tiles []storage.Tile) error {
	s.reset()
	var reset resetHints
	for j := range chunks {
		c, tile := &chunks[j], tiles[j]
		if c.Kind == storage.None {
			continue
		}
		if err := values.Decode(c, tile.Len()); err != nil {
			return err
		}
		*buf = values.AppendSamples((*buf)[:0], times[tile.From:tile.To], c.Runs)
		for _, x := range *buf {
			s.add(x, &reset)
		}
	}
	return nil
}

// add takes one sample. Stale markers are left out unless they end lookback.
func (s *spans) add(x column.Sample, reset *resetHints) {
	start := x.Start
	if !s.src.starts {
		start = 0
	}
	sought := s.seeks(x.T, reset)
	if x.H.IsZero() || x.H.IsStale() {
		reset.broken = true
	}
	if x.H.IsZero() {
		if s.src.staleEnds || !column.IsStale(x.V) {
			s.floats = append(s.floats, function.FloatPoint{T: x.T, V: x.V, Start: start})
		}
		return
	}
	if x.H.IsStale() {
		if s.src.staleEnds {
			s.floats = append(s.floats, function.FloatPoint{T: x.T, V: column.StaleNaN(), Start: start})
		}
		return
	}
	h := reset.hinted(x.H)
	if s.src.scan != nil && s.src.scan.StatsOnly {
		// Without buckets nobody can see a reset any more.
		h = &histogram.FloatHistogram{CounterResetHint: h.CounterResetHint, Schema: h.Schema, Count: h.Count, Sum: h.Sum}
		switch {
		case sought:
		case reset.found:
			h.CounterResetHint = histogram.CounterReset
		case reset.compared:
			h.CounterResetHint = histogram.NotCounterReset
		}
	}
	s.hists = append(s.hists, function.HistogramPoint{T: x.T, H: h, Start: start})
}

// resetHints say of the histograms of a series, in order of time, whether each
// is a reset. It is looked at once here, and not once for every window that a
// sample is in.
//
// Like upstream's chunks it says for sure what is not a reset, and leaves the
// others unknown: hints that contradict each other are worth a warning.
type resetHints struct {
	last *histogram.FloatHistogram
	// broken: a float or a stale marker came since.
	broken bool
	// compared: the newest was compared with the one before; found: it is a reset.
	compared, found bool
	// any: t is the time of the sample before; step: the first whose window does not
	// end before or at it.
	any  bool
	t    int64
	step int
}

// seeks notes the time of a sample and tells whether upstream comes to it by
// seeking the left bound of a step's window, from a sample before that bound.
// Where it decodes counts and sums alone it forgets then what it has seen.
func (s *spans) seeks(t int64, reset *resetHints) bool {
	if s.src.scan == nil || !s.src.scan.StatsOnly {
		return false
	}
	before, any := reset.t, reset.any
	reset.t, reset.any = t, true
	if !any {
		return false
	}
	for reset.step < s.grid.Steps && s.histWin.Reference(reset.step) <= before {
		reset.step++
	}
	if reset.step == 0 || reset.step == s.grid.Steps {
		return false
	}
	left := s.histWin.Reference(reset.step) - s.histWin.RangeMs
	return before < left && left <= t
}

// hinted returns h with a hint, unless it is the first of an unbroken run.
func (r *resetHints) hinted(x column.Histogram) *histogram.FloatHistogram {
	h := x.Float
	if h == nil {
		h = x.Int.ToFloat(nil)
	}
	last, broken := r.last, r.broken
	r.last, r.broken, r.compared, r.found = h, false, false, false
	if h.CounterResetHint != histogram.UnknownCounterReset || last == nil {
		return h
	}
	r.compared, r.found = true, h.DetectReset(last)
	if r.found || broken {
		return h
	}
	out := *h
	out.CounterResetHint = histogram.NotCounterReset
	return &out
}

// locate finds the windows of the loaded samples.
func (s *spans) locate() {
	s.floatTimes, s.values, s.histTimes, s.times = s.floatTimes[:0], s.values[:0], s.histTimes[:0], s.times[:0]
	for _, p := range s.floats {
		s.floatTimes, s.values = append(s.floatTimes, p.T), append(s.values, p.V)
	}
	i := 0
	for _, p := range s.hists {
		s.histTimes = append(s.histTimes, p.T)
		for ; i < len(s.floatTimes) && s.floatTimes[i] < p.T; i++ {
			s.times = append(s.times, s.floatTimes[i])
		}
		s.times = append(s.times, p.T)
	}
	s.times = append(s.times, s.floatTimes[i:]...)
	s.floatWin.Locate(s.floatTimes)
	s.histWin.Locate(s.histTimes)
}

// counts are how many floats and histograms a step's window has.
func (s *spans) counts(step int) (floats, hists int32) {
	return s.floatWin.Hi[step] - s.floatWin.Lo[step], s.histWin.Hi[step] - s.histWin.Lo[step]
}

// apply computes the function: s.out, s.h (nil when no result is a histogram)
// and s.present have the results until the next call. It reports whether there
// is any.
func (s *spans) apply() bool {
	s.locate()
	clear(s.present)
	s.h, s.noted = nil, noted{}
	s.touch()
	fn := &s.src.fn
	switch {
	case s.general:
		return s.bySpans(func(int) bool { return true })
	case fn.TimesOnly && !fn.Kinds:
		return s.byTimes()
	}
	return s.byKinds()
}

// touch notes the steps whose parameters upstream looks at.
func (s *spans) touch() {
	for step := range s.grid.Steps {
		if s.touched == nil {
			return
		}
		floats, hists := s.counts(step)
		if floats > 0 || hists > 0 && !s.src.floatsTouch {
			s.touched.set(step)
		}
	}
}

// byTimes runs a kernel that does not look at values.
func (s *spans) byTimes() bool {
	s.allWin.Locate(s.times)
	s.kernel(&function.Samples{T: s.times}, &s.allWin)
	some := false
	for step, lo := range s.allWin.Lo {
		if s.allWin.Hi[step]-lo >= s.src.fn.SamplesMin {
			s.present.set(step)
			some = true
		}
	}
	return some
}

// byKinds runs the kernel over the floats, and the span function where there
// are histograms.
func (s *spans) byKinds() bool {
	fn := &s.src.fn
	if fn.Prepare != nil {
		fn.Prepare(&s.floatWin)
	}
	samples := &function.Samples{T: s.floatTimes, V: s.values}
	if fn.Resets {
		s.resets = appendResets(s.resets[:0], s.values, 1)
		samples.Resets = s.resets
	}
	s.kernel(samples, &s.floatWin)
	some := false
	for step := range s.grid.Steps {
		floats, hists := s.counts(step)
		if hists > 0 && fn.Span != nil {
			continue
		}
		if floats > 0 && hists > 0 {
			s.noted.remarks |= function.HistogramsIgnored
		}
		if floats >= fn.SamplesMin && !(s.src.staleEnds && column.IsStale(s.values[s.floatWin.Hi[step]-1])) {
			s.present.set(step)
			some = true
		}
	}
	if fn.Span == nil {
		return some
	}
	return s.bySpans(func(step int) bool { _, hists := s.counts(step); return hists > 0 }) || some
}

func (s *spans) kernel(samples *function.Samples, win *function.Windows) {
	s.src.fn.Kernel(s.out, samples, win, s.src.params, &s.scratch, 0, s.grid.Steps)
}

// bySpans runs the span function at the steps that f chooses and that have a
// sample.
func (s *spans) bySpans(f func(step int) bool) bool {
	some := false
	for step := range s.grid.Steps {
		floats, hists := s.counts(step)
		if floats+hists == 0 || !f(step) {
			continue
		}
		span := s.span(step)
		v := s.src.fn.Span(&span)
		s.noted.add(span.Remarks)
		if !v.OK || s.src.staleEnds && v.H == nil && column.IsStale(v.V) {
			continue
		}
		s.out[step] = v.V
		if v.H != nil {
			if s.h == nil {
				s.h = make([]*histogram.FloatHistogram, s.grid.Steps)
			}
			s.h[step] = v.H
		}
		s.present.set(step)
		some = true
	}
	return some
}

// span is a step's window.
func (s *spans) span(step int) function.Span {
	to := s.src.when.Reference(s.grid.At(step))
	return function.Span{
		Floats:     s.floats[s.floatWin.Lo[step]:s.floatWin.Hi[step]],
		Histograms: s.hists[s.histWin.Lo[step]:s.histWin.Hi[step]],
		From:       to - s.src.rangeMs, To: to, Seconds: s.src.seconds(),
		Anchored: s.src.anchored, Smoothed: s.src.smoothed,
	}
}

// bytes is about what the loaded histograms take.
func (s *spans) bytes() int64 {
	n := int64(0)
	for _, p := range s.hists {
		n += int64(p.H.Size())
	}
	return n
}

// raw hands the samples of the first step's window to the source.
func (s *spans) raw(rank uint32) error {
	s.locate()
	span := s.span(0)
	if s.src.anchored || s.src.smoothed {
		modifier := "anchored"
		if s.src.smoothed {
			modifier = "smoothed"
		}
		if len(span.Histograms) > 0 {
			return plan.Errorf("%s modifier is not supported with histograms", modifier)
		}
		span.Floats = span.Extend()
	}
	s.floatTimes, s.values = s.floatTimes[:0], s.values[:0]
	for _, p := range span.Floats {
		s.floatTimes, s.values = append(s.floatTimes, p.T), append(s.values, p.V)
	}
	return s.src.raw(rank, s.floatTimes, s.values, span.Histograms)
}

// appendResets appends the positions from from on, at least 1, whose value is
// smaller than the one before.
func appendResets(dst []int32, v []float64, from int) []int32 {
	for i := simd.NextFall(v, from); i < len(v); i = simd.NextFall(v, i+1) {
		dst = append(dst, int32(i))
	}
	return dst
}
