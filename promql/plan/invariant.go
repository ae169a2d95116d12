package plan

// hoistInvariant puts StepInvariant above the largest parts whose result is
// the same at every step: what looks at fixed times (@) only.
//
// Which parts exactly can be seen from outside (a range query over such a part
// evaluates it like an instant query: no warning about sort, for example), so
// the rule follows upstream's choice.
func hoistInvariant(n Node, _ Params) Node {
	if _, wrap := hoist(n); wrap {
		return invariant(n)
	}
	return n
}

func invariant(n Node) Node { return &StepInvariant{base: base{Range: n.Pos()}, Input: n} }

// hoist wraps what is to be wrapped below n. same: n's result is the same at
// every step; wrap: and n itself is worth wrapping.
func hoist(n Node) (same, wrap bool) {
	switch n := n.(type) {
	case *Const, *Text:
		return true, false
	case *Instant:
		return n.Fixed, n.Fixed
	case *Window:
		if n.Subquery != nil {
			return hoist(n.Subquery)
		}
		return n.Fixed, false
	case *Subquery:
		if same, _ := hoist(n.Input); same {
			n.Input = invariant(n.Input)
		}
		return n.Fixed, false
	case *Aggregate:
		return hoist(n.Input)
	case *Unary:
		return hoist(n.Input)
	case *Binary:
		leftSame, leftWrap := hoist(n.Left)
		rightSame, rightWrap := hoist(n.Right)
		if leftSame && rightSame {
			return true, true
		}
		if leftWrap {
			n.Left = invariant(n.Left)
		}
		if rightWrap {
			n.Right = invariant(n.Right)
		}
	case *Info:
		same, wrap := hoist(n.Input)
		if same && n.Uniform {
			return true, true
		}
		if wrap {
			n.Input = invariant(n.Input)
		}
	case *Call:
		return hoistCall(n)
	}
	return false, false
}

func hoistCall(n *Call) (same, wrap bool) {
	same = !usesEvaluationTime(n.Func.Name)
	// timestamp of a selector at a fixed time is the same at every step, that of
	// anything else is not.
	fixedTimestamp := n.Func.Name == "timestamp"
	wraps := make([]bool, len(n.Args))
	for i, a := range n.Args {
		var argSame bool
		argSame, wraps[i] = hoist(a)
		same = same && argSame
		if _, ok := a.(*Instant); !ok || !argSame {
			fixedTimestamp = false
		}
	}
	if same || fixedTimestamp {
		return true, true
	}
	for i, w := range wraps {
		if w {
			n.Args[i] = invariant(n.Args[i])
		}
	}
	return false, false
}

// usesEvaluationTime reports whether a function's result depends on the step's
// time even when its arguments do not.
func usesEvaluationTime(name string) bool {
	switch name {
	case "days_in_month", "day_of_month", "day_of_week", "day_of_year",
		"hour", "minute", "month", "year", "predict_linear", "time", "timestamp":
		return true
	}
	return false
}
