package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Excesses tells which labels have more values than they may.
type Excesses interface {
	Excesses(id tenant.ID) []limits.Excess
}

// The number of entries of each list, Prometheus' default and its bound.
const (
	cardinalityDefault = 10
	cardinalityMax     = 10_000
)

// statJSON is Prometheus' form of an entry.
type statJSON struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

type headStatsJSON struct {
	NumSeries     uint64 `json:"numSeries"`
	NumLabelPairs uint64 `json:"numLabelPairs"`
	ChunkCount    uint64 `json:"chunkCount"`
	MinTime       int64  `json:"minTime"`
	MaxTime       int64  `json:"maxTime"`
}

// cardinalJSON is an entry of ours.
type cardinalJSON struct {
	Name             string  `json:"name"`
	Series           uint64  `json:"series"`
	NewSeries        uint64  `json:"newSeries"`
	SamplesPerSecond float64 `json:"samplesPerSecond"`
	Growth           int64   `json:"growth"`
}

type rankingJSON struct {
	BySeries  []cardinalJSON `json:"bySeries"`
	ByChurn   []cardinalJSON `json:"byChurn"`
	BySamples []cardinalJSON `json:"bySamplesPerSecond"`
	ByGrowth  []cardinalJSON `json:"byGrowth"`
}

// excessJSON is a label with more values than it may have.
type excessJSON struct {
	Metric   string        `json:"metric"`
	Label    string        `json:"label"`
	Job      string        `json:"job,omitempty"`
	Instance string        `json:"instance,omitempty"`
	Values   uint64        `json:"values"`
	Limit    uint64        `json:"limit"`
	Series   uint64        `json:"newSeries"`
	Policy   limits.Policy `json:"policy"`
	Since    time.Time     `json:"since"`
	Example  string        `json:"example"`
}

type tsdbJSON struct {
	HeadStats    headStatsJSON `json:"headStats"`
	SeriesByName []statJSON    `json:"seriesCountByMetricName"`
	ValuesByName []statJSON    `json:"labelValueCountByLabelName"`
	BytesByName  []statJSON    `json:"memoryInBytesByLabelName"`
	SeriesByPair []statJSON    `json:"seriesCountByLabelValuePair"`

	Metrics     rankingJSON  `json:"metrics"`
	Labels      rankingJSON  `json:"labels"`
	Pairs       rankingJSON  `json:"labelPairs"`
	Jobs        rankingJSON  `json:"jobs"`
	Targets     rankingJSON  `json:"targets"`
	ChurnSince  *time.Time   `json:"churnSince"`
	GrowthSince *time.Time   `json:"growthSince"`
	Excesses    []excessJSON `json:"overLimit"`
}

// statusTSDB answers /api/v1/status/tsdb: what Prometheus says, and of what
// there is most by series, churn, samples and growth.
func (a *API) statusTSDB(r *http.Request) (answer, error) {
	most, err := countParam(r, "limit")
	switch {
	case err != nil:
		return answer{}, err
	case r.FormValue("limit") == "":
		most = cardinalityDefault
	case most < 1 || most > cardinalityMax:
		return answer{}, badData(fmt.Errorf("limit is %d, and must be between 1 and %d", most, cardinalityMax))
	}
	c, err := a.deps.Cardinality.Cardinality(r.Context(), a.deps.Tenant, most)
	if err != nil {
		return answer{}, err
	}
	return answer{data: tsdbJSON{
		HeadStats:    headStatsJSON{c.Series, c.LabelPairs, c.Chunks, c.MinTime, c.MaxTime},
		SeriesByName: stats(c.Metrics.BySeries), ValuesByName: stats(c.ValuesOf), BytesByName: stats(c.BytesOf), SeriesByPair: stats(c.Pairs.BySeries),
		Metrics: rankingOf(&c.Metrics), Labels: rankingOf(&c.Labels), Pairs: rankingOf(&c.Pairs), Jobs: rankingOf(&c.Jobs), Targets: rankingOf(&c.Targets),
		ChurnSince: timeOrNull(c.ChurnSince), GrowthSince: timeOrNull(c.GrowthSince),
		Excesses: excesses(a.deps.Excesses.Excesses(a.deps.Tenant), most),
	}}, nil
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func stats(list []storage.Cardinal) []statJSON {
	out := make([]statJSON, len(list))
	for i, c := range list {
		out[i] = statJSON{c.Name, c.Series}
	}
	return out
}

func rankingOf(r *storage.Ranking) rankingJSON {
	return rankingJSON{cardinals(r.BySeries), cardinals(r.ByChurn), cardinals(r.BySamples), cardinals(r.ByGrowth)}
}

func cardinals(list []storage.Cardinal) []cardinalJSON {
	out := make([]cardinalJSON, len(list))
	for i, c := range list {
		out[i] = cardinalJSON{c.Name, c.Series, c.New, c.SamplesPerSecond, c.Growth}
	}
	return out
}

// excesses returns those of which most series were too many.
func excesses(list []limits.Excess, most int) []excessJSON {
	slices.SortFunc(list, func(a, b limits.Excess) int {
		return cmp.Or(cmp.Compare(b.Series, a.Series), cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Instance, b.Instance))
	})
	out := make([]excessJSON, min(len(list), most))
	for i, x := range list[:len(out)] {
		out[i] = excessJSON{
			Metric: x.Metric, Label: x.Label, Job: x.Job, Instance: x.Instance, Values: x.Values, Limit: x.Max,
			Series: x.Series, Policy: x.Policy, Since: x.Since.UTC(), Example: x.Example,
		}
	}
	return out
}
