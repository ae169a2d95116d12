// Package answer reads results of the query API that Prometheus has defined, and
// says how far two of them are apart.
package answer

import (
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// Answer is a vector or matrix: the points of each series, in order of time,
// by its labels as "name=value,…" sorted by name.
type Answer map[string][]Point

// Point is a value at a time in seconds.
type Point struct {
	Unix, Value float64
}

// Parse reads the body of a successful answer with a vector or a matrix.
func Parse(body []byte) (Answer, error) {
	var doc struct {
		Status string
		Data   struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  *point
				Values []point
			}
		}
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if doc.Status != "success" {
		return nil, fmt.Errorf("read answer: its status is %q", doc.Status)
	}
	out := Answer{}
	for _, series := range doc.Data.Result {
		var key []string
		for name, value := range series.Metric {
			key = append(key, name+"="+value)
		}
		sort.Strings(key)
		if series.Value != nil {
			series.Values = append(series.Values, *series.Value)
		}
		points := make([]Point, len(series.Values))
		for i, p := range series.Values {
			points[i] = Point(p)
		}
		out[strings.Join(key, ",")] = points
	}
	return out, nil
}

// point is a Point as [seconds, "value"].
type point Point

func (p *point) UnmarshalJSON(text []byte) error {
	var value string
	if err := json.Unmarshal(text, &[]any{&p.Unix, &value}); err != nil {
		return fmt.Errorf("point %s: %w", text, err)
	}
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return fmt.Errorf("point %s: %w", text, err)
	}
	p.Value = v
	return nil
}

// Difference is the largest relative difference between two values of a and b,
// 0 when they are equal, infinite where a series or a point has no counterpart.
func (a Answer) Difference(b Answer) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var worst float64
	for key, points := range a {
		others, ok := b[key]
		if !ok || len(others) != len(points) {
			return math.Inf(1)
		}
		for i, p := range points {
			if p.Unix != others[i].Unix {
				return math.Inf(1)
			}
			worst = max(worst, relative(p.Value, others[i].Value))
		}
	}
	return worst
}

func relative(a, b float64) float64 {
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return 0
	}
	d := math.Abs(a-b) / max(math.Abs(a), math.Abs(b))
	if math.IsNaN(d) {
		return math.Inf(1)
	}
	return d
}

// Metric finds the value of a metric without labels in a text exposition.
func Metric(exposition []byte, name string) (value float64, ok bool) {
	for line := range strings.Lines(string(exposition)) {
		if rest, found := strings.CutPrefix(line, name+" "); found {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			return v, err == nil
		}
	}
	return 0, false
}
