package exec

import (
	"context"
	"errors"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
	"github.com/nilometer/nilometer/storage"
)

// job is what a source's rows are read for.
type job struct {
	src  *rowSource
	sink rowSink
	// end is called when all rows have come, with the scan still open, and after it
	// result.
	end    func(storage.Scan) error
	result func() (Matrix, error)
	// drop gives up a job without a result; done, if not nil, follows a result.
	drop, done func()
}

// do does one job by itself.
func (r *Run) do(ctx context.Context, j *job, g function.Grid) (Matrix, error) {
	if j.done != nil {
		defer j.done()
	}
	if err := r.rows(ctx, j.src, g, j.sink, j.end); err != nil {
		return Matrix{}, err
	}
	return j.result()
}

// togetherness is what nodes of a plan that read one selection know of each
// other. The first of them to be evaluated reads for all; the others find their
// rows when it is their turn: only then is anything said or refused, as if they
// had read by themselves.
type togetherness struct {
	tried map[*plan.Merged]bool
	ready map[plan.Node]*readyJob
}

// readyJob is a job whose rows have come.
type readyJob struct {
	*job
	grid function.Grid
	view storage.Scan // as the job sees it
	of   *openScan
	held int64 // bytes counted for the view
}

// release gives up what the job has of the scan.
func (j *readyJob) release(b *Budget) {
	b.giveBytes(j.held)
	j.of.release()
}

// openScan is closed by the last of those who read it.
type openScan struct {
	storage.Scan
	left int
}

func (s *openScan) release() {
	if s.left--; s.left == 0 {
		s.Close()
	}
}

// close gives up what nobody came for.
func (t *togetherness) close(b *Budget) {
	for _, j := range t.ready {
		j.drop()
		j.release(b)
	}
	t.ready = nil
}

// merged evaluates a node that shares its selection with others. ok is false
// where it is to be evaluated by itself: a second time, or because reading
// together failed, for whoever's reason.
func (r *Run) merged(ctx context.Context, n plan.Node, of *plan.Merged, g function.Grid) (m Matrix, ok bool, err error) {
	t := &r.together
	if !t.tried[of] {
		if t.tried == nil {
			t.tried, t.ready = map[*plan.Merged]bool{}, map[plan.Node]*readyJob{}
		}
		t.tried[of] = true
		if err := r.readTogether(ctx, of, g); err != nil {
			return Matrix{}, false, ctx.Err()
		}
	}
	j := t.ready[n]
	if j == nil || j.grid != g {
		return Matrix{}, false, nil
	}
	delete(t.ready, n)
	defer j.release(r.q.Budget)
	if j.done != nil {
		defer j.done()
	}
	r.remarkAll(j.src, j.view)
	if err := j.end(j.view); err != nil {
		return Matrix{}, false, err
	}
	m, err = j.result()
	if errors.Is(err, errOverflow) {
		return Matrix{}, false, nil
	}
	return m, true, err
}

// readTogether reads a selection for all its nodes.
func (r *Run) readTogether(ctx context.Context, of *plan.Merged, g function.Grid) error {
	jobs := make([]*readyJob, len(of.Nodes))
	strands := make([]*strand, len(of.Nodes))
	sel := storage.Selection{Matchers: of.Matchers, MinTime: of.MinTime, MaxTime: of.MaxTime, Partial: r.q.Partial, TimesOnly: true}
	for i, n := range of.Nodes {
		j, err := r.jobOf(ctx, n, g)
		if err != nil {
			return err
		}
		jobs[i], strands[i] = &readyJob{job: j, grid: g}, &strand{src: j.src, sink: j.sink}
		sel.TimesOnly = sel.TimesOnly && j.src.timesOnly()
	}
	scan, err := r.selects(ctx, sel, jobs[0].src.where)
	if err != nil {
		return err
	}
	open := &openScan{Scan: scan, left: len(jobs)}
	fail := func(err error) error {
		for _, j := range jobs {
			j.drop()
			r.q.Budget.giveBytes(j.held)
		}
		r.q.Budget.giveSeries(int64(scan.Series()))
		scan.Close()
		return err
	}
	for i, j := range jobs {
		j.view, j.of = scan, open
		if rest := j.src.scan.Rest; len(rest) > 0 {
			bytes := int64(scan.Series()) * 12
			if err := r.q.Budget.takeBytes(bytes, "a part of a selection"); err != nil {
				return fail(err)
			}
			j.held = bytes
			some := partOf(scan, rest)
			j.view, strands[i].rankOf = some.view(), some.rankOf
		}
		if err := strands[i].begin(j.view); err != nil {
			return fail(err)
		}
	}
	if err := r.work(ctx, g, scan, strands...); err != nil {
		return fail(err)
	}
	r.merge(scan.Warnings())
	for i, n := range of.Nodes {
		r.together.ready[n] = jobs[i]
	}
	return nil
}

// jobOf returns the job of a node that the rule "merge" has chosen.
func (r *Run) jobOf(ctx context.Context, n plan.Node, g function.Grid) (*job, error) {
	switch n := n.(type) {
	case *plan.Aggregate:
		src, err := r.flowingSource(ctx, n, g)
		if err != nil {
			return nil, err
		}
		return r.aggregation(n, src, g), nil
	case *plan.Call:
		src, err := r.rangeSource(ctx, n, g)
		if err != nil {
			return nil, err
		}
		return r.collection(src, g, !src.fn.KeepsName), nil
	case *plan.Instant:
		return r.collection(r.instantSource(n), g, false), nil
	}
	return nil, errors.New("no job of this kind")
}

// someSeries are the series of a scan that match, as a scan without batches.
type someSeries struct {
	storage.Scan
	rankOf []int32  // ranks here by ranks there, -1 for the others
	ranks  []uint32 // ranks there by ranks here
}

// partOf finds the series of a scan that match.
func partOf(scan storage.Scan, ms []*labels.Matcher) *someSeries {
	s := &someSeries{Scan: scan, rankOf: make([]int32, scan.Series())}
	fits := fitting(scan, ms)
	for rank := range s.rankOf {
		if !fits(uint32(rank)) {
			s.rankOf[rank] = -1
			continue
		}
		s.rankOf[rank] = int32(len(s.ranks))
		s.ranks = append(s.ranks, uint32(rank))
	}
	return s
}

// fitting tells of a rank whether the series matches. Where storage knows groups,
// one of those that agree in the labels stands for all.
func fitting(scan storage.Scan, ms []*labels.Matcher) func(rank uint32) bool {
	one := func(rank uint32) bool {
		for _, m := range ms {
			if !m.Matches(scan.LabelValue(rank, m.Name)) {
				return false
			}
		}
		return true
	}
	g, ok := scan.(storage.Grouper)
	if !ok {
		return one
	}
	var names []string
	for _, m := range ms {
		names = appendSorted(names, m.Name)
	}
	of := make([]int32, scan.Series())
	var fit []bool // by group
	for _, rank := range g.Groups(names, false, of) {
		fit = append(fit, one(rank))
	}
	return func(rank uint32) bool { return fit[of[rank]] }
}

// view is s with groups, if the scan has them.
func (s *someSeries) view() storage.Scan {
	if g, ok := s.Scan.(storage.Grouper); ok {
		return &someGroups{someSeries: s, all: g}
	}
	return s
}

func (s *someSeries) Series() int                      { return len(s.ranks) }
func (s *someSeries) Labels(rank uint32) labels.Labels { return s.Scan.Labels(s.ranks[rank]) }
func (s *someSeries) LabelValue(rank uint32, name string) string {
	return s.Scan.LabelValue(s.ranks[rank], name)
}

// someGroups are someSeries of a scan that groups.
type someGroups struct {
	*someSeries
	all storage.Grouper
}

// Groups groups the series that match.
func (s *someGroups) Groups(names []string, without bool, of []int32) []uint32 {
	there := make([]int32, len(s.rankOf))
	here := make([]int32, len(s.all.Groups(names, without, there)))
	var first []uint32
	for at, rank := range s.ranks {
		group := &here[there[rank]]
		if *group == 0 {
			first = append(first, uint32(at))
			*group = int32(len(first))
		}
		of[at] = *group - 1
	}
	return first
}
