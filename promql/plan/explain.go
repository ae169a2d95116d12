package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Explain prints a plan, one node a line, inputs indented below. Times are in
// ms since the Unix epoch.
func Explain(n Node) string {
	var sb strings.Builder
	explain(&sb, n, 0)
	return sb.String()
}

func explain(sb *strings.Builder, n Node, depth int) {
	sb.WriteString(strings.Repeat("  ", depth))
	sb.WriteString(n.describe())
	sb.WriteByte('\n')
	for _, in := range n.Inputs() {
		explain(sb, in, depth+1)
	}
}

func (n *Const) describe() string {
	return "Const " + strconv.FormatFloat(n.Value, 'g', -1, 64)
}

func (n *Text) describe() string { return "Text " + strconv.Quote(n.Value) }

func (w When) describe() string {
	s := ""
	if w.Fixed {
		s += fmt.Sprintf(" @ %d", w.At)
	}
	if w.Offset != 0 {
		s += " offset " + ms(w.Offset)
	}
	return s
}

func (s *Scan) describe() string {
	var parts []string
	for _, m := range s.Matchers {
		parts = append(parts, m.String())
	}
	out := "{" + strings.Join(parts, ",") + "}"
	if s.MinTime != 0 || s.MaxTime != 0 {
		out += fmt.Sprintf(" times %d..%d", s.MinTime, s.MaxTime)
	}
	if s.StatsOnly {
		out += " count and sum"
	}
	if s.Merged != nil {
		out += ", one of " + s.Merged.describe()
	}
	return out
}

func (n *Instant) describe() string {
	s := "Instant " + n.Scan.describe() + n.When.describe() + " lookback " + ms(n.Lookback) + modifier(false, n.Smoothed)
	if n.Only != nil {
		s += " only " + n.Only.describe()
	}
	return s
}

func modifier(anchored, smoothed bool) string {
	switch {
	case anchored:
		return " anchored"
	case smoothed:
		return " smoothed"
	}
	return ""
}

func (n *Window) describe() string {
	if n.Subquery != nil {
		return "Window"
	}
	return "Window " + n.Scan.describe() + " range " + ms(n.RangeMs) + n.When.describe() + modifier(n.Anchored, n.Smoothed)
}

func (n *Subquery) describe() string {
	return "Subquery range " + ms(n.RangeMs) + " step " + ms(n.Step) + n.When.describe()
}

func (n *Call) describe() string { return "Call " + n.Func.Name }

func (n *Aggregate) describe() string {
	s := "Aggregate " + n.Op.String()
	switch {
	case n.Without:
		s += " without (" + strings.Join(n.Grouping, ", ") + ")"
	case len(n.Grouping) > 0:
		s += " by (" + strings.Join(n.Grouping, ", ") + ")"
	}
	if n.Fused {
		s += " fused"
	}
	return s
}

func (n *Binary) describe() string {
	s := "Binary " + n.Op.String()
	if n.ReturnBool {
		s += " bool"
	}
	if m := n.Matching; m != nil {
		word := " ignoring ("
		if m.On {
			word = " on ("
		}
		s += " " + m.Card.String() + word + strings.Join(m.MatchingLabels, ", ") + ")"
		if len(m.Include) > 0 {
			s += " include (" + strings.Join(m.Include, ", ") + ")"
		}
	}
	return s
}

func (n *Unary) describe() string {
	if n.Minus {
		return "Unary -"
	}
	return "Unary +"
}

func (n *StepInvariant) describe() string { return "StepInvariant" }

func ms(n int64) string { return (time.Duration(n) * time.Millisecond).String() }
