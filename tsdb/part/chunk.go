package part

import (
	"github.com/nilometer/nilometer/format/chunk"
	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/histogram"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// Whatever keeps chunks (pages of a block, seals of the head) keeps the bytes
// of format/chunk, which explain themselves; these turn them into what is
// handed out, and back.

// Unpack returns the chunk that data (of format/chunk) and its presence are,
// without decoding it. Bytes of a kind that is not known are an error.
func Unpack(data []byte, runs []column.Run) (storage.Chunk, error) {
	switch {
	case len(data) == 0: // stale markers only
		return storage.Chunk{Kind: storage.Decoded, Values: []float64{}, Runs: runs}, nil
	case chunk.Plain(data):
		return storage.Chunk{Kind: storage.Encoded, Data: data, Runs: runs}, nil
	}
	c, err := chunk.Parse(data)
	if err != nil {
		return storage.Chunk{}, err
	}
	out := storage.Chunk{Kind: storage.Encoded, Data: c.Values, Runs: runs, StartData: c.Starts}
	if c.Histograms {
		out.Kind = storage.EncodedHistograms
	}
	return out, nil
}

// Pack returns the bytes (of format/chunk) of an encoded chunk: c's own where
// they are all. It reports false when any of the chunk is decoded.
func Pack(c *storage.Chunk) ([]byte, bool) {
	if c.Starts != nil || c.Kind != storage.Encoded && c.Kind != storage.EncodedHistograms {
		return nil, false
	}
	if c.Kind == storage.Encoded && len(c.StartData) == 0 {
		return c.Data, true
	}
	return chunk.Append(nil, chunk.Chunk{Values: c.Data, Histograms: c.Kind == storage.EncodedHistograms, Starts: c.StartData}), true
}

// Encoder encodes the values of one series on one tile, of any type. The zero
// value is ready; it is used by one goroutine.
type Encoder struct {
	floats     format.Encoder
	histograms *histogram.Encoder // made with the first histogram
	values     []byte
	starts     []byte
}

// Floats is the encoder of plain chunks of floats, for whoever shares its
// memory.
func (e *Encoder) Floats() *format.Encoder { return &e.floats }

// Append appends the bytes (of format/chunk) of v to dst: nothing when there is
// no value. There are at most column.TilePositions values; every histogram
// satisfies histogram.Check.
func (e *Encoder) Append(dst []byte, v *storage.Values) []byte {
	if len(v.Floats) == 0 && len(v.Histograms) == 0 {
		return dst
	}
	hists := false
	for _, h := range v.Histograms {
		hists = hists || !h.IsZero()
	}
	starts := false
	for _, s := range v.Starts {
		starts = starts || s != 0
	}
	if !hists && !starts {
		return e.floats.Append(dst, v.Floats)
	}
	c := chunk.Chunk{Histograms: hists}
	if hists {
		if e.histograms == nil {
			e.histograms = new(histogram.Encoder)
		}
		floats := v.Floats
		if len(floats) == 0 {
			floats = nil
		}
		e.values = e.histograms.Append(e.values[:0], v.Histograms, floats)
	} else {
		e.values = e.floats.Append(e.values[:0], v.Floats)
	}
	c.Values = e.values
	if starts {
		e.starts = e.floats.AppendInts(e.starts[:0], v.Starts)
		c.Starts = e.starts
	}
	return chunk.Append(dst, c)
}
