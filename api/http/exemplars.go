package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/storage"
)

// queryExemplars answers /api/v1/query_exemplars: the exemplars of the series
// that any selector of an expression matches.
func (a *API) queryExemplars(r *http.Request) (answer, error) {
	start, err := timeParam(r, "start", minTime)
	if err != nil {
		return answer{}, err
	}
	end, err := timeParam(r, "end", maxTime)
	if err != nil {
		return answer{}, err
	}
	if end.Before(start) {
		return answer{}, badData(errors.New("end timestamp must not be before start timestamp"))
	}
	expr, err := a.parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return answer{}, badData(err)
	}
	selectors := parser.ExtractSelectors(expr)
	if len(selectors) == 0 {
		return answer{}, nil // without data, as Prometheus has it
	}
	view, err := a.deps.Reader.View(r.Context(), a.deps.Tenant)
	if err != nil {
		return answer{}, err
	}
	defer view.Close()
	var all []storage.SeriesExemplars
	for _, ms := range selectors {
		found, err := view.Exemplars(r.Context(), storage.Selection{
			Matchers: ms, MinTime: start.UnixMilli(), MaxTime: end.UnixMilli(), Partial: partialParam(r),
		})
		if err != nil {
			return answer{}, err
		}
		all = append(all, found...)
	}
	// A series that several selectors match has the same exemplars in each.
	slices.SortStableFunc(all, func(x, y storage.SeriesExemplars) int { return labels.Compare(x.Labels, y.Labels) })
	all = slices.CompactFunc(all, func(x, y storage.SeriesExemplars) bool { return labels.Equal(x.Labels, y.Labels) })
	return answer{encode: func(dst []byte, _ *sink) []byte { return appendExemplars(dst, all) }}, nil
}

func appendExemplars(dst []byte, all []storage.SeriesExemplars) []byte {
	dst = append(dst, '[')
	for i, s := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLabels(append(dst, `{"seriesLabels":`...), s.Labels)
		dst = append(dst, `,"exemplars":[`...)
		for k, x := range s.Exemplars {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = appendExemplar(dst, x)
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, ']')
}

func appendExemplar(dst []byte, x exemplar.Exemplar) []byte {
	dst = appendLabels(append(dst, `{"labels":`...), x.Labels)
	dst = appendFloat(append(dst, `,"value":"`...), x.Value)
	dst = appendTime(append(dst, `","timestamp":`...), x.Ts)
	return append(dst, '}')
}
