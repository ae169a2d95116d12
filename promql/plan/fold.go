package plan

import (
	"github.com/nilometer/nilometer/promql/function"
)

// fold computes operators whose inputs are constants.
func fold(n Node, p Params) Node {
	replaceInputs(n, func(in Node) Node { return fold(in, p) })
	switch n := n.(type) {
	case *Unary:
		if c, ok := n.Input.(*Const); ok {
			if n.Minus {
				return &Const{base: n.base, Value: -c.Value}
			}
			return &Const{base: n.base, Value: c.Value}
		}
	case *Binary:
		l, lok := n.Left.(*Const)
		r, rok := n.Right.(*Const)
		if lok && rok {
			if v, ok := function.Scalar(n.Op, l.Value, r.Value); ok {
				return &Const{base: n.base, Value: v}
			}
		}
	}
	return n
}
