package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/prometheus/common/model"

	"github.com/nilometer/nilometer/storage"
)

type metadataJSON struct {
	Type model.MetricType `json:"type"`
	Help string           `json:"help"`
	Unit string           `json:"unit"`
}

// metadata answers /api/v1/metadata: what the targets say now, which may differ
// from one to the other, and what the store remembers of targets that have gone
// and of pushes.
func (a *API) metadata(r *http.Request) (answer, error) {
	limit, err := countParam(r, "limit")
	if err != nil {
		return answer{}, err
	}
	perMetric, err := countParam(r, "limit_per_metric")
	if err != nil {
		return answer{}, err
	}
	metric := r.FormValue("metric")
	stored, err := a.storedMetadata(r, metric)
	if err != nil {
		return answer{}, err
	}
	out := map[string][]metadataJSON{}
	add := func(m storage.Metadata) {
		entry := metadataJSON{Type: m.Type, Help: m.Help, Unit: m.Unit}
		if entry.Type == "" {
			entry.Type = model.MetricTypeUnknown
		}
		known, exists := out[m.Family]
		switch {
		case !exists && limit >= 0 && len(out) >= limit:
		case perMetric > 0 && len(known) >= perMetric, slices.Contains(known, entry):
		default:
			out[m.Family] = append(known, entry)
		}
	}
	for _, m := range a.deps.Targets.Metadata(metric) {
		add(m.Metadata)
	}
	for _, m := range stored {
		add(m)
	}
	return answer{data: out}, nil
}

// storedMetadata is what the store knows about a metric, or about all ("").
func (a *API) storedMetadata(r *http.Request, metric string) ([]storage.Metadata, error) {
	view, err := a.deps.Reader.View(r.Context(), a.deps.Tenant)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	stored, err := view.Metadata(r.Context(), metric, 0)
	if err != nil {
		return nil, fmt.Errorf("stored metadata: %w", err)
	}
	return stored, nil
}
