package plan

// Rule is a rewrite: a pure function from a plan to a plan that computes the
// same. It may change the tree that it is given.
type Rule struct {
	// Name is shown by Explain's callers and selects the rule in tests.
	Name string
	// Apply rewrites.
	Apply func(Node, Params) Node
}

// Rules returns the rules in the order in which they are applied.
func Rules() []Rule {
	return []Rule{
		{Name: "fold", Apply: fold},
		{Name: "invariant", Apply: hoistInvariant},
		{Name: "stats", Apply: reduceToStats},
		{Name: "times", Apply: boundTimes},
		{Name: "propagate", Apply: propagate},
		{Name: "fuse", Apply: fuse},
		{Name: "share", Apply: share},
		{Name: "merge", Apply: merge},
	}
}

// Optimize applies every rule in order.
func Optimize(n Node, p Params) Node {
	for _, r := range Rules() {
		n = r.Apply(n, p)
	}
	return n
}
