package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/promql/function"
)

// Merged is one selection for several nodes of a plan: that of the scan with the
// fewest matchers, over the times of all. A scan takes of it the series that
// match the rest of its matchers.
type Merged struct {
	Matchers         []*labels.Matcher
	MinTime, MaxTime int64
	// Nodes read the selection, each through one Scan: selectors, range functions
	// and fused aggregations of these. They are evaluated on one grid.
	Nodes []Node
}

// mergedNodesMax bounds how many nodes read together: the rows of all of them are
// in memory until it is their turn.
const mergedNodesMax = 8

// MergedOf returns the selection that n shares with other nodes, nil if it has
// its own.
func MergedOf(n Node) *Merged {
	if s := readBy(n); s != nil && s.Merged != nil && slices.Contains(s.Merged.Nodes, n) {
		return s.Merged
	}
	return nil
}

// readBy returns the scan that n reads row by row, nil for other nodes. What
// depends on the values of a parameter reads by itself: the parameter would be
// evaluated too early.
func readBy(n Node) *Scan {
	switch n := n.(type) {
	case *Instant:
		return n.Scan
	case *Aggregate:
		if n.Fused && !chooses(n.Op) {
			return readBy(n.Rows())
		}
	case *Call:
		if n.Window < 0 || n.Func.Name == "absent_over_time" || !function.IsRange(n.Func.Name) {
			return nil
		}
		for i, a := range n.Args {
			if _, ok := a.(*Const); !ok && i != n.Window {
				return nil
			}
		}
		return n.Args[n.Window].(*Window).Scan
	}
	return nil
}

// merge finds nodes that select the same series at times that meet, and nodes of
// which one selects a part of the other's series, where they are evaluated on one
// grid.
func merge(n Node, _ Params) Node {
	if !fewer(n, sharedNodesMax) {
		return n
	}
	var c readerCollector
	c.visit(n, c.grid())
	// Stable: nodes stay in the order of evaluation.
	slices.SortStableFunc(c.readers, func(a, b reading) int { return cmp.Compare(len(a.scan.Matchers), len(b.scan.Matchers)) })
	grids := map[*Merged]int{}
	var groups []*Merged
	for _, r := range c.readers {
		i := slices.IndexFunc(groups, func(g *Merged) bool { return grids[g] == r.grid && g.admits(r.scan) })
		if i < 0 {
			i = len(groups)
			groups = append(groups, &Merged{Matchers: r.scan.Matchers, MinTime: r.scan.MinTime, MaxTime: r.scan.MaxTime})
			grids[groups[i]] = r.grid
		}
		groups[i].add(r)
	}
	for _, r := range c.readers {
		if len(r.scan.Merged.Nodes) < 2 {
			r.scan.Merged = nil
			continue
		}
		r.scan.Rest = missing(r.scan.Matchers, r.scan.Merged.Matchers)
	}
	return n
}

// reading is a node that reads a scan, and the number of its grid.
type reading struct {
	node Node
	scan *Scan
	grid int
}

// readerCollector finds what reads scans, in the order of evaluation, that of
// shared parts once.
type readerCollector struct {
	shared  []*Sharing
	readers []reading
	grids   int
}

func (c *readerCollector) grid() int {
	c.grids++
	return c.grids
}

func (c *readerCollector) visit(n Node, grid int) {
	if s := readBy(n); s != nil {
		c.readers = append(c.readers, reading{n, s, grid})
		return
	}
	inputs := n.Inputs()
	switch n := n.(type) {
	case *Shared:
		if slices.Contains(c.shared, n.Group) {
			return
		}
		c.shared = append(c.shared, n.Group)
	case *Subquery, *StepInvariant:
		grid = c.grid()
	case *Aggregate:
		if n.Fused { // of a kind that reads in its own way
			inputs = inputs[1:]
		}
	case *Call:
		switch n.Func.Name {
		case "timestamp", "start_timestamp": // read selectors in their own way
			if readBy(n.Args[0]) != nil {
				return
			}
		}
	}
	for _, in := range inputs {
		c.visit(in, grid)
	}
}

// admits reports whether the selection is worth sharing with s. What is read
// grows by the times that s has beyond it, of all series. Of the same series that
// is no more than reading them twice, unless times between the two come with it.
// A part of the series may not cost more than a little.
func (g *Merged) admits(s *Scan) bool {
	if len(g.Nodes) == mergedNodesMax || len(missing(g.Matchers, s.Matchers)) > 0 {
		return false
	}
	own, of := g.MaxTime-g.MinTime+1, s.MaxTime-s.MinTime+1
	all := max(g.MaxTime, s.MaxTime) - min(g.MinTime, s.MinTime) + 1
	if own <= 0 || of <= 0 || all <= 0 { // times at the ends of what there is
		return false
	}
	if len(s.Matchers) == len(g.Matchers) {
		return all-own <= of
	}
	return all-own <= own/4
}

func (g *Merged) add(r reading) {
	g.MinTime, g.MaxTime = min(g.MinTime, r.scan.MinTime), max(g.MaxTime, r.scan.MaxTime)
	g.Nodes = append(g.Nodes, r.node)
	r.scan.Merged = g
}

func (g *Merged) describe() string {
	all := Scan{Matchers: g.Matchers, MinTime: g.MinTime, MaxTime: g.MaxTime}
	return fmt.Sprintf("%d readers of %s", len(g.Nodes), all.describe())
}

// missing returns the matchers of all that others does not have.
func missing(all, others []*labels.Matcher) []*labels.Matcher {
	var out []*labels.Matcher
	for _, m := range all {
		same := func(o *labels.Matcher) bool { return o.Name == m.Name && o.Type == m.Type && o.Value == m.Value }
		if !slices.ContainsFunc(others, same) {
			out = append(out, m)
		}
	}
	return out
}
