package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/storage"
)

// labelNames answers /api/v1/labels.
func (a *API) labelNames(r *http.Request) (answer, error) {
	return a.labelStrings(r, func(v storage.View, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
		return v.LabelNames(r.Context(), s, limit)
	})
}

// labelValues answers /api/v1/label/{name}/values.
func (a *API) labelValues(r *http.Request) (answer, error) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return answer{}, badData(fmt.Errorf("invalid label name: %q", name))
	}
	return a.labelStrings(r, func(v storage.View, s storage.Selection, limit int) ([]string, annotations.Annotations, error) {
		return v.LabelValues(r.Context(), name, s, limit)
	})
}

type stringsOf func(v storage.View, s storage.Selection, limit int) ([]string, annotations.Annotations, error)

// labelStrings merges the sorted strings of every selection of the request.
func (a *API) labelStrings(r *http.Request, get stringsOf) (answer, error) {
	selections, all, err := a.selections(r, badData)
	if err != nil {
		return answer{}, err
	}
	limit, err := limitParam(r)
	if err != nil {
		return answer{}, err
	}
	if len(selections) == 0 {
		selections = []storage.Selection{all}
	}
	view, err := a.deps.Reader.View(r.Context(), a.deps.Tenant)
	if err != nil {
		return answer{}, err
	}
	defer view.Close()
	out := answer{warnings: annotations.Annotations{}}
	merged := []string{}
	for _, s := range selections {
		found, warnings, err := get(view, s, limit)
		if err != nil {
			return answer{}, err
		}
		merged = append(merged, found...)
		out.warnings.Merge(warnings)
	}
	slices.Sort(merged)
	merged = slices.Compact(merged)
	out.data = truncate(merged, limit, &out.warnings)
	return out, nil
}

// series answers /api/v1/series.
func (a *API) series(r *http.Request) (answer, error) {
	selections, _, err := a.selections(r, func(err error) error { return invalidParameter("match[]", err) })
	if err != nil {
		return answer{}, err
	}
	if len(selections) == 0 {
		return answer{}, badData(errors.New("no match[] parameter provided"))
	}
	limit, err := limitParam(r)
	if err != nil {
		return answer{}, err
	}
	view, err := a.deps.Reader.View(r.Context(), a.deps.Tenant)
	if err != nil {
		return answer{}, err
	}
	defer view.Close()
	out := answer{warnings: annotations.Annotations{}}
	found := []labels.Labels{}
	for _, s := range selections {
		lsets, warnings, err := view.Series(r.Context(), s, limit)
		if err != nil {
			return answer{}, err
		}
		found = append(found, lsets...)
		out.warnings.Merge(warnings)
	}
	slices.SortFunc(found, labels.Compare)
	found = slices.CompactFunc(found, labels.Equal)
	found = truncate(found, limit, &out.warnings)
	out.encode = func(dst []byte, out *sink) []byte {
		dst = append(dst, '[')
		for i, lset := range found {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = out.pass(appendLabels(dst, lset))
		}
		return append(dst, ']')
	}
	return out, nil
}

func truncate[T any](found []T, limit int, warnings *annotations.Annotations) []T {
	if limit == 0 || len(found) <= limit {
		return found
	}
	warnings.Add(storage.ErrTruncated)
	return found[:limit]
}
