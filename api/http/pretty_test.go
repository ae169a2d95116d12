package httpapi_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// expression draws an expression of a vector, nested at most so deep.
func expression(r *rand.Rand, depth int) string {
	selector := fmt.Sprintf("metric_%d{label=%q}", r.IntN(100), strings.Repeat("v", r.IntN(90)))
	if depth == 0 {
		return selector
	}
	inner := func() string { return expression(r, r.IntN(depth)) }
	switch r.IntN(10) {
	case 0:
		return "sum by (a, b) (" + inner() + ")"
	case 1:
		return "topk without (c) (3, " + inner() + ")"
	case 2:
		return inner() + " + on (a) group_left (b) " + inner()
	case 3:
		return inner() + " > bool ignoring (c) " + inner()
	case 4:
		return "(" + inner() + ")"
	case 5:
		return "-" + inner()
	case 6:
		return "label_replace(" + inner() + ", \"a\", \"$1\", \"b\", \"" + strings.Repeat("x", r.IntN(90)) + "\")"
	case 7:
		return "max_over_time((" + inner() + ")[5m:1m] offset 3m)"
	case 8:
		return "rate(" + selector + "[5m] @ end())"
	}
	return inner() + " and " + inner()
}

// TestFormatQuery: queries are formatted as the parser formats them.
func TestFormatQuery(t *testing.T) {
	s := newSite(t, "", nil)
	p := parser.NewParser(parser.Options{})
	check := func(query string) {
		t.Helper()
		expr, err := p.ParseExpr(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		want, err := json.Marshal(map[string]string{"status": "success", "data": expr.Pretty(0)})
		if err != nil {
			t.Fatal(err)
		}
		status, body, _ := s.do(http.MethodGet, q("/api/v1/format_query", "query", query), "")
		var got, wanted map[string]string
		if json.Unmarshal(want, &wanted) != nil || json.Unmarshal([]byte(body), &got) != nil || status != http.StatusOK || got["data"] != wanted["data"] {
			t.Errorf("%s becomes %d\n%s\nwant\n%s", query, status, body, want)
		}
	}
	r := rand.New(rand.NewPCG(7, 1))
	for range 500 {
		check(expression(r, 6))
	}
	check(strings.Repeat("-", 40) + "(" + expression(r, 5) + ")")
	check(strings.Repeat("-(", 60) + "a" + strings.Repeat(")", 60))
}

// TestFormatDeepQuery: what nests deep takes no longer than what it says, or
// is refused for its size.
func TestFormatDeepQuery(t *testing.T) {
	s := newSite(t, "", nil)
	for _, c := range []struct {
		query string
		code  int
	}{
		{strings.Repeat("abs(", 1500) + "a" + strings.Repeat(")", 1500), http.StatusOK},
		{strings.Repeat("-(", 1500) + "a" + strings.Repeat(")", 1500), http.StatusOK},
		{strings.Repeat("a+", 1500) + "a", http.StatusOK},
		{strings.Repeat("abs(", 4900) + "a" + strings.Repeat(")", 4900), http.StatusUnprocessableEntity},
		{strings.Repeat("-(", 2400) + "a" + strings.Repeat(")", 2400), http.StatusUnprocessableEntity},
	} {
		status, body, _ := s.do(http.MethodGet, q("/api/v1/format_query", "query", c.query), "")
		if status != c.code || c.code != http.StatusOK && !strings.Contains(body, "formatted text") {
			t.Errorf("%.20s…: %d %.200s", c.query, status, body)
		}
	}
}
