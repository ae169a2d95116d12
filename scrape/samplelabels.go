package scrape

import (
	"fmt"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// sampleLabels turns exposed labels into those of a stored series: the
// target's are added, conflicts resolved as honor_labels says, and the rules
// for samples applied. The result is empty when they dropped it.
func sampleLabels(lb *labels.Builder, o *PoolOptions, target, exposed labels.Labels) labels.Labels {
	lb.Reset(exposed)
	if o.HonorLabels {
		target.Range(func(l labels.Label) {
			if !exposed.Has(l.Name) {
				lb.Set(l.Name, l.Value)
			}
		})
	} else {
		var conflicts []labels.Label
		target.Range(func(l labels.Label) {
			if v := exposed.Get(l.Name); v != "" {
				conflicts = append(conflicts, labels.Label{Name: l.Name, Value: v})
			}
			lb.Set(l.Name, l.Value)
		})
		exportConflicts(lb, conflicts)
	}
	if !relabel.ProcessBuilder(lb, o.MetricRelabel...) {
		return labels.EmptyLabels()
	}
	return lb.Labels()
}

// exportConflicts renames exposed labels that the target has too: "exported_"
// is put before a name as often as is needed to be free, shorter names first.
func exportConflicts(lb *labels.Builder, conflicts []labels.Label) {
	slices.SortStableFunc(conflicts, func(a, b labels.Label) int { return len(a.Name) - len(b.Name) })
	for _, l := range conflicts {
		name := l.Name
		for taken := true; taken; taken = lb.Get(name) != "" {
			name = model.ExportedLabelPrefix + name
		}
		lb.Set(name, l.Value)
	}
}

// checkLabels reports what makes lset no series, as a reason, and a limit that
// it is over, as an error.
func checkLabels(o *PoolOptions, lset labels.Labels) (reason string, err error) {
	name := lset.Get(model.MetricNameLabel)
	if name == "" {
		return "the metric has no name after relabelling", nil
	}
	if duplicate, is := lset.HasDuplicateLabelNames(); is {
		return fmt.Sprintf("the label %q occurs twice", duplicate), nil
	}
	if !lset.IsValid(model.UTF8Validation) {
		return "a name is not valid UTF-8", nil
	}
	if o.LegacyNames && !lset.IsValid(model.LegacyValidation) {
		return "a name has other than the classic characters, which metric_name_validation_scheme: legacy refuses", nil
	}
	over := func(what string, limit, seen int) {
		if err == nil && limit > 0 && seen > limit {
			err = &limitError{what: what, max: int64(limit), seen: int64(seen), more: " in metric " + name}
		}
	}
	over("label_limit", o.LabelMax, lset.Len())
	if o.LabelNameSizeMax > 0 || o.LabelValueSizeMax > 0 {
		lset.Range(func(l labels.Label) {
			over("label_name_length_limit", o.LabelNameSizeMax, len(l.Name))
			over("label_value_length_limit", o.LabelValueSizeMax, len(l.Value))
		})
	}
	return "", err
}
