package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/promql/plan"
)

// pointsMax is Prometheus' bound on the points of one series in a range query:
// enough for 60 s over a week or 1 h over a year.
const pointsMax = 11000

// query answers /api/v1/query.
func (a *API) query(r *http.Request) (answer, error) {
	at, err := timeParam(r, "time", a.now())
	if err != nil {
		return answer{}, err
	}
	q, err := commonQuery(r)
	if err != nil {
		return answer{}, err
	}
	q.Time = at
	if flagParam(r, "explain") {
		return a.explain(r, q)
	}
	res, err := a.deps.Engine.Instant(origin(r), a.deps.Reader, a.deps.Tenant, q)
	return queryAnswer(q, r, res, err)
}

// queryRange answers /api/v1/query_range.
func (a *API) queryRange(r *http.Request) (answer, error) {
	q, err := commonQuery(r)
	if err != nil {
		return answer{}, err
	}
	if q.Start, err = requiredTime(r, "start"); err != nil {
		return answer{}, err
	}
	if q.End, err = requiredTime(r, "end"); err != nil {
		return answer{}, err
	}
	if q.End.Before(q.Start) {
		return answer{}, invalidParameter("end", errors.New("end timestamp must not be before start time"))
	}
	if q.Step, err = parseDuration(r.FormValue("step")); err != nil {
		return answer{}, invalidParameter("step", err)
	}
	if q.Step <= 0 {
		return answer{}, invalidParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if most := cmp.Or(a.deps.StepsMax, pointsMax); q.End.Sub(q.Start)/q.Step > time.Duration(most) {
		return answer{}, badData(fmt.Errorf("exceeded maximum resolution of %s points per timeseries. Try decreasing the query resolution (?step=XX)", grouped(most)))
	}
	if flagParam(r, "explain") {
		return a.explain(r, q)
	}
	res, err := a.deps.Engine.Range(origin(r), a.deps.Reader, a.deps.Tenant, q)
	return queryAnswer(q, r, res, err)
}

// origin is the context of a request's queries.
func origin(r *http.Request) context.Context {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	path, _, _ := strings.Cut(r.RequestURI, "?") // with the prefix
	return promql.WithOrigin(r.Context(), promql.Origin{ClientIP: ip, Method: r.Method, Path: path})
}

// grouped writes a number with commas between its thousands.
func grouped(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", grouped(n/1000), n%1000)
}

func requiredTime(r *http.Request, name string) (time.Time, error) {
	t, err := parseTime(r.FormValue(name))
	if err != nil {
		return time.Time{}, invalidParameter(name, err)
	}
	return t, nil
}

// commonQuery reads what instant and range queries share.
func commonQuery(r *http.Request) (promql.Query, error) {
	q := promql.Query{Expr: r.FormValue("query"), Partial: partialParam(r), Trace: flagParam(r, "trace"), NoCache: flagParam(r, "nocache")}
	var err error
	if q.Limit, err = limitParam(r); err != nil {
		return q, err
	}
	if q.Timeout, err = durationParam(r, "timeout"); err != nil {
		return q, err
	}
	if q.LookbackDelta, err = durationParam(r, "lookback_delta"); err != nil {
		return q, err
	}
	return q, nil
}

// flagParam reports whether a parameter is set to 1 or true.
func flagParam(r *http.Request, name string) bool {
	on, err := strconv.ParseBool(r.FormValue(name))
	return err == nil && on
}

// explain answers what a query would do, without doing it.
func (a *API) explain(r *http.Request, q promql.Query) (answer, error) {
	x, err := a.deps.Engine.Plan(origin(r), a.deps.Reader, a.deps.Tenant, q)
	if err != nil {
		return queryAnswer(q, r, nil, err)
	}
	return answer{data: x}, nil
}

// appendTrace adds the field trace to an object that is not closed yet, and
// closes it.
func appendTrace(dst []byte, t *plan.Tree) []byte {
	body, err := json.Marshal(struct {
		Plan *plan.Tree `json:"plan"`
		Text string     `json:"text"`
	}{t, t.Text()})
	if err != nil { // strings and finite numbers always marshal
		panic("httpapi: marshal a trace: " + err.Error())
	}
	return append(append(append(dst, `,"trace":`...), body...), '}')
}

func queryAnswer(q promql.Query, r *http.Request, res *promql.Result, err error) (answer, error) {
	if err != nil {
		var parse *promql.ParseError
		if errors.As(err, &parse) {
			err = invalidParameter("query", parse.Err)
		}
		return answer{}, err
	}
	encode := func(dst []byte, out *sink) []byte {
		dst = appendResult(dst, res, out)
		if r.FormValue("stats") != "" {
			dst = append(append(dst[:len(dst)-1], `,"stats":`...), append(statsJSON(res.Stats), '}')...)
		}
		if res.Trace != nil {
			dst = appendTrace(dst[:len(dst)-1], res.Trace)
		}
		return dst
	}
	return answer{encode: encode, release: res.Close, warnings: res.Warnings, query: q.Expr, rows: inRows(res)}, nil
}

// rowPoints is how many points there are to a series at least, on average, for
// labels to be little of an answer, and rowsMin how many at all for it to be worth
// a code of its own.
const (
	rowPoints = 16
	rowsMin   = 128
)

// inRows tells whether an answer is mostly rows of points.
func inRows(res *promql.Result) bool {
	points := 0
	for i := range res.Matrix {
		points += res.Matrix[i].Points.Len()
	}
	return points >= max(rowsMin, rowPoints*len(res.Matrix))
}

// statsJSON has Prometheus' names for what we know.
func statsJSON(s promql.Stats) []byte {
	return fmt.Appendf(nil,
		`{"timings":{"evalTotalTime":%g,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":%g,"execQueueTime":%g,"execTotalTime":%g},"samples":{"totalQueryableSamples":%d,"peakSamples":%d},"steps":{"asked":%d,"kept":%d}}`,
		(s.Total - s.Queued).Seconds(), (s.Total - s.Queued).Seconds(), s.Queued.Seconds(), s.Total.Seconds(), s.SamplesRead, s.MemoryPeakBytes/16, s.Steps, s.StepsKept)
}
