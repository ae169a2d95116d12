package mask

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/tsdb/part"
)

// Hider tells what is hidden of the series of a part.
type Hider interface {
	// Prepare makes ready what Hidden needs.
	Prepare(ctx context.Context) error
	// Hidden returns what is hidden of a series, nil for nothing.
	Hidden(ref part.Ref) []part.Hidden
	// Gone tells whether nothing is left of a series, as far as that is cheap to
	// know.
	Gone(ref part.Ref) bool
}

// Part is a part of which some samples are hidden.
type Part struct {
	part.Part
	hider Hider
}

var (
	_ part.Part      = (*Part)(nil)
	_ part.Estimator = (*Part)(nil)
	_ part.Outliner  = (*Part)(nil)
	_ part.Grouper   = (*Part)(nil)
)

// New returns p without what the hider says.
func New(p part.Part, h Hider) *Part { return &Part{Part: p, hider: h} }

// Select implements part.Part.
func (p *Part) Select(ctx context.Context, ms ...*labels.Matcher) ([]part.Ref, error) {
	if err := p.hider.Prepare(ctx); err != nil {
		return nil, err
	}
	refs, err := p.Part.Select(ctx, ms...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(refs, p.hider.Gone), nil
}

// Pieces implements part.Part.
func (p *Part) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	if err := p.hider.Prepare(context.Background()); err != nil {
		return dst, err
	}
	hidden := p.hider.Hidden(ref)
	n := len(dst)
	dst, err := p.Part.Pieces(ref, minTime, maxTime, dst)
	if len(hidden) == 0 || len(dst) == n {
		return dst, err
	}
	left, hideErr := Hide(p.Part, dst[n:], hidden...)
	if hideErr != nil {
		return dst[:n], errors.Join(err, hideErr)
	}
	return append(dst[:n], left...), err
}

// Outline implements part.Outliner: that of the part where nothing of the series
// is hidden.
func (p *Part) Outline(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	if err := p.hider.Prepare(context.Background()); err != nil {
		return dst, err
	}
	if o, ok := p.Part.(part.Outliner); ok && len(p.hider.Hidden(ref)) == 0 {
		return o.Outline(ref, minTime, maxTime, dst)
	}
	return p.Pieces(ref, minTime, maxTime, dst)
}

// EstimateSeries implements part.Estimator.
func (p *Part) EstimateSeries(ref part.Ref, minTime, maxTime int64) (samples, bytes int64) {
	if e, ok := p.Part.(part.Estimator); ok {
		return e.EstimateSeries(ref, minTime, maxTime)
	}
	return 0, 0
}

// GroupKeys implements part.Grouper.
func (p *Part) GroupKeys(names []string, without bool, refs []part.Ref, keys []uint64) bool {
	g, ok := p.Part.(part.Grouper)
	return ok && g.GroupKeys(names, without, refs, keys)
}

// labelledMax bounds the series whose labels are read one by one to find the
// names and values that are left (I2).
const labelledMax = 100_000

// LabelNames implements part.Part.
func (p *Part) LabelNames(ctx context.Context) ([]string, error) {
	refs, all, err := p.left(ctx)
	if err != nil || all {
		if err != nil {
			return nil, err
		}
		return p.Part.LabelNames(ctx)
	}
	b := labels.NewScratchBuilder(16)
	return collect(refs, func(ref part.Ref, add func(string)) {
		p.Labels(ref, &b)
		b.Labels().Range(func(l labels.Label) { add(l.Name) })
	}), ctx.Err()
}

// LabelValues implements part.Part.
func (p *Part) LabelValues(ctx context.Context, name string) ([]string, error) {
	refs, all, err := p.left(ctx)
	if err != nil || all {
		if err != nil {
			return nil, err
		}
		return p.Part.LabelValues(ctx, name)
	}
	return collect(refs, func(ref part.Ref, add func(string)) {
		if v := p.LabelValue(ref, name); v != "" {
			add(v)
		}
	}), ctx.Err()
}

// left returns the series that are not gone; all tells that the part's own index
// answers for them.
func (p *Part) left(ctx context.Context) (refs []part.Ref, all bool, err error) {
	if err := p.hider.Prepare(ctx); err != nil {
		return nil, false, err
	}
	if refs, err = p.Part.Select(ctx); err != nil {
		return nil, false, err
	}
	n := len(refs)
	refs = slices.DeleteFunc(refs, p.hider.Gone)
	return refs, len(refs) == n || len(refs) > labelledMax, nil
}

func collect(refs []part.Ref, each func(part.Ref, func(string))) []string {
	seen := map[string]struct{}{}
	var out []string
	for _, ref := range refs {
		each(ref, func(s string) {
			if _, ok := seen[s]; !ok {
				seen[s] = struct{}{}
				out = append(out, s)
			}
		})
	}
	slices.Sort(out)
	return out
}

// ruled hides by rules, over sets that are remembered.
type ruled struct {
	sets     *Sets
	rules    []Rule
	min, max int64
	found    atomic.Pointer[[]*Set] // parallel to rules
}

// Ruled returns the hider of the rules that overlap a part, nil without one.
func Ruled(sets *Sets, rules []Rule) Hider {
	h := &ruled{sets: sets}
	h.min, h.max = sets.part.Range()
	for _, r := range rules {
		if r.MinTime <= h.max && r.MaxTime >= h.min {
			h.rules = append(h.rules, r)
		}
	}
	if len(h.rules) == 0 {
		return nil
	}
	return h
}

// Prepare finds the series that the rules match.
func (h *ruled) Prepare(ctx context.Context) error {
	if h.found.Load() != nil {
		return nil
	}
	found := make([]*Set, len(h.rules))
	for i := range h.rules {
		var err error
		if found[i], err = h.sets.Of(ctx, &h.rules[i]); err != nil {
			return err
		}
	}
	h.found.Store(&found)
	return nil
}

// Hidden implements Hider.
func (h *ruled) Hidden(ref part.Ref) []part.Hidden {
	var out []part.Hidden
	for i, set := range *h.found.Load() {
		if set.Has(ref) {
			out = append(out, h.rules[i].Hidden)
		}
	}
	return out
}

// Gone implements Hider: a rule that covers the part's range hides all.
func (h *ruled) Gone(ref part.Ref) bool {
	for i, set := range *h.found.Load() {
		if r := &h.rules[i]; r.MinTime <= h.min && h.max <= r.MaxTime && set.Has(ref) {
			return true
		}
	}
	return false
}
