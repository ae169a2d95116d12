package plan

import "github.com/prometheus/prometheus/promql/parser"

// nestingMax bounds how deep the text of an expression may nest, as Nesting
// counts: the parser takes time in the square of it (5,000 operators in a row
// 70 ms, 64,000 of them 14 s) and cannot be stopped.
const nestingMax = depthMax

// CheckNesting refuses a text that nests too deep to be parsed. It reads tokens
// alone, in time linear in the text, and leaves what is wrong to the parser.
func CheckNesting(text string) error {
	if n := nesting(text); n > nestingMax {
		return &LimitError{
			Limit: "levels of nesting", Max: nestingMax, Seen: int64(n),
			Where: "the expression", Remedy: "split it, for example with recording rules",
		}
	}
	return nil
}

// nesting is a bound on the depth of the expression's tree: parentheses in each
// other, and operators beside each other, since a + b + c is (a + b) + c.
func nesting(text string) int {
	levels := levels{{}}
	lexer := parser.Lex(text)
	for {
		var item parser.Item
		lexer.NextItem(&item)
		switch {
		case item.Typ == parser.EOF || item.Typ == parser.ERROR:
			for len(levels) > 1 { // the text breaks off
				levels.close()
			}
			return levels[0].depth()
		case item.Typ == parser.LEFT_PAREN:
			levels = append(levels, level{})
		case item.Typ == parser.RIGHT_PAREN && len(levels) > 1:
			levels.close()
		case item.Typ == parser.COMMA:
			top := &levels[len(levels)-1]
			*top = level{before: top.depth()}
		case item.Typ == parser.LEFT_BRACKET, item.Typ.IsOperator():
			levels[len(levels)-1].operators++
		}
	}
}

// level is what a pair of parentheses has in it so far.
type level struct {
	before    int // depth of what stands before the last comma
	operators int // since then
	deepest   int // of the pairs since then
}

func (l level) depth() int { return max(l.before, l.operators+l.deepest) }

// levels are the pairs that are open, the outermost first: the text's own.
type levels []level

func (ls *levels) close() {
	n := len(*ls) - 1
	inner := (*ls)[n].depth() + 1
	*ls = (*ls)[:n]
	outer := &(*ls)[n-1]
	outer.deepest = max(outer.deepest, inner)
}
