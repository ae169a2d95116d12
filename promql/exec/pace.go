package exec

import (
	"context"
	"time"

	"github.com/nilometer/nilometer/promql/function"
)

// heavyWork is the number of steps times samples up to which a kernel runs in
// one piece: at a nanosecond each, the slowest take some tenths of a second.
const heavyWork = 1 << 26

// firstPiece is the number of steps of a kernel's first piece.
const firstPiece = 64

// paced runs a kernel over the steps [from, to) into dst. Long windows at many
// steps take minutes a series: between pieces of some milliseconds it looks at
// ctx, and lets others have the core. Pieces do not change results (I2).
func (c *core) paced(ctx context.Context, fn *function.RangeFunc, dst []float64, s *function.Samples, w *function.Windows, params [][]float64, sc *function.Scratch, from, to int) error {
	if int64(to-from)*int64(len(s.V)) <= heavyWork {
		fn.Kernel(dst, s, w, params, sc, from, to)
		return nil
	}
	size := firstPiece
	for at := from; at < to; {
		end := min(at+size, to)
		begin := time.Now()
		fn.Kernel(dst[at-from:end-from], s, w, params, sc, at, end)
		switch took := time.Since(begin); {
		case took < slice/4:
			size *= 2
		case took > slice:
			size = max(size/2, 1)
		}
		at = end
		if err := c.pause(ctx); err != nil {
			return err
		}
	}
	return nil
}
