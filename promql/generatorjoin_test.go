package promql_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// join makes operators of two vectors whose sides say something about the labels
// that they are matched by: what the rule "propagate" looks for, and what is
// beside it.
func (g *generator) join(depth int) string {
	if g.rnd.IntN(3) == 0 {
		return g.again()
	}
	on := pick(g, "", "", "on (job)", "on (job, instance)", "on (instance, path)", "ignoring (path)", "ignoring (mode)", "ignoring (job, sensor)", "ignoring (le)")
	op := pick(g, "+", "/", "*", ">", "== bool", "and", "and", "unless", "unless", "or")
	switch op {
	case "and", "unless", "or":
		op += " " + on
	default:
		if on != "" {
			op += " " + on + pick(g, "", "", " group_left ()", " group_right ()", " group_left (version)")
		}
	}
	left, right := g.side(depth-1, on), g.side(depth-1, on)
	if g.rnd.IntN(3) == 0 {
		right = left
		for _, m := range []string{`job="api"`, `instance=~"host-[01].*"`, `path="/"`} {
			right = strings.ReplaceAll(right, m, pick(g, `path!="/login"`, `job=~".*"`, `path=""`))
		}
	}
	return fmt.Sprintf("(%s) %s (%s)", left, op, right)
}

// side makes what matchers may or may not go through.
func (g *generator) side(depth int, on string) string {
	name := pick(g, "requests_total", "requests_total", "cpu_seconds_total", "latency_bucket", "up", "depth", "temperature", "build_info")
	if g.histograms {
		name = pick(g, "requests_total", "requests_total", "sizes", "depth", "mixed", "level")
	}
	var ms []string
	for range g.rnd.IntN(3) {
		ms = append(ms, pick(g, `job="api"`, `job!="db"`, `instance=~"host-[01].*"`, `instance="host-1:9100"`, `path="/"`, `path=~"/.+"`, `path=""`, `job=~".*"`, `mode="idle"`, `le="0.5"`, `none=""`))
	}
	sel := name
	if g.rnd.IntN(15) == 0 {
		ms = append(ms, `__name__=~"`+name+`|up"`)
		sel = ""
	}
	if len(ms) > 0 {
		sel += "{" + strings.Join(ms, ",") + "}"
	}
	return g.around(depth, sel, on)
}

// around puts functions and aggregations around a selector.
func (g *generator) around(depth int, sel, on string) string {
	v := sel + g.modifiers()
	switch g.rnd.IntN(4) {
	case 0:
		v = pick(g, "rate", "increase", "irate", "delta", "max_over_time", "last_over_time", "count_over_time", "changes", "resets", "absent_over_time") + "(" + sel + "[" + g.span() + "]" + g.modifiers() + ")"
	case 1:
		v = pick(g, "quantile_over_time(0.5, ", "quantile_over_time(2, ") + sel + "[5m])"
	}
	for range 1 + g.rnd.IntN(2) {
		switch g.rnd.IntN(8) {
		case 0, 1, 2:
			by := strings.TrimPrefix(strings.TrimPrefix(on, "on"), "ignoring")
			words := []string{"by " + by, "without " + by, "by (job, instance)", "by (job)", "without (path)", "by (__name__, job)", ""}
			if by == "" {
				words = words[2:]
			}
			v = pick(g, "sum", "count", "max", "avg", "group") + " " + pick(g, words...) + " (" + v + ")"
		case 3:
			v = pick(g, "abs", "ceil", "-", "timestamp", "minute") + "(" + sel + ")"
		case 4:
			v = "(" + v + ")" + pick(g, " * ", " > ", " - ", " >= bool ") + pick(g, "1", "0.5", "time()")
		case 5:
			v = pick(g, "max", "last", "count") + "_over_time((" + v + ")[5m:1m])"
		}
	}
	if depth > 0 && g.rnd.IntN(3) == 0 {
		return "(" + v + ") " + pick(g, "*", "and", "or", "unless", ">") + " " + pick(g, on, "") + " (" + g.side(depth-1, on) + ")"
	}
	return v
}

func newGenerator(seed uint64) *generator {
	return &generator{rnd: rand.New(rand.NewPCG(seed, 7))}
}

// again makes operators of two readings of the same series, or of some of them:
// what the rule "merge" looks for.
func (g *generator) again() string {
	name := pick(g, "requests_total", "cpu_seconds_total", "latency_bucket", "depth", "odd", `{__name__=~"up|depth"}`)
	if g.histograms {
		name = pick(g, "sizes", "custom", "mixed", "requests_total", "level")
	}
	ms := pick(g, "", "", `{job="api"}`, `{path="/",job=~"a.*"}`)
	if strings.HasSuffix(name, "}") {
		ms = ""
	}
	reading := func() string {
		sel := name + ms
		if !strings.HasPrefix(name, "{") && g.rnd.IntN(3) == 0 {
			more := pick(g, `instance=~"host-[01].*"`, `path="/"`, `le!="0.5"`, `mode=""`)
			sel = strings.Replace(name+"{"+strings.TrimPrefix(ms, "{"), "{", "{"+more+",", 1)
			if ms == "" {
				sel = name + "{" + more + "}"
			}
		}
		at := pick(g, "", "", "", " offset 1m", " offset 3m", " @ start()")
		v := sel + at
		switch g.rnd.IntN(4) {
		case 0, 1, 2:
			f := pick(g, "rate", "increase", "irate", "delta", "deriv", "max_over_time", "min_over_time", "last_over_time", "count_over_time", "present_over_time", "changes", "resets", "quantile_over_time", "sum_over_time", "double_exponential_smoothing")
			in := sel + "[" + g.span() + "]" + g.extended(at)
			switch f {
			case "quantile_over_time":
				in = pick(g, "0.5, ", "2, ", "time(), ") + in
			case "double_exponential_smoothing":
				in += pick(g, ", 0.5, 0.1", ", 2, 0.1")
			}
			v = f + "(" + in + ")"
		}
		switch g.rnd.IntN(6) {
		case 0, 1, 2:
			return pick(g, "sum", "sum", "avg", "count", "max", "group") + g.grouping() + " (" + v + ")"
		case 3:
			return pick(g, "abs", "timestamp", "absent", "-", "sort") + "(" + v + ")"
		case 4:
			return "max_over_time((" + v + ")[3m:1m])"
		}
		return v
	}
	op := func() string {
		return pick(g, "/", "-", "> bool", "and", "or", "unless") + pick(g, "", "", " on ()", " on (job)")
	}
	expr := "(" + reading() + ") " + op() + " (" + reading() + ")"
	if g.rnd.IntN(3) == 0 {
		expr = "(" + expr + ") " + op() + " (" + reading() + ")"
	}
	return expr
}
