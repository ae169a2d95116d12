package column_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/nilometer/nilometer/model/column"
)

func runs(states string) []column.Run {
	var out []column.Run
	for pos, c := range states {
		s := map[rune]column.State{'P': column.Present, 'a': column.Absent, 's': column.Stale}[c]
		out = column.AppendState(out, pos, s)
	}
	return out
}

func TestRuns(t *testing.T) {
	for _, states := range []string{"PPPP", "aPPs", "aassPaP", "ssss", "PaPaPs", ""} {
		rs := runs(states)
		if err := column.ValidateRuns(rs, len(states)); err != nil {
			t.Errorf("%s: %v", states, err)
		}
		present, samples := 0, 0
		for pos, c := range states {
			want := map[rune]column.State{'P': column.Present, 'a': column.Absent, 's': column.Stale}[c]
			if got := column.StateAt(rs, pos); got != want {
				t.Errorf("%s: position %d is %s, want %s", states, pos, got, want)
			}
			if want == column.Present {
				present++
			}
			if want != column.Absent {
				samples++
			}
		}
		if got := column.PresentCount(rs, len(states)); got != present {
			t.Errorf("%s: %d present, want %d", states, got, present)
		}
		if got := column.SampleCount(rs, len(states)); got != samples {
			t.Errorf("%s: %d samples, want %d", states, got, samples)
		}
	}
}

func TestInvalidRuns(t *testing.T) {
	cases := map[string][]column.Run{
		"empty":        {{At: 1, Len: 0, State: column.Absent}},
		"present":      {{At: 1, Len: 1, State: column.Present}},
		"unknown":      {{At: 1, Len: 1, State: 9}},
		"overlap":      {{At: 1, Len: 3, State: column.Absent}, {At: 3, Len: 1, State: column.Stale}},
		"not merged":   {{At: 1, Len: 1, State: column.Absent}, {At: 2, Len: 1, State: column.Absent}},
		"past the end": {{At: 8, Len: 3, State: column.Absent}},
	}
	for name, rs := range cases {
		if column.ValidateRuns(rs, 10) == nil {
			t.Errorf("%s: %v is taken as valid", name, rs)
		}
	}
}

func TestMaterialize(t *testing.T) {
	got := column.Materialize(nil, []int64{10, 20, 30, 40, 50}, []float64{1, 2}, runs("PasaP"))
	if len(got) != 3 || got[0] != (column.Sample{T: 10, V: 1}) || got[2] != (column.Sample{T: 50, V: 2}) ||
		got[1].T != 30 || math.Float64bits(got[1].V) != math.Float64bits(column.StaleNaN()) {
		t.Errorf("got %v", got)
	}
	if !column.IsStale(column.StaleNaN()) || column.IsStale(math.NaN()) {
		t.Error("a stale marker is told from other NaNs by its bits")
	}
	if all := column.Materialize(nil, []int64{1, 2}, []float64{3, 4}, nil); !reflect.DeepEqual(all, []column.Sample{{T: 1, V: 3}, {T: 2, V: 4}}) {
		t.Errorf("without runs: %v", all)
	}
}
