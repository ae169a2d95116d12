package tsdb_test

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// heldView is a view and what it had when it was taken.
type heldView struct {
	view storage.View
	have []storagetest.Series
}

func nameMatcher(expression string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, expression)
}

func (o *op) selection() storage.Selection {
	s := storage.Selection{MinTime: base + o.From, MaxTime: base + o.To}
	if o.Match != "" {
		s.Matchers = []*labels.Matcher{nameMatcher(o.Match)}
	}
	return s
}

// read compares what a selection finds, by samples, label sets, names and the
// estimate. Reads go on whatever the disk does.
func (r *run) read(o *op) error {
	s := o.selection()
	for _, id := range modelTenants() {
		want, err := readStore(r.oracle.live.store, id, s)
		if err != nil {
			return err
		}
		v, err := r.db.View(context.Background(), id)
		if err != nil {
			return err
		}
		err = r.readView(v, s, want)
		v.Close()
		if err != nil {
			return fmt.Errorf("tenant %s: %w", id, err)
		}
	}
	return nil
}

func readStore(st storage.Store, id tenant.ID, s storage.Selection) ([]storagetest.Series, error) {
	v, err := st.View(context.Background(), id)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return storagetest.Read(context.Background(), v, s)
}

func (r *run) readView(v storage.View, s storage.Selection, want []storagetest.Series) error {
	got, err := storagetest.Read(context.Background(), v, s)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	r.forget()
	if err := same(want, got, r.forgotten); err != nil {
		return fmt.Errorf("from %d to %d: %w", s.MinTime-base, s.MaxTime-base, err)
	}
	lsets, _, err := v.Series(context.Background(), s, 0)
	if err != nil {
		return fmt.Errorf("series: %w", err)
	}
	names, _, err := v.LabelValues(context.Background(), model.MetricNameLabel, s, 0)
	if err != nil {
		return fmt.Errorf("label values: %w", err)
	}
	samples := int64(0)
	for _, x := range got {
		samples += int64(len(x.Samples))
		if !slices.ContainsFunc(lsets, func(l labels.Labels) bool { return labels.Equal(l, x.Labels) }) {
			return fmt.Errorf("the series are %v, without %s", lsets, x.Labels)
		}
		if name := x.Labels.Get(model.MetricNameLabel); !slices.Contains(names, name) {
			return fmt.Errorf("the names are %q, without %s", names, name)
		}
	}
	est, err := v.Estimate(context.Background(), s)
	if err != nil || est.Series < int64(len(got)) || samples > 0 && est.Samples == 0 {
		return fmt.Errorf("the estimate is %+v for %d series with %d samples (%w)", est, len(got), samples, err)
	}
	return nil
}

// heldMax bounds the views that are held at once.
const heldMax = 4

func (r *run) hold() error {
	if len(r.held) == heldMax {
		r.held[0].view.Close()
		r.held = r.held[1:]
	}
	v, err := r.db.View(context.Background(), tenant.Default)
	if err != nil {
		return err
	}
	h := heldView{view: v}
	if h.have, err = storagetest.Read(context.Background(), v, (&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}).selection()); err != nil {
		return err
	}
	r.held = append(r.held, h)
	return nil
}

// release compares and closes the views that are held.
func (r *run) release() error {
	defer r.releaseViews()
	for i, h := range r.held {
		got, err := storagetest.Read(context.Background(), h.view, (&op{From: math.MinInt64 / 2, To: math.MaxInt64 / 2}).selection())
		if err != nil {
			return fmt.Errorf("held view %d: %w", i, err)
		}
		if d := storagetest.Diff(h.have, got); d != "" {
			return fmt.Errorf("held view %d has changed: %s", i, d)
		}
	}
	return nil
}

func (r *run) releaseViews() {
	for _, h := range r.held {
		h.view.Close()
	}
	r.held = nil
}
