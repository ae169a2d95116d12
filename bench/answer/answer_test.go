package answer_test

import (
	"math"
	"testing"

	"github.com/nilometer/nilometer/bench/answer"
)

func parse(t *testing.T, body string) answer.Answer {
	t.Helper()
	a, err := answer.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func matrix(values string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"b":"2","a":"1"},"values":` + values + `}]}}`
}

func TestParse(t *testing.T) {
	a := parse(t, matrix(`[[1.5,"2"],[3,"NaN"]]`))
	got := a["a=1,b=2"]
	if len(a) != 1 || len(got) != 2 || got[0] != (answer.Point{Unix: 1.5, Value: 2}) || !math.IsNaN(got[1].Value) {
		t.Errorf("matrix is read as %v", a)
	}
	a = parse(t, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[7,"+Inf"]}]}}`)
	if got := a[""]; len(got) != 1 || !math.IsInf(got[0].Value, 1) {
		t.Errorf("vector is read as %v", a)
	}
	for _, bad := range []string{"", "{}", `{"status":"error"}`, matrix(`[[1,2]]`), matrix(`[[1,"x"]]`)} {
		if _, err := answer.Parse([]byte(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestDifference(t *testing.T) {
	base := parse(t, matrix(`[[1,"2"],[3,"NaN"],[4,"0"]]`))
	for values, want := range map[string]float64{
		`[[1,"2"],[3,"NaN"],[4,"0"]]`:   0,
		`[[1,"2.5"],[3,"NaN"],[4,"0"]]`: 0.2,
		`[[1,"2"],[3,"1"],[4,"0"]]`:     math.Inf(1),
		`[[1,"2"],[3,"NaN"]]`:           math.Inf(1),
		`[[1,"2"],[3,"NaN"],[5,"0"]]`:   math.Inf(1),
		`[[1,"2"],[3,"NaN"],[4,"1"]]`:   1,
	} {
		other := parse(t, matrix(values))
		if got := base.Difference(other); got != want {
			t.Errorf("difference to %s is %g, want %g", values, got, want)
		}
		if got := other.Difference(base); got != want {
			t.Errorf("difference from %s is %g, want %g", values, got, want)
		}
	}
	if got := base.Difference(answer.Answer{}); !math.IsInf(got, 1) {
		t.Errorf("difference to nothing is %g", got)
	}
}

func TestMetric(t *testing.T) {
	text := []byte("# HELP a x\na_total 3\na{x=\"1\"} 4\na 5.5\n")
	if v, ok := answer.Metric(text, "a"); !ok || v != 5.5 {
		t.Errorf("a is %g, %t", v, ok)
	}
	if _, ok := answer.Metric(text, "b"); ok {
		t.Error("b is found")
	}
}
