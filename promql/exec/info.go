package exec

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/grafana/regexp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
	"github.com/nilometer/nilometer/promql/plan"
)

// identifying are the labels by which a series and an info series are of one
// target.
var identifying = [...]string{"instance", "job"}

// info adds labels of info metrics to a vector: step by step those of the info
// series that are there with the same identifying labels.
func (r *Run) info(ctx context.Context, n *plan.Info, g function.Grid) (Matrix, error) {
	in, err := r.eval(ctx, n.Input, g)
	if err != nil {
		return Matrix{}, err
	}
	defer r.release(in)
	j := &infoJoin{run: r, n: n, grid: g, in: in.Rows, byHash: map[uint64]int32{}}
	j.keep = make([]bool, len(in.Rows))
	for i := range in.Rows {
		j.keep[i] = j.isInfo(in.Rows[i].Labels.Get(model.MetricNameLabel))
	}
	held, err := j.fetch(ctx)
	if err != nil {
		return Matrix{}, err
	}
	defer func() { r.q.Budget.givePoints(held) }()
	j.sign()
	for step := range g.Steps {
		if err := r.core.pause(ctx); err != nil {
			return Matrix{}, err
		}
		if err := j.step(step); err != nil {
			return Matrix{}, err
		}
	}
	out := Matrix{Grid: g}
	for i := range j.out {
		row := &j.out[i]
		if kept, ok := newMixedRow(row.Labels, row.V, row.H, row.Present); ok {
			kept.DropName = row.DropName
			out.Rows = append(out.Rows, kept)
		}
	}
	r.q.Budget.givePoints(int64(len(j.out)) * int64(g.Steps))
	return r.hold(out, "the function info")
}

// infoJoin is one evaluation of info.
type infoJoin struct {
	run  *Run
	n    *plan.Info
	grid function.Grid
	in   []Row
	keep []bool // rows that are info series themselves
	// infos are the info series; a value is the time of the sample, in seconds.
	infos []Row
	// metrics are the names of infos. signatures number (metric, identifying
	// labels): of every info row, and of every input row by metric.
	metrics    []string
	infoSig    []int32
	inSigs     [][]int32
	signatures map[string]int32

	current []int32 // by signature: the info row of this step, or -1
	out     []Row
	byHash  map[uint64]int32
	last    []infoResult // by input row
	stamp   []int32      // by result row: the last step with a value, plus one
}

// infoResult is what a row came out as: the result row at, with these info rows.
type infoResult struct {
	infos []int32
	at    int32 // -1: left out
	known bool
}

func (j *infoJoin) isInfo(name string) bool {
	for _, m := range j.n.Names {
		if !m.Matches(name) {
			return false
		}
	}
	return true
}

// fetch selects the info series of the targets of all rows, one selection for
// each set of identifying labels that rows have.
func (j *infoJoin) fetch(ctx context.Context) (held int64, err error) {
	values := map[[2]bool]*[2]map[string]struct{}{}
	for i := range j.in {
		if j.keep[i] {
			continue
		}
		var has [2]bool
		var value [2]string
		for k, name := range identifying {
			value[k] = j.in[i].Labels.Get(name)
			has[k] = value[k] != ""
		}
		if !has[0] && !has[1] {
			continue
		}
		if values[has] == nil {
			values[has] = &[2]map[string]struct{}{{}, {}}
		}
		for k := range identifying {
			values[has][k][value[k]] = struct{}{}
		}
	}
	for _, has := range [][2]bool{{false, true}, {true, false}, {true, true}} {
		if values[has] == nil {
			continue
		}
		ms := append(slices.Clone(j.n.Names), j.n.Data...)
		for k, name := range identifying {
			m, err := anyOf(name, values[has][k])
			if err != nil {
				return held, err
			}
			ms = append(ms, m)
		}
		src := j.run.lookbackSource(&plan.Instant{
			When: j.n.When, Lookback: j.n.Lookback,
			Scan: &plan.Scan{Matchers: ms, MinTime: j.n.MinTime, MaxTime: j.n.MaxTime},
		})
		src.fn.Kernel, src.fn.Span = function.TimeOfLast, function.TimeOfLastFloat
		m, err := j.run.collect(ctx, src, j.grid, false)
		if err != nil {
			return held, err
		}
		held += m.held
		j.infos = append(j.infos, m.Rows...)
	}
	return held, nil
}

// anyOf matches the values of a label: the empty one when there is no other.
func anyOf(name string, values map[string]struct{}) (*labels.Matcher, error) {
	all := make([]string, 0, len(values))
	for v := range values {
		all = append(all, regexp.QuoteMeta(v))
	}
	slices.Sort(all)
	if len(all) == 1 && all[0] == "" {
		return labels.NewMatcher(labels.MatchEqual, name, "")
	}
	return labels.NewMatcher(labels.MatchRegexp, name, strings.Join(all, "|"))
}

// sign numbers what series are joined by.
func (j *infoJoin) sign() {
	j.signatures = map[string]int32{}
	of := func(metric string, lset labels.Labels) int32 {
		key := metric
		for _, name := range identifying {
			key += "\xff" + lset.Get(name)
		}
		sig, ok := j.signatures[key]
		if !ok {
			sig = int32(len(j.signatures))
			j.signatures[key] = sig
		}
		return sig
	}
	for i := range j.infos {
		metric := j.infos[i].Labels.Get(model.MetricNameLabel)
		if !slices.Contains(j.metrics, metric) {
			j.metrics = append(j.metrics, metric)
		}
		j.infoSig = append(j.infoSig, of(metric, j.infos[i].Labels))
	}
	slices.Sort(j.metrics)
	j.inSigs = make([][]int32, len(j.in))
	for i := range j.in {
		for _, metric := range j.metrics {
			j.inSigs[i] = append(j.inSigs[i], of(metric, j.in[i].Labels))
		}
	}
	j.current = make([]int32, len(j.signatures))
	j.last = make([]infoResult, len(j.in))
}

func (j *infoJoin) step(step int) error {
	if !anyAt(j.in, step) {
		return nil
	}
	if err := j.gather(step); err != nil {
		return err
	}
	for i := range j.in {
		v, ok := j.in[i].At(step)
		if !ok {
			continue
		}
		at, err := j.result(i)
		if err != nil {
			return err
		}
		if at < 0 {
			continue
		}
		if j.stamp[at] == int32(step)+1 {
			return errSameLabels()
		}
		j.stamp[at] = int32(step) + 1
		row := &j.out[at]
		row.V[step] = v
		row.Present.set(step)
		if h := j.in[i].Histogram(step); h != nil {
			row.setHistogram(step, h)
		}
	}
	return nil
}

// gather finds the info series of a step: of several with one signature the one
// with the newest sample.
func (j *infoJoin) gather(step int) error {
	for i := range j.current {
		j.current[i] = -1
	}
	for i := range j.infos {
		t, ok := j.infos[i].At(step)
		if !ok {
			continue
		}
		if j.infos[i].Histogram(step) != nil {
			return &plan.ExecutionError{Text: errInfoHistogram.Error()}
		}
		now := &j.current[j.infoSig[i]]
		if *now >= 0 {
			before, _ := j.infos[*now].At(step)
			switch {
			case before > t:
				continue
			case before == t:
				ms := int64(math.Round(t * 1000))
				return plan.Errorf("found duplicate series for info metric: existing %s @ %d, new %s @ %d",
					j.infos[*now].Labels.String(), ms, j.infos[i].Labels.String(), ms)
			}
		}
		*now = int32(i)
	}
	return nil
}

var errInfoHistogram = errors.New("info sample should be float")

// result returns the result row of an input row at this step, -1 when it is
// left out.
func (j *infoJoin) result(i int) (int32, error) {
	last := &j.last[i]
	found := make([]int32, 0, 4)
	if !j.keep[i] {
		for _, sig := range j.inSigs[i] {
			if at := j.current[sig]; at >= 0 {
				found = append(found, at)
			}
		}
	}
	if last.known && slices.Equal(last.infos, found) {
		return last.at, nil
	}
	lset, ok, err := j.labels(i, found)
	if err != nil {
		return 0, err
	}
	*last = infoResult{infos: found, at: -1, known: true}
	if !ok {
		return -1, nil
	}
	h := lset.Hash()
	at, exists := j.byHash[h]
	if !exists {
		if err := j.run.q.Budget.takePoints(int64(j.grid.Steps), "the function info"); err != nil {
			return 0, err
		}
		at = int32(len(j.out))
		j.byHash[h] = at
		j.out = append(j.out, Row{
			Labels: lset, DropName: j.in[i].DropName, V: make([]float64, j.grid.Steps), Present: newBits(j.grid.Steps),
		})
		j.stamp = append(j.stamp, 0)
	}
	last.at = at
	return at, nil
}

// labels returns the labels of an input row with those of its info series. ok
// is false when a label is wanted that no info series is there to bring.
func (j *infoJoin) labels(i int, infos []int32) (lset labels.Labels, ok bool, err error) {
	have := j.in[i].Labels
	if j.keep[i] {
		return have, true, nil
	}
	if len(infos) == 0 {
		for _, m := range j.n.Data {
			if !m.Matches("") {
				return have, false, nil
			}
		}
		return have, true, nil
	}
	added := map[string]string{}
	for _, at := range infos {
		j.infos[at].Labels.Range(func(l labels.Label) {
			if l.Name == model.MetricNameLabel || !j.wanted(l.Name) {
				return
			}
			if v, twice := added[l.Name]; twice && v != l.Value {
				err = plan.Errorf("conflicting label: %s", l.Name)
			}
			if !have.Has(l.Name) {
				added[l.Name] = l.Value
			}
		})
	}
	b := labels.NewBuilder(have)
	for name, value := range added {
		b.Set(name, value)
	}
	return b.Labels(), true, err
}

// wanted: a label of info series is asked for.
func (j *infoJoin) wanted(name string) bool {
	for _, m := range j.n.Data {
		if m.Name == name {
			return true
		}
	}
	return len(j.n.Data) == 0
}
