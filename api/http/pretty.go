package httpapi

import (
	"strings"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/promql"
)

const (
	// lineMax is the longest line on which the formatted text keeps a node with
	// all that is in it: upstream's value.
	lineMax = 100
	// formattedMax bounds a formatted text, bytes: its indentation grows with the
	// square of the depth.
	formattedMax = 8 << 20
)

// pretty formats an expression as the parser's Pretty does, in time linear in
// the result: Pretty asks every node for all of its text at every level, which
// takes seconds at a depth of 1,000.
func pretty(expr parser.Expr) (string, error) {
	p := printer{long: map[parser.Node]bool{}}
	p.measure(expr)
	p.write(expr, 0)
	if p.out.Len() > formattedMax {
		return "", &promql.LimitError{
			Limit: "the formatted text (bytes)", Max: formattedMax, Seen: int64(p.out.Len()),
			Where: "the expression", Remedy: "split it, for example with recording rules",
		}
	}
	return p.out.String(), nil
}

// printer writes one expression. Nodes that are not long are the parser's to
// write: they fit on a line.
type printer struct {
	long map[parser.Node]bool
	out  strings.Builder
	bare bool // the indentation that comes next is left out
}

// measure tells whether the text of a node is longer than a line: when that of a
// part of it is, and otherwise by writing it, which is little then.
func (p *printer) measure(n parser.Node) bool {
	long := false
	for child := range parser.ChildrenIter(n) {
		long = p.measure(child) || long
	}
	if !long {
		long = len(n.String()) > lineMax
	}
	if long {
		p.long[n] = true
	}
	return long
}

func (p *printer) indent(level int) { p.text(strings.Repeat("  ", level)) }

// text appends, until there is more than may be.
func (p *printer) text(s string) {
	if p.bare {
		s = strings.TrimLeft(s, " ")
		p.bare = s == ""
	}
	if p.out.Len() <= formattedMax {
		p.out.WriteString(s)
	}
}

func (p *printer) write(n parser.Node, level int) {
	if p.out.Len() > formattedMax {
		return
	}
	if !p.long[n] {
		p.text(n.Pretty(level))
		return
	}
	switch n := n.(type) {
	case *parser.AggregateExpr:
		p.indent(level)
		p.text(n.ShortString() + "(\n")
		if n.Op.IsAggregatorWithParam() {
			p.write(n.Param, level+1)
			p.text(",\n")
		}
		p.write(n.Expr, level+1)
		p.closing(level)
	case *parser.BinaryExpr:
		p.write(n.LHS, level+1)
		p.text("\n")
		p.indent(level)
		p.text(n.ShortString() + "\n")
		p.write(n.RHS, level+1)
	case *parser.Call:
		p.indent(level)
		p.text(n.Func.Name + "(\n")
		for i, arg := range n.Args {
			if i > 0 {
				p.text(",\n")
			}
			p.write(arg, level+1)
		}
		p.closing(level)
	case *parser.ParenExpr:
		p.indent(level)
		p.text("(\n")
		p.write(n.Expr, level+1)
		p.closing(level)
	case *parser.SubqueryExpr:
		p.write(n.Expr, level)
		p.text(n.ShortString())
	case *parser.UnaryExpr:
		p.indent(level)
		p.text(n.Op.String())
		p.bare = true
		p.write(n.Expr, level)
	default: // a selector or a literal: its own text alone is long
		p.text(n.Pretty(level))
	}
}

func (p *printer) closing(level int) {
	p.text("\n")
	p.indent(level)
	p.text(")")
}
