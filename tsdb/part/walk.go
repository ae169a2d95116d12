package part

import (
	"encoding/binary"
	"errors"

	"github.com/nilometer/nilometer/model/series"
)

// Walker is implemented by parts that read many series at once faster than one
// after another.
type Walker interface {
	// Walk returns a reader of a range of times (ms, both included), for one
	// goroutine.
	Walk(minTime, maxTime int64) Walk
}

// Walk reads series of one part in one range of times. Errors are as those of
// Part.Pieces, of several series joined.
type Walk interface {
	// Places sets of[i] to the place of the pieces of refs[i].
	Places(refs []Ref, of []Place) error
	// Spans returns where the pieces of a place lie, in order of time. It must not
	// be changed.
	Spans(Place) []Span
	// Pieces calls take for every series, in any order, with what Part.Pieces gives
	// for refs[i], or without values Outliner.Outline. Pieces are valid during the
	// call, their chunks as long as the part.
	Pieces(refs []Ref, values bool, take func(i int, pieces []Piece)) error
}

// Place stands for the columns and positions of the pieces of a series. Series on
// the same ones have the same place of a Walk, mostly. 0: there is no piece.
type Place int32

// Span is positions [From, To) of a time column.
type Span struct {
	Column   ColumnID
	From, To uint32
}

// Places numbers what pieces lie on. The zero value has none.
type Places struct {
	spans []Span
	ends  []int32 // of each place in spans, place 1 first
	known map[string]Place
	key   []byte
}

// Of returns the place of pieces.
func (p *Places) Of(pieces []Piece) Place {
	if len(pieces) == 0 {
		return 0
	}
	p.key = p.key[:0]
	for i := range pieces {
		x := &pieces[i]
		p.key = binary.LittleEndian.AppendUint32(p.key, uint32(x.Column))
		p.key = binary.LittleEndian.AppendUint32(p.key, x.From)
		p.key = binary.LittleEndian.AppendUint32(p.key, x.To)
	}
	if n, ok := p.known[string(p.key)]; ok {
		return n
	}
	if p.known == nil {
		p.known = map[string]Place{}
	}
	for i := range pieces {
		p.Add(Span{Column: pieces[i].Column, From: pieces[i].From, To: pieces[i].To})
	}
	n := p.End()
	p.known[string(p.key)] = n
	return n
}

// Add adds a span to the place that the next End makes.
func (p *Places) Add(s Span) { p.spans = append(p.spans, s) }

// End makes a new place of the spans that were added.
func (p *Places) End() Place {
	p.ends = append(p.ends, int32(len(p.spans)))
	return Place(len(p.ends))
}

// Spans is that of a Walk.
func (p *Places) Spans(n Place) []Span {
	if n == 0 {
		return nil
	}
	from := int32(0)
	if n > 1 {
		from = p.ends[n-2]
	}
	return p.spans[from:p.ends[n-1]]
}

// WalkOf returns the Walk of a part, whether it is a Walker or not.
func WalkOf(p Part, minTime, maxTime int64) Walk {
	if w, ok := p.(Walker); ok {
		return w.Walk(minTime, maxTime)
	}
	return &oneByOne{part: p, minTime: minTime, maxTime: maxTime}
}

// oneByOne is the Walk of a part that has none.
type oneByOne struct {
	places           Places
	part             Part
	minTime, maxTime int64
	pieces           []Piece
}

func (w *oneByOne) Spans(p Place) []Span { return w.places.Spans(p) }

func (w *oneByOne) Places(refs []Ref, of []Place) error {
	return w.Pieces(refs, false, func(i int, pieces []Piece) { of[i] = w.places.Of(pieces) })
}

func (w *oneByOne) Pieces(refs []Ref, values bool, take func(int, []Piece)) error {
	read := w.part.Pieces
	if o, ok := w.part.(Outliner); ok && !values {
		read = o.Outline
	}
	var errs []error
	for i, ref := range refs {
		var err error
		if w.pieces, err = read(ref, w.minTime, w.maxTime, w.pieces[:0]); err != nil {
			errs = append(errs, err)
		}
		take(i, w.pieces)
	}
	return Join(errs)
}

// Hashes sets of[i] to the hash of refs[i], whether the part is a Hasher or not.
func Hashes(p Part, refs []Ref, of []series.Hash) {
	if h, ok := p.(Hasher); ok {
		h.Hashes(refs, of)
		return
	}
	for i, ref := range refs {
		of[i] = p.Hash(ref)
	}
}

// Join is errors.Join that leaves a single error as it is.
func Join(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return errors.Join(errs...)
}
