package block

import (
	"context"
	"fmt"
	"math"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// Write puts all samples of a part into a new block and returns its
// description. Of meta it takes what Writer.Finish takes; a block of level 1
// gets itself as its source. Chunks of the part are taken over as they are
// where they fill a tile. A damaged source fails the write. When Write fails,
// what it had put is deleted as far as possible; a part without samples is
// ErrEmpty.
func Write(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, id ulid.ULID, opts Options, meta Meta, src part.Part) (Meta, error) {
	w, err := NewWriter(bucket, tenantID, id, opts)
	if err != nil {
		return Meta{}, err
	}
	if meta.Level <= 1 && len(meta.Sources) == 0 {
		meta.Level, meta.Sources = 1, []ulid.ULID{id}
	}
	meta, err = write(ctx, w, meta, src)
	if err != nil {
		w.Abort(context.WithoutCancel(ctx))
		return Meta{}, err
	}
	return meta, nil
}

func write(ctx context.Context, w *Writer, meta Meta, src part.Part) (Meta, error) {
	refs, err := src.Select(ctx)
	if err != nil {
		return Meta{}, fmt.Errorf("write block %s: select the series of %s: %w", w.id, src.Name(), err)
	}
	m := NewMapper(w, src, nil)
	builder := labels.NewScratchBuilder(16)
	var pieces []part.Piece
	for i, ref := range refs {
		if i%1024 == 0 && ctx.Err() != nil {
			return Meta{}, fmt.Errorf("write block %s: %w", w.id, context.Cause(ctx))
		}
		src.Labels(ref, &builder)
		lset := builder.Labels()
		if pieces, err = m.Pieces(lset, ref, pieces[:0]); err != nil {
			return Meta{}, fmt.Errorf("write block %s: series %s: %w", w.id, lset, err)
		}
		if err := w.AddSeries(ctx, lset, pieces); err != nil {
			return Meta{}, err
		}
	}
	return w.Finish(ctx, meta)
}

// Mapper puts the pieces of a part onto columns of a block being written: each
// column of the part becomes one of the block, or several when it is longer
// than ColumnPositionsMax, unless a Resolve says where it goes.
type Mapper struct {
	w       *Writer
	src     part.Part
	resolve Resolve
	columns map[part.ColumnID][]Place
	raw     []part.Piece
	keyBuf  []byte
}

// Place says that positions [From, To) of a source's column lie at At of a
// column of the block.
type Place struct {
	From, To uint32
	Column   part.ColumnID
	At       uint32
}

// Resolve says where a column of the source goes: places that cover it, in
// order; none to leave it to the mapper. It is asked once for each column,
// when the first series needs it.
type Resolve func(id part.ColumnID) ([]Place, error)

// NewMapper returns a mapper from src to w. resolve may be nil.
func NewMapper(w *Writer, src part.Part, resolve Resolve) *Mapper {
	return &Mapper{w: w, src: src, resolve: resolve, columns: map[part.ColumnID][]Place{}}
}

// Pieces appends to dst the pieces of a series of the source, on columns of
// the block. lset tells the placement key of columns that are new.
func (m *Mapper) Pieces(lset labels.Labels, ref part.Ref, dst []part.Piece) ([]part.Piece, error) {
	var err error
	if m.raw, err = m.src.Pieces(ref, math.MinInt64, math.MaxInt64, m.raw[:0]); err != nil {
		return dst, fmt.Errorf("read %s: %w", m.src.Name(), err)
	}
	for i := range m.raw {
		if dst, err = m.Map(lset, &m.raw[i], dst); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// Map appends to dst one piece of the source, on columns of the block.
func (m *Mapper) Map(lset labels.Labels, p *part.Piece, dst []part.Piece) ([]part.Piece, error) {
	places, err := m.places(lset, p.Column)
	if err != nil {
		return dst, err
	}
	if dst, err = appendMapped(dst, p, places); err != nil {
		return dst, fmt.Errorf("read %s: %w", m.src.Name(), err)
	}
	return dst, nil
}

func (m *Mapper) places(lset labels.Labels, id part.ColumnID) ([]Place, error) {
	if places, ok := m.columns[id]; ok {
		return places, nil
	}
	if m.resolve != nil {
		places, err := m.resolve(id)
		if err != nil || len(places) > 0 {
			m.columns[id] = places
			return places, err
		}
	}
	times, err := m.src.Column(id)
	if err != nil {
		return nil, fmt.Errorf("read %s: time column %d: %w", m.src.Name(), id, err)
	}
	var key series.Key
	key, m.keyBuf = series.KeyOf(lset, m.keyBuf)
	var places []Place
	for from := 0; from < len(times); from += ColumnPositionsMax {
		to := min(from+ColumnPositionsMax, len(times))
		col, err := m.w.AddColumn(key, times[from:to], nil)
		if err != nil {
			return nil, err
		}
		places = append(places, Place{From: uint32(from), To: uint32(to), Column: col})
	}
	m.columns[id] = places
	return places, nil
}

// appendMapped moves a piece to its place, cut where it lies across several.
func appendMapped(dst []part.Piece, p *part.Piece, places []Place) ([]part.Piece, error) {
	for _, place := range places {
		from, to := max(p.From, place.From), min(p.To, place.To)
		if from >= to {
			continue
		}
		q := *p
		if from != p.From || to != p.To {
			var err error
			if q, err = Cut(p, from, to); err != nil {
				return dst, err
			}
		}
		q.Column, q.From, q.To = place.Column, from-place.From+place.At, to-place.From+place.At
		dst = append(dst, q)
	}
	return dst, nil
}

// Cut returns positions [from, to) of a piece, decoded.
func Cut(p *part.Piece, from, to uint32) (part.Piece, error) {
	var v storage.Values
	if err := v.Decode(&p.Chunk, int(p.To-p.From)); err != nil {
		return part.Piece{}, err
	}
	q := *p
	q.From, q.To = from, to
	a, b := int(from-p.From), int(to-p.From)
	if q.Chunk.Kind != storage.None {
		i, k := presentBefore(p.Chunk.Runs, a), presentBefore(p.Chunk.Runs, b)
		q.Chunk = storage.Chunk{Kind: storage.Decoded, Values: sub(v.Floats, i, k), Histograms: sub(v.Histograms, i, k), Starts: sub(v.Starts, i, k)}
		if v.Histograms != nil {
			q.Chunk.Kind = storage.Histograms
		}
	}
	q.Chunk.Runs = nil
	for _, r := range p.Chunk.Runs {
		start, end := max(int(r.At), a), min(r.End(), b)
		if start < end {
			q.Chunk.Runs = append(q.Chunk.Runs, column.Run{At: uint16(start - a), Len: uint16(end - start), State: r.State})
		}
	}
	return q, nil
}

func sub[T any](list []T, from, to int) []T {
	if list == nil {
		return nil
	}
	return list[from:to]
}
