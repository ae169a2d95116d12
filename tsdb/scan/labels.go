package scan

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// LabelNames returns the sorted names of the labels of the series that match
// in the parts that overlap the range; limit 0 is none, a cut result has a
// warning.
func LabelNames(ctx context.Context, parts []part.Part, sel storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return collect(ctx, parts, sel, limit,
		func(p part.Part) ([]string, error) { return p.LabelNames(ctx) },
		func(p part.Part, refs []part.Ref, add func(string)) error {
			b := labels.NewScratchBuilder(16)
			var lset labels.Labels
			for i, ref := range refs {
				if i%checkEvery == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				p.Labels(ref, &b)
				b.Overwrite(&lset)
				lset.Range(func(l labels.Label) { add(l.Name) })
			}
			return nil
		})
}

// LabelValues is LabelNames for the values of one label.
func LabelValues(ctx context.Context, parts []part.Part, name string, sel storage.Selection, limit int) ([]string, annotations.Annotations, error) {
	return collect(ctx, parts, sel, limit,
		func(p part.Part) ([]string, error) { return p.LabelValues(ctx, name) },
		func(p part.Part, refs []part.Ref, add func(string)) error {
			for i, ref := range refs {
				if i%checkEvery == 0 && ctx.Err() != nil {
					return ctx.Err()
				}
				if v := p.LabelValue(ref, name); v != "" {
					add(v)
				}
			}
			return nil
		})
}

// collect gathers distinct strings over the parts: all of a part, or those of
// the series that match.
func collect(
	ctx context.Context, parts []part.Part, sel storage.Selection, limit int,
	all func(part.Part) ([]string, error),
	some func(part.Part, []part.Ref, func(string)) error,
) ([]string, annotations.Annotations, error) {
	set := map[string]struct{}{}
	var w warnings
	// Strings of parts and of reused label memory are copied when they are new.
	add := func(s string) {
		if _, ok := set[s]; !ok {
			set[string([]byte(s))] = struct{}{}
		}
	}
	for _, p := range overlapping(parts, sel.MinTime, sel.MaxTime) {
		err := ctx.Err()
		switch {
		case err != nil:
		case len(sel.Matchers) == 0:
			var found []string
			found, err = all(p)
			for _, s := range found {
				add(s)
			}
		default:
			var refs []part.Ref
			if refs, err = p.Select(ctx, sel.Matchers...); err == nil {
				err = some(p, refs, add)
			}
		}
		if err != nil && !w.addDamage(err) {
			return nil, nil, fmt.Errorf("labels of %s: %w", p.Name(), err)
		}
	}
	out := w.cut(len(set), limit)
	return slices.Sorted(maps.Keys(set))[:out:out], w.all(), nil
}

// cut returns how many of n results there may be, and warns when not all.
func (w *warnings) cut(n, limit int) int {
	if limit <= 0 || n <= limit {
		return n
	}
	w.add(storage.ErrTruncated)
	return limit
}

// Series returns the label sets that match in the parts that overlap the
// range, in label order.
func Series(ctx context.Context, parts []part.Part, sel storage.Selection, limit int) ([]labels.Labels, annotations.Annotations, error) {
	parts = overlapping(parts, sel.MinTime, sel.MaxTime)
	var w warnings
	m, found, err := mergeParts(ctx, parts, sel.Matchers, &w)
	if err != nil {
		return nil, nil, err
	}
	found = found[:w.cut(len(found), limit)]
	out := make([]labels.Labels, len(found))
	b := labels.NewScratchBuilder(16)
	for i, e := range found {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		x := m.members[e.head]
		parts[x.part].Labels(x.ref, &b)
		out[i] = b.Labels()
	}
	return out, w.all(), nil
}
