package report_test

import (
	"math"
	"testing"

	"github.com/nilometer/nilometer/bench/report"
)

func TestMarkdown(t *testing.T) {
	table := report.Table{Title: "scrape", Systems: []string{"us", "old", "new"}, Subject: "us"}
	table.Add("CPU", "s/M", map[string]float64{"us": 0.1, "old": 1.25, "new": 0.05})
	table.Add("memory", "B", map[string]float64{"us": 300, "old": 1500})
	const want = `| scrape | unit |  us |   old |  new | old / us | new / us |
|--------|------|----:|------:|-----:|---------:|---------:|
| CPU    | s/M  | 0.1 |  1.25 | 0.05 |      12× |    0.50× |
| memory | B    | 300 | 1,500 |    – |    5.00× |        – |
`
	if got := table.Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if v := table.Value("CPU", "old"); v != 1.25 {
		t.Errorf("value %g", v)
	}
	if v := table.Value("memory", "new"); !math.IsNaN(v) {
		t.Errorf("value of nothing %g", v)
	}
}

func TestMarkdownWithoutSubject(t *testing.T) {
	table := report.Table{Title: "x", Systems: []string{"old"}, Subject: "us"}
	table.Add("CPU", "s", map[string]float64{"old": 2})
	const want = "| x   | unit |  old |\n|-----|------|-----:|\n| CPU | s    | 2.00 |\n"
	if got := table.Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRatioAndNumber(t *testing.T) {
	for _, c := range []struct {
		peer, subject float64
		want          string
	}{{2, 1, "2.00×"}, {1, 3, "0.33×"}, {123, 1, "123×"}, {9.949, 1, "9.95×"}, {1, 0, "–"}, {math.NaN(), 1, "–"}, {1, math.NaN(), "–"}, {0, 2, "0.00×"}} {
		if got := report.Ratio(c.peer, c.subject); got != c.want {
			t.Errorf("ratio of %g to %g is %s, want %s", c.peer, c.subject, got, c.want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.01234: "0.0123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234.5: "1,235", 1234567: "1,234,567", -1234: "-1,234", math.Inf(1): "–"} {
		if got := report.Number(v); got != want {
			t.Errorf("%g prints as %s, want %s", v, got, want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	values := []float64{5, 1, 4, 2, 3, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.5: 5, 0.99: 10, 1: 10, 0.1: 1, 0.11: 2} {
		if got := report.Quantile(q, values); got != want {
			t.Errorf("%g-quantile is %g, want %g", q, got, want)
		}
	}
	if got := report.Median(values); got != 5.5 {
		t.Errorf("median of ten is %g", got)
	}
	if got := report.Median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median of three is %g", got)
	}
	if !math.IsNaN(report.Median(nil)) || !math.IsNaN(report.Quantile(0.5, nil)) {
		t.Error("nothing has a median")
	}
	if values[0] != 5 {
		t.Error("values were sorted in place")
	}
}
