package parttest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/nilometer/nilometer/tsdb/part"
)

// CheckWalk holds a walk over series against Pieces and Outline of each by itself,
// errors included. A part that is no part.Walker has nothing to check.
func CheckWalk(p part.Part, refs []part.Ref, minTime, maxTime int64) error {
	walker, ok := p.(part.Walker)
	if !ok {
		return nil
	}
	walk := walker.Walk(minTime, maxTime)
	var spans [][]part.Span
	for _, values := range []bool{true, false} {
		var want, got []string
		var wantErrs []error
		spans = spans[:0]
		for _, ref := range refs {
			pieces, err := piecesOf(p, ref, minTime, maxTime, values)
			if err != nil {
				wantErrs = append(wantErrs, err)
			}
			var on []part.Span
			for _, x := range pieces {
				on = append(on, part.Span{Column: x.Column, From: x.From, To: x.To})
			}
			spans = append(spans, on)
			want, got = append(want, describe(pieces, values)), append(got, "not read")
		}
		err := walk.Pieces(refs, values, func(i int, pieces []part.Piece) { got[i] = describe(pieces, values) })
		if wantErr := part.Join(wantErrs); fmt.Sprint(err) != fmt.Sprint(wantErr) {
			return fmt.Errorf("%s: walk over [%d, %d], values %v: error %w, want %v", p.Name(), minTime, maxTime, values, err, wantErr)
		}
		for i := range refs {
			if got[i] != want[i] {
				return fmt.Errorf("%s: walk over [%d, %d], values %v, series %d: %s, want %s", p.Name(), minTime, maxTime, values, refs[i], got[i], want[i])
			}
		}
	}
	places := make([]part.Place, len(refs))
	for range 2 { // the second time places are known
		_ = walk.Places(refs, places) // the errors are those of Pieces
		for i, on := range places {
			if !slices.Equal(walk.Spans(on), spans[i]) {
				return fmt.Errorf("%s: place of series %d in [%d, %d]: %v, want %v", p.Name(), refs[i], minTime, maxTime, walk.Spans(on), spans[i])
			}
		}
	}
	return nil
}

func piecesOf(p part.Part, ref part.Ref, minTime, maxTime int64, values bool) ([]part.Piece, error) {
	if o, ok := p.(part.Outliner); ok && !values {
		return o.Outline(ref, minTime, maxTime, nil)
	}
	return p.Pieces(ref, minTime, maxTime, nil)
}

// describe says all there is to pieces, values by their bits.
func describe(pieces []part.Piece, values bool) string {
	var out []byte
	for i := range pieces {
		x := &pieces[i]
		out = fmt.Appendf(out, "(%d %d-%d %v", x.Column, x.From, x.To, x.Chunk.Runs)
		if c := &x.Chunk; values {
			out = append(fmt.Appendf(out, " %d %d-%d ", c.Kind, c.At, c.Len), c.Data...)
			for _, v := range c.Values {
				out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
			}
			if len(c.Histograms)+len(c.Starts)+len(c.StartData) > 0 {
				out = fmt.Appendf(out, " %v %v %v", c.Histograms, c.Starts, c.StartData)
			}
		}
		out = append(out, ')')
	}
	return string(out)
}
