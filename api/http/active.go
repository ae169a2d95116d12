package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nilometer/nilometer/promql"
)

// Queries is what the API asks and tells about the queries that are not
// answered yet.
type Queries interface {
	Active() []promql.ActiveQuery
	Kill(id uint64, by string) (promql.ActiveQuery, bool)
}

const activeQueriesPath = "/api/v1/status/active_queries"

// activeQueryJSON is a query that waits or runs. Durations are in seconds; the
// times of the evaluation are in seconds since the Unix epoch, since they may be
// further away than RFC 3339 goes.
type activeQueryJSON struct {
	ID              string       `json:"id"`
	Query           string       `json:"query"`
	Tenant          string       `json:"tenant"`
	Kind            promql.Kind  `json:"kind"`
	State           promql.State `json:"state"`
	Start           float64      `json:"start"`
	End             float64      `json:"end"`
	Step            float64      `json:"step"`
	ArrivedAt       time.Time    `json:"arrivedAt"`
	QueuedTime      float64      `json:"queuedTime"`
	RunningTime     float64      `json:"runningTime"`
	SeriesSelected  int64        `json:"seriesSelected"`
	SeriesRead      int64        `json:"seriesRead"`
	SamplesRead     int64        `json:"samplesRead"`
	MemoryBytes     int64        `json:"memoryBytes"`
	MemoryPeakBytes int64        `json:"memoryPeakBytes"`
}

func activeJSON(q promql.ActiveQuery, now time.Time) activeQueryJSON {
	out := activeQueryJSON{
		ID: strconv.FormatUint(q.ID, 10), Query: q.Expr, Tenant: string(q.Tenant), Kind: q.Kind, State: q.State,
		Start: seconds(q.Start), End: seconds(q.End), Step: q.Step.Seconds(), ArrivedAt: q.Arrived.UTC(),
		SeriesSelected: q.SeriesSelected, SeriesRead: q.SeriesRead, SamplesRead: q.SamplesRead,
		MemoryBytes: q.MemoryBytes, MemoryPeakBytes: q.MemoryPeakBytes,
	}
	if q.Admitted.IsZero() {
		out.QueuedTime = now.Sub(q.Arrived).Seconds()
		return out
	}
	out.QueuedTime, out.RunningTime = q.Admitted.Sub(q.Arrived).Seconds(), now.Sub(q.Admitted).Seconds()
	return out
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// activeQueries answers GET /api/v1/status/active_queries.
func (a *API) activeQueries(*http.Request) (answer, error) {
	now := a.now()
	list := []activeQueryJSON{}
	for _, q := range a.deps.Queries.Active() {
		list = append(list, activeJSON(q, now))
	}
	return answer{data: map[string]any{"queries": list}}, nil
}

// killQuery answers DELETE /api/v1/status/active_queries/{id} with what the
// query was.
func (a *API) killQuery(r *http.Request) (answer, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return answer{}, invalidParameter("id", fmt.Errorf("%q is no id of a query: take one of GET %s", r.PathValue("id"), activeQueriesPath))
	}
	q, ok := a.deps.Queries.Kill(id, fmt.Sprintf("via the API (DELETE %s/%d)", activeQueriesPath, id))
	if !ok {
		return answer{}, &apiError{errNotFound, fmt.Errorf("no active query has the id %d: it has ended, or never was", id)}
	}
	return answer{data: activeJSON(q, a.now())}, nil
}
