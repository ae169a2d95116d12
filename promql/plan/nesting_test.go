package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/promql/plan"
)

// TestCheckNesting: what is too deep for the parser is refused before it, and
// what is only long is not.
func TestCheckNesting(t *testing.T) {
	repeat := strings.Repeat
	for _, c := range []struct {
		name, text string
		depth      int64 // 0: taken
	}{
		{"nothing", "", 0},
		{"parentheses", repeat("(", 5000) + "1" + repeat(")", 5000), 0},
		{"a pair more", repeat("(", 5001) + "1" + repeat(")", 5001), 5001},
		{"open", repeat("(", 9000), 9000},
		{"closed only", repeat(")", 9000), 0},
		{"functions", repeat("abs(", 6000) + "x" + repeat(")", 6000), 6000},
		{"chain", repeat("x + ", 5001) + "x", 5001},
		{"set operators", repeat("x or ", 5001) + "x", 5001},
		{"signs", repeat("-", 6000) + "x", 6000},
		{"subqueries", "x" + repeat("[1m:]", 6000), 6000},
		{"chains beside each other", "f(" + repeat(repeat("x + ", 1000)+"x, ", 50) + "x)", 0},
		{"chains in each other", repeat("(x + ", 3000) + "x" + repeat(")", 3000), 6000},
		{"a long text", `x{a="` + repeat("(+", 50000) + `"} # ` + repeat("(+", 50000), 0},
		{"many labels", "x{" + repeat(`a=~"b",`, 20000) + "}", 0},
		{"broken text", repeat("(", 100) + "\xff\"" + repeat("(", 9000), 0},
	} {
		err := plan.CheckNesting(c.text)
		var limit *plan.LimitError
		switch {
		case c.depth == 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.depth > 0 && (!errors.As(err, &limit) || limit.Seen != c.depth || limit.Max != 5000):
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
