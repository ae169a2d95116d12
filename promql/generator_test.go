package promql_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// generator makes random expressions over the series of generate.
type generator struct {
	rnd *rand.Rand
	// histograms: the series are those of generateHistograms.
	histograms bool
}

func pick[T any](g *generator, of ...T) T { return of[g.rnd.IntN(len(of))] }

func (g *generator) when() when {
	start := time.UnixMilli(dataStart + int64(g.rnd.IntN(2400))*1000 - 200_000 + int64(g.rnd.IntN(1000)))
	if g.rnd.IntN(3) == 0 {
		return when{start: start}
	}
	step := pick(g, time.Second, 5*time.Second, 15*time.Second, 15*time.Second, 67*time.Second, 5*time.Minute, 17*time.Millisecond*101)
	return when{start: start, end: start.Add(step*time.Duration(g.rnd.IntN(40)) + time.Second), step: step}
}

func (g *generator) selector() string {
	name := pick(g, "requests_total", "cpu_seconds_total", "depth", "temperature", "odd", "up", "limit", "latency_bucket", "build_info", "nothing")
	if g.histograms {
		name = pick(g, "sizes", "sizes", "custom", "level", "mixed", "requests_total", "depth", "sizes{le=\"\"}", "sizes{path=\"/\"}", "{__name__=~\"sizes|custom\"}", "nothing")
		if strings.HasSuffix(name, "}") {
			return name
		}
	}
	var ms []string
	if g.rnd.IntN(2) == 0 {
		ms = append(ms, pick(g, `job="api"`, `job!="api"`, `path=~"/.+"`, `path=""`, `le="0.5"`))
	}
	if g.rnd.IntN(3) == 0 {
		ms = append(ms, pick(g, `instance=~"host-[01].*"`, `mode="idle"`, `sensor!~"1."`))
	}
	if g.rnd.IntN(12) == 0 {
		return `{__name__=~"` + name + `|` + pick(g, "up", "depth", "odd") + `"}`
	}
	if len(ms) == 0 {
		return name
	}
	return name + "{" + strings.Join(ms, ",") + "}"
}

func (g *generator) modifiers() string {
	s := ""
	if g.rnd.IntN(8) == 0 {
		s += pick(g, " @ start()", " @ end()", " @ 1700000900", " @ 1700001800.5")
	}
	if g.rnd.IntN(6) == 0 {
		s += pick(g, " offset 1m", " offset 7s", " offset -2m")
	}
	return s
}

func (g *generator) span() string {
	return pick(g, "15s", "30s", "1m", "2m", "5m", "5m", "10m", "1h", "1ms")
}

func (g *generator) matrix(depth int) string {
	if depth > 0 && g.rnd.IntN(4) == 0 {
		step := pick(g, "", "15s", "1m", "40s")
		return fmt.Sprintf("(%s)[%s:%s]%s", g.vector(depth-1), pick(g, "1m", "5m", "10m"), step, g.modifiers())
	}
	return g.selector() + "[" + g.span() + "]" + g.extended(g.modifiers())
}

// extended adds anchored or smoothed now and then.
func (g *generator) extended(s string) string {
	if g.histograms && g.rnd.IntN(5) == 0 {
		return pick(g, " anchored", " smoothed") + s
	}
	return s
}

func (g *generator) scalar(depth int) string {
	switch g.rnd.IntN(6) {
	case 0:
		return pick(g, "NaN", "Inf", "-Inf", "0", "-1")
	case 1:
		return "time()"
	case 2:
		if depth > 0 {
			return "scalar(" + g.vector(depth-1) + ")"
		}
	case 3:
		if depth > 0 {
			return "(" + g.scalar(depth-1) + pick(g, " + ", " - ", " * ", " / ", " % ", " ^ ", " == bool ", " > bool ") + g.scalar(depth-1) + ")"
		}
	}
	return pick(g, "1", "2", "0.5", "10", "1000", "-3", "0.9")
}

func (g *generator) grouping() string {
	return pick(g, "", "", " by (job)", " by (instance)", " by (job, path)", " without (instance)", " without (path, mode)", " by (__name__)", " by (le, job)", " without ()", " by ()")
}

func (g *generator) vector(depth int) string {
	if depth <= 0 {
		if g.histograms && g.rnd.IntN(10) == 0 {
			return "(" + g.selector() + " smoothed" + g.modifiers() + ")"
		}
		return g.selector() + g.modifiers()
	}
	if g.histograms && g.rnd.IntN(4) == 0 {
		return g.ofHistograms(depth)
	}
	switch g.rnd.IntN(13) {
	case 12:
		return g.join(depth)
	case 0, 1:
		return g.rangeFunction(depth)
	case 2, 3:
		if g.rnd.IntN(4) == 0 {
			// Variances of what is nearly constant depend on the order of the input,
			// which upstream leaves to a map in range queries: selectors only.
			return pick(g, "stddev", "stdvar") + g.grouping() + " (" + g.selector() + g.modifiers() + ")"
		}
		if g.histograms && g.rnd.IntN(4) > 0 {
			// Which histograms of a sum do not go together, and whether floats came
			// before, depends on the order of the input, too.
			return pick(g, "sum", "avg") + g.grouping() + " (" + pick(g, g.selector()+g.modifiers(), pick(g, "rate", "delta", "last_over_time", "sum_over_time")+"("+g.matrix(0)+")") + ")"
		}
		if g.histograms {
			return pick(g, "min", "max", "count", "group") + g.grouping() + " (" + g.vector(depth-1) + ")"
		}
		return pick(g, "sum", "avg", "min", "max", "count", "group") + g.grouping() + " (" + g.vector(depth-1) + ")"
	case 4:
		// Ties are resolved by the order of the input, which upstream leaves to a
		// map in range queries: selectors only.
		op := pick(g, "topk", "bottomk", "limitk")
		return op + g.grouping() + " (" + pick(g, "1", "2", "5", "0", "3.7") + ", " + g.selector() + ")"
	case 5:
		return pick(g,
			// Upstream takes a selector at a fixed time, in the parameter of an
			// aggregation, for one at an offset from the first step.
			"quantile"+g.grouping()+" ("+g.scalar(0)+", "+g.vector(depth-1)+")",
			"limit_ratio"+g.grouping()+" ("+pick(g, "0.5", "-0.3", "0", "2")+", "+g.vector(depth-1)+")",
			// The last bit of a sum becomes part of a label: selectors only.
			"count_values"+g.grouping()+` ("`+pick(g, "value", "job", "x")+`", `+pick(g, g.selector(), "floor("+g.selector()+")")+")")
	case 6, 7:
		return g.binary(depth)
	case 8:
		return "(" + g.vector(depth-1) + ")" + pick(g, " + ", " - ", " * ", " / ", " % ", " ^ ", " == ", " != ", " > ", " < bool ", " >= ", " atan2 ") + g.scalar(depth-1)
	case 9:
		return g.scalar(depth-1) + pick(g, " + ", " - ", " * ", " / ", " == ", " != bool ", " > ", " <= ") + "(" + g.vector(depth-1) + ")"
	case 10:
		return g.function(depth)
	}
	return pick(g, "-(", "+(", "(") + g.vector(depth-1) + ")"
}

func (g *generator) rangeFunction(depth int) string {
	name := pick(g, "rate", "rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets",
		"sum_over_time", "avg_over_time", "min_over_time", "max_over_time", "count_over_time", "stddev_over_time", "stdvar_over_time",
		"last_over_time", "first_over_time", "present_over_time", "absent_over_time", "mad_over_time", "ts_of_max_over_time", "ts_of_min_over_time",
		"quantile_over_time", "predict_linear", "double_exponential_smoothing")
	m := g.matrix(depth - 1)
	switch name {
	case "quantile_over_time":
		return name + "(" + g.scalar(depth-1) + ", " + m + ")"
	case "predict_linear":
		return name + "(" + m + ", " + g.scalar(depth-1) + ")"
	case "double_exponential_smoothing":
		return name + "(" + m + ", " + pick(g, "0.5", "0.1", "1.5") + ", " + pick(g, "0.5", "0.9") + ")"
	}
	return name + "(" + m + ")"
}

func (g *generator) binary(depth int) string {
	l, r := g.vector(depth-1), g.vector(depth-1)
	switch g.rnd.IntN(8) {
	case 0:
		r = l
	case 1:
		r = "abs(" + l + ")"
	}
	labels := pick(g, "job", "instance", "job, instance", "", "path", "instance, path")
	match := pick(g, "", "on ("+labels+")", "ignoring ("+labels+")")
	if g.rnd.IntN(3) == 0 {
		return fmt.Sprintf("(%s) %s %s (%s)", l, pick(g, "and", "or", "unless"), match, r)
	}
	op := pick(g, "+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">= bool", "<= bool", "atan2")
	if match != "" {
		match += pick(g, "", "", " group_left ()", " group_right ()", " group_left (version)", " group_right (mode)")
	}
	if g.rnd.IntN(6) == 0 {
		match += pick(g, " fill (0)", " fill_left (1)", " fill_right (2)")
	}
	return fmt.Sprintf("(%s) %s %s (%s)", l, op, match, r)
}

// ofHistograms makes what only histograms have.
func (g *generator) ofHistograms(depth int) string {
	v := g.vector(depth - 1)
	switch g.rnd.IntN(6) {
	case 0:
		return "histogram_quantile(" + g.scalar(depth-1) + ", " + v + ")"
	case 1:
		return "histogram_fraction(" + g.scalar(depth-1) + ", " + g.scalar(depth-1) + ", " + v + ")"
	case 2:
		return "histogram_quantiles(" + v + `, "q", 0.1, ` + g.scalar(0) + ")"
	case 3:
		return "(" + v + ")" + pick(g, " </ ", " >/ ") + g.scalar(depth-1)
	case 4:
		if strings.Contains(v, "@") {
			return "start_timestamp(" + g.selector() + ")" // as with timestamp
		}
		return "start_timestamp(" + v + ")"
	}
	return pick(g, "histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar") + "(" + v + ")"
}

func (g *generator) function(depth int) string {
	v := g.vector(depth - 1)
	switch g.rnd.IntN(10) {
	case 0:
		return "histogram_quantile(" + g.scalar(depth-1) + ", " + pick(g, "latency_bucket", "rate(latency_bucket[5m])", "sum by (le, job) (rate(latency_bucket[2m]))", v) + ")"
	case 1:
		return "clamp(" + v + ", " + g.scalar(depth-1) + ", " + g.scalar(depth-1) + ")"
	case 2:
		return "round(" + v + ", " + g.scalar(depth-1) + ")"
	case 3:
		return `label_replace(` + v + `, "` + pick(g, "job", "new", "__name__", "instance") + `", "` + pick(g, "$1", "x-$1", "", "same") + `", "` + pick(g, "instance", "job", "none") + `", "` + pick(g, "(.*):.*", ".*", "host-(.).*", "nomatch") + `")`
	case 4:
		return `label_join(` + v + `, "` + pick(g, "job", "new", "instance") + `", "-", "job", "path")`
	case 5:
		return "absent(" + v + ")"
	case 6:
		return "vector(" + g.scalar(depth-1) + ")"
	case 7:
		if strings.Contains(v, "@") {
			// Upstream forgets the offset in timestamp(x @ t offset d).
			return "minute(" + v + ")"
		}
		return pick(g, "timestamp", "hour", "minute", "day_of_year", "month") + "(" + v + ")"
	case 8:
		if g.rnd.IntN(2) == 0 {
			return "info(" + g.selector() + g.modifiers() + pick(g, "", `, {__name__="build_info"}`, `, {__name__=~".+_info", version=~".+"}`, `, {__name__!="up", version="1.0"}`, `, {__name__="build_info", none=""}`) + ")"
		}
		return pick(g, "sort", "sort_desc") + "(" + v + ")"
	}
	return pick(g, "abs", "ceil", "floor", "exp", "sqrt", "ln", "sgn", "cos", "deg") + "(" + v + ")"
}
