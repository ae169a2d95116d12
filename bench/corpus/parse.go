package corpus

import (
	"errors"
	"io"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Series is a series of an exposition with its value. It is valid until the
// function that got it returns.
type Series struct {
	// Text is how the exposition names it.
	Text   []byte
	Value  float64
	parser textparse.Parser
}

// Labels are the series' labels; they stay valid.
func (s Series) Labels() (lset labels.Labels) {
	s.parser.Labels(&lset)
	return lset
}

// Parse calls fn for each series of a text exposition, in its order.
func Parse(body []byte, symbols *labels.SymbolTable, fn func(Series)) error {
	p := textparse.NewPromParser(body, symbols, false)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry == textparse.EntrySeries {
			text, _, v := p.Series()
			fn(Series{text, v, p})
		}
	}
}
