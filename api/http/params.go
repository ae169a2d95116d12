package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/storage"
)

// The range of times that a request without start or end means. Clients may
// send these very values back.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()
)

// parseTime reads Unix seconds or RFC 3339.
func parseTime(s string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(seconds) && !math.IsInf(seconds, 0) {
		whole, fraction := math.Modf(seconds)
		if math.Abs(whole) > math.MaxInt64/2000 {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp: out of range", s)
		}
		fraction = math.Round(fraction*1000) / 1000
		return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	switch s {
	case minTime.Format(time.RFC3339Nano):
		return minTime, nil
	case maxTime.Format(time.RFC3339Nano):
		return maxTime, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// parseDuration reads seconds or Prometheus' duration form.
func parseDuration(s string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		ns := seconds * float64(time.Second)
		if ns > math.MaxInt64 || ns < math.MinInt64 || math.IsNaN(ns) {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	if d, err := model.ParseDuration(s); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
}

func invalidParameter(name string, err error) error {
	return badData(fmt.Errorf("invalid parameter %q: %w", name, err))
}

// timeParam reads a time; otherwise is for an absent one.
func timeParam(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	s := r.FormValue(name)
	if s == "" {
		return otherwise, nil
	}
	t, err := parseTime(s)
	if err != nil {
		return time.Time{}, invalidParameter(name, err)
	}
	return t, nil
}

// durationParam reads a duration that may be absent.
func durationParam(r *http.Request, name string) (time.Duration, error) {
	s := r.FormValue(name)
	if s == "" {
		return 0, nil
	}
	d, err := parseDuration(s)
	if err != nil {
		return 0, invalidParameter(name, err)
	}
	return d, nil
}

func limitParam(r *http.Request) (int, error) {
	s := r.FormValue("limit")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, invalidParameter("limit", err)
	}
	if n < 0 {
		return 0, invalidParameter("limit", errors.New("limit must be non-negative"))
	}
	return n, nil
}

func partialParam(r *http.Request) bool { return r.FormValue("partial") == "true" }

// selections reads match[], start and end: one selection a matcher set; none
// when the request has no match[]. refuse makes the error about a bad match[],
// which Prometheus words differently by endpoint.
func (a *API) selections(r *http.Request, refuse func(error) error) ([]storage.Selection, storage.Selection, error) {
	if err := r.ParseForm(); err != nil {
		return nil, storage.Selection{}, badData(fmt.Errorf("error parsing form values: %w", err))
	}
	start, err := timeParam(r, "start", minTime)
	if err != nil {
		return nil, storage.Selection{}, err
	}
	end, err := timeParam(r, "end", maxTime)
	if err != nil {
		return nil, storage.Selection{}, err
	}
	if end.Before(start) {
		return nil, storage.Selection{}, invalidParameter("end", errors.New("end timestamp must not be before start time"))
	}
	all := storage.Selection{MinTime: start.UnixMilli(), MaxTime: end.UnixMilli(), Partial: partialParam(r)}
	var out []storage.Selection
	for _, text := range r.Form["match[]"] {
		ms, err := a.parser.ParseMetricSelector(text)
		if err != nil {
			return nil, all, refuse(err)
		}
		if !selective(ms) {
			return nil, all, refuse(errors.New("match[] must contain at least one non-empty matcher"))
		}
		s := all
		s.Matchers = ms
		out = append(out, s)
	}
	return out, all, nil
}

// selective reports whether a matcher set asks for less than everything.
func selective(ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches("") {
			return true
		}
	}
	return false
}
