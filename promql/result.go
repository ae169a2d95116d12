package promql

import (
	"runtime"

	"github.com/prometheus/prometheus/model/histogram"

	"github.com/nilometer/nilometer/promql/exec"
)

// own copies the labels, which may lie in memory that storage takes back when
// the view closes.
func (res *Result) own(budget *exec.Budget) error {
	size := int64(0)
	for i := range res.Vector {
		s := &res.Vector[i]
		size += int64(s.Labels.ByteSize()) + histogramBytes(s.H)
	}
	for i := range res.Matrix {
		size += int64(res.Matrix[i].Labels.ByteSize())
	}
	if err := budget.TakeResult(size); err != nil {
		return err
	}
	for i := range res.Vector {
		res.Vector[i].Labels = res.Vector[i].Labels.Copy()
	}
	for i := range res.Matrix {
		res.Matrix[i].Labels = res.Matrix[i].Labels.Copy()
	}
	return nil
}

// histogramBytes is what a histogram takes.
func histogramBytes(h *histogram.FloatHistogram) int64 {
	if h == nil {
		return 0
	}
	return int64(h.Size())
}

// hold keeps the answer's memory counted until Close, or until nobody has the
// answer any more.
func (res *Result) hold(budget *exec.Budget) {
	budget.Settle()
	res.budget = budget
	runtime.AddCleanup(res, (*exec.Budget).Close, budget)
}

// Close says that the answer has been used: its memory counts against the
// limit on all queries no longer. Without it that is so when the garbage
// collector has found the answer. It may be called more than once.
func (res *Result) Close() {
	if res.budget != nil {
		res.budget.Close()
	}
}
