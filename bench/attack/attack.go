// Package attack has the queries that are made to hurt a server (by what they
// select, by how long their windows are, by their texts) and the data that they
// are asked of.
//
// It owns the list and the data's shape. It asks nobody anything.
package attack

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Query is one kind of hostile query.
type Query struct {
	Name, Expr string
	// Instant says that it is asked for one time; else it is a range query over
	// Span up to now, with a Step.
	Instant    bool
	Span, Step time.Duration
}

// Form is what is sent to the path that Path names.
func (q Query) Form(now time.Time) url.Values {
	form := url.Values{"query": {q.Expr}}
	if !q.Instant {
		form.Set("start", fmt.Sprint(now.Add(-q.Span).Unix()))
		form.Set("end", fmt.Sprint(now.Unix()))
		form.Set("step", fmt.Sprint(q.Step.Seconds()))
	}
	return form
}

// Path is that of the API that answers the query.
func (q Query) Path() string {
	if q.Instant {
		return "/api/v1/query"
	}
	return "/api/v1/query_range"
}

const (
	month = 30 * 24 * time.Hour
	all   = `{__name__=~".+"}`
	// finest is the step of 11,000 in a month.
	finest = month / 11000
)

// Queries returns all of them.
func Queries() []Query {
	nested := func(f string, n int, in string) string { return strings.Repeat(f+"(", n) + in + strings.Repeat(")", n) }
	var names strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&names, "name_%d|", i)
	}
	return []Query{
		{Name: "everything, 11,000 steps", Expr: all, Span: 6 * time.Hour, Step: 2 * time.Second},
		{Name: "everything, a month", Expr: all, Span: month, Step: finest},
		{Name: "window of a month", Expr: "sum(sum_over_time(" + all + "[30d]))", Span: month, Step: finest},
		{Name: "quantile of a month", Expr: "quantile_over_time(0.9, " + all + "[30d])", Span: month, Step: finest},
		{Name: "subquery at 1 s", Expr: "max_over_time(sum(" + all + ")[30d:1s])", Span: month, Step: finest},
		{Name: "raw samples of a month", Expr: all + "[30d]", Instant: true},
		{Name: "200 deep", Expr: nested("abs", 200, all), Span: 6 * time.Hour, Step: 2 * time.Second},
		{Name: "deep as the text allows", Expr: nested("", 100_000, "1"), Instant: true},
		{Name: "chain of operators", Expr: strings.Repeat("1+", 200_000) + "1", Instant: true},
		{Name: "large alternation", Expr: `count({__name__=~"` + names.String() + `x"})`, Instant: true},
		{Name: "repetition", Expr: `{instance=~"((.{0,30}){0,30})x"}`, Instant: true},
		{Name: "backtracking", Expr: `{__name__=~"(.*)*(.*)*(.*)*x"}`, Instant: true},
		{Name: "not matching", Expr: `count({__name__=~".+", __name__!~".*(a|b|c|d).*(e|f).*x+"})`, Span: 6 * time.Hour, Step: 2 * time.Second},
		{Name: "union of everything", Expr: strings.Repeat(all+" or ", 30) + all, Span: 6 * time.Hour, Step: 15 * time.Second},
		{Name: "cross join", Expr: "count(" + all + " * on() group_left() sum(" + all + "))", Span: 6 * time.Hour, Step: 2 * time.Second},
		{Name: "topk of all", Expr: "topk(1000000, " + all + ")", Span: 6 * time.Hour, Step: 2 * time.Second},
		{Name: "count_values", Expr: `count_values("v", ` + all + ")", Span: 6 * time.Hour, Step: 15 * time.Second},
		{Name: "labels rewritten", Expr: `label_replace(` + all + `, "x", "$1$1$1$1", "instance", "(.*)")`, Span: 6 * time.Hour, Step: 15 * time.Second},
		{Name: "labels that grow", Expr: strings.Repeat("label_replace(", 60) + all + strings.Repeat(`, "x", "a$1$1$1$1", "x", "(.*)")`, 60), Instant: true},
		{Name: "rates of everything", Expr: "sort_desc(sum by (instance, __name__) (rate(" + all + "[5m])))", Span: 6 * time.Hour, Step: 2 * time.Second},
		{Name: "regression over a month", Expr: "predict_linear(" + all + "[30d], 3600)", Span: month, Step: finest},
	}
}
