package storage

import (
	"context"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
)

// Store is a whole engine.
type Store interface {
	Writer
	Reader
}

// Reader is the side of a Store that answers. All methods are safe for
// concurrent use.
type Reader interface {
	// View pins the state of a tenant: every sample acknowledged before the
	// call is in it. It must be closed.
	View(ctx context.Context, id tenant.ID) (View, error)

	// Delete hides the samples of the series that match every matcher, between
	// mint and maxt (ms, both included), that were accepted before the call.
	Delete(ctx context.Context, id tenant.ID, mint, maxt int64, ms ...*labels.Matcher) error

	// Changed tells which answers still hold. now is the number of the last change
	// to a tenant's samples: a View taken later has all up to it. from is the
	// earliest time, ms, from mint on that a change after the number `after` has
	// touched, math.MaxInt64 when there is none: what a View showed of the times
	// from mint up to from, and was taken when now was `after`, is what a View
	// shows that is taken next. from may be earlier than it would have to be.
	Changed(id tenant.ID, after uint64, mint int64) (now uint64, from int64)

	// Tail reads on from a cursor: see Tailer.
	Tail(ctx context.Context, id tenant.ID, from Cursor) (Tailer, error)
}

// Selection says what a query needs of the store.
type Selection struct {
	Matchers []*labels.Matcher
	// MinTime and MaxTime (ms, both included) bound the samples needed.
	MinTime, MaxTime int64
	// Partial asks for what there is, with a warning, where Select would wait
	// or fail with ErrReplaying.
	Partial bool
	// TimesOnly: only which positions are present is looked at. What the chunks
	// of the scan hold may be anything then, their kind (None aside) included.
	TimesOnly bool
}

// View is a consistent state of one tenant. Its methods are safe for
// concurrent use; nothing that it handed out is valid after Close.
type View interface {
	// Select returns the columns of the series that match. While the head is
	// rebuilt after a start it waits, until ctx ends, for what the selection
	// touches, and then fails with ErrReplaying.
	Select(ctx context.Context, s Selection) (Scan, error)

	// LabelNames returns the sorted names of the labels of the series that
	// match and may have samples in the range; all series without matchers.
	// limit bounds the result, 0 does not; a cut result has the warning
	// ErrTruncated.
	LabelNames(ctx context.Context, s Selection, limit int) ([]string, annotations.Annotations, error)

	// LabelValues is LabelNames for the values of one label.
	LabelValues(ctx context.Context, name string, s Selection, limit int) ([]string, annotations.Annotations, error)

	// Series returns the label sets that match and may have samples in the
	// range, in label order.
	Series(ctx context.Context, s Selection, limit int) ([]labels.Labels, annotations.Annotations, error)

	// Estimate says from the index alone what Select would touch. It never
	// reads a sample.
	Estimate(ctx context.Context, s Selection) (Estimate, error)

	// Exemplars returns the exemplars of the series that match.
	Exemplars(ctx context.Context, s Selection) ([]SeriesExemplars, error)

	// Metadata returns what is known about metric families, of one family or
	// of all ("").
	Metadata(ctx context.Context, family string, limit int) ([]Metadata, error)

	// Close gives the state up. It may be called more than once.
	Close()
}

// Estimate is the cost of a Selection. Series is an upper bound. Samples and
// Bytes come from averages: of many series they are usually within a factor of
// two, of a single one they may be further off. Samples is 0 only where there
// is nothing.
type Estimate struct {
	Series  int64
	Samples int64
	Bytes   int64 // of encoded chunks
}

// SeriesExemplars are the exemplars of one series, in order of time.
type SeriesExemplars struct {
	Labels    labels.Labels
	Exemplars []exemplar.Exemplar
}

// Scan is the answer to a Select. Every series is in exactly one batch. Next
// may be called by several goroutines, each with a batch of its own; the
// other methods are safe for concurrent use.
type Scan interface {
	// Series is the number of series: their ranks are 0 to Series()-1, in
	// label order.
	Series() int

	// Next fills b with the next batch, reusing its memory, and reports whether
	// there was one. Which batch a goroutine gets is not determined; their
	// contents and numbers are. A batch is the work of one goroutine: a few hundred
	// series at most.
	Next(ctx context.Context, b *ColumnBatch) (bool, error)

	// Labels returns the label set of a rank.
	Labels(rank uint32) labels.Labels
	// LabelValue returns one label of a rank, "" when it has none.
	LabelValue(rank uint32, name string) string

	// Warnings is complete when Next has returned false to every caller.
	Warnings() annotations.Annotations

	Close()
}

// Grouper is implemented by scans that put series into groups faster than by
// asking for the labels of each.
type Grouper interface {
	// Groups sets of[rank] for every rank to the number of its group: that of the
	// series that agree in the labels with these names, or, without, in all labels
	// but these. names is sorted. Groups are numbered in the order of their first
	// series, whose ranks are returned.
	Groups(names []string, without bool, of []int32) (first []uint32)
}

// ColumnBatch is a set of series that share a path of time columns. Its
// slices are owned by the scan and valid until the next call of Next with this
// batch, except for chunk bytes, which are valid until the view closes.
type ColumnBatch struct {
	// Number counts the batches of a scan, from 0 on.
	Number int
	// Path, if not 0, is the same of batches with equal Times and Tiles.
	Path int
	// Times is the shared time column: strictly increasing. It may reach beyond
	// the range selected: the caller bounds its windows by time.
	Times []int64
	// Tiles cut Times into consecutive pieces that cover it.
	Tiles []Tile
	// Ranks are the batch's series.
	Ranks []uint32
	// Chunks has len(Ranks) × len(Tiles) entries, series by series.
	Chunks []Chunk
}

// Tile is the range of positions [From, To) of a batch's time column; at most
// column.TilePositions of them.
type Tile struct {
	From, To int
}

// Len is the number of positions.
func (t Tile) Len() int { return t.To - t.From }

// Chunk is one series on one tile. A zero Chunk is absent throughout. Values
// decodes a chunk of any kind.
//
// A chunk has start timestamps or has none, whatever its kind: decoded in
// Starts, or encoded in StartData.
type Chunk struct {
	// Kind says which of the fields below hold the samples.
	Kind ChunkKind
	// Data is a chunk of format/column (Kind Encoded), or of format/histogram
	// (Kind EncodedHistograms).
	Data []byte
	// Values are the values of the present positions (Kind Decoded). In Kind
	// Histograms they are nil, or parallel to Histograms: the float of each
	// position whose histogram is zero.
	Values []float64
	// At and Len are the positions that Data covers (Kind Stream).
	At, Len uint16
	// Runs are the positions that are not present; nil: all are. A histogram
	// that is a stale marker is a stale position, like a float.
	Runs []column.Run
	// Histograms are the values of the present positions (Kind Histograms),
	// zero at a float. They may share memory (column.Histogram).
	Histograms []Histogram
	// Starts are the start timestamps of the present positions, nil without.
	Starts []int64
	// StartData is Starts as an integer chunk of format/column.
	StartData []byte
}

// HasHistograms reports whether any value may be a histogram.
func (c *Chunk) HasHistograms() bool { return c.Kind == Histograms || c.Kind == EncodedHistograms }

// HasStarts reports whether there are start timestamps.
func (c *Chunk) HasStarts() bool { return c.Starts != nil || len(c.StartData) > 0 }

// ChunkKind says how a chunk holds its samples.
type ChunkKind uint8

// The kinds of chunks. The number of values of each is
// column.PresentCount(Runs, tile length). Chunks with histograms may have
// floats among them; chunks of the other kinds have floats alone.
const (
	None ChunkKind = iota
	Encoded
	Decoded
	Histograms
	EncodedHistograms
	// Stream: Data is a value stream of format/column over the positions [At,
	// At+Len) of the tile, a value for those that are not present included; no
	// position outside of them is present.
	Stream
)

// Series returns the chunks of the i-th series of the batch, one per tile.
func (b *ColumnBatch) Series(i int) []Chunk {
	n := len(b.Tiles)
	return b.Chunks[i*n : (i+1)*n : (i+1)*n]
}

// Reset empties the batch and keeps its memory.
func (b *ColumnBatch) Reset() {
	clear(b.Chunks)
	b.Number, b.Path = 0, 0
	b.Times, b.Tiles, b.Ranks, b.Chunks = b.Times[:0], b.Tiles[:0], b.Ranks[:0], b.Chunks[:0]
}

// Cursor is a durable place in a tenant's stream of accepted samples. The zero
// Cursor is the oldest place there is.
type Cursor struct {
	// Segment and Offset are the place in the log to go on from; the first Skip
	// batches after it were handed out before.
	Segment, Offset, Skip uint64
	// Before that, everything at times [From, Until), ms, is to be read of what is
	// stored: the log has it no more. Nothing unless From is before Until.
	From, Until int64
}

// IsZero reports whether it is the oldest place.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// Tailer hands out accepted samples, those that a closed group implies included:
// in the order they were accepted where the log still has them, and before that
// in windows of time. One goroutine uses it.
//
// Every sample comes at least once. Some come again behind a cursor that was
// used again, where what is stored goes over to the log, and after a failed
// sync.
type Tailer interface {
	// Next waits for the next samples and returns them with the cursor after
	// them. It ends with ctx's error.
	Next(ctx context.Context) (TailBatch, Cursor, error)
	Close() error
}

// TailBatch is one position of one group, or samples of one time, with label
// sets instead of slots. It is valid until the next call of Next.
type TailBatch struct {
	Time   int64 // ms
	Labels []labels.Labels
	Values []float64
	// Histograms are nil, or parallel to Values: zero at a float.
	Histograms []Histogram
	// Starts are the start timestamps, ms, 0 where there is none; nil without any.
	Starts []int64
}

// Reset empties the batch and keeps its memory.
func (b *TailBatch) Reset(t int64) {
	clear(b.Labels)
	*b = TailBatch{Time: t, Labels: b.Labels[:0], Values: b.Values[:0]}
}

// Add adds a sample; its time is the batch's.
func (b *TailBatch) Add(lset labels.Labels, x column.Sample) {
	n := len(b.Labels)
	b.Labels, b.Values = append(b.Labels, lset), append(b.Values, x.V)
	if b.Histograms == nil && !x.H.IsZero() {
		b.Histograms = make([]Histogram, n, n+1)
	}
	if b.Histograms != nil {
		b.Histograms = append(b.Histograms, x.H)
	}
	if b.Starts == nil && x.Start != 0 {
		b.Starts = make([]int64, n, n+1)
	}
	if b.Starts != nil {
		b.Starts = append(b.Starts, x.Start)
	}
}

// Sample returns sample i.
func (b *TailBatch) Sample(i int) column.Sample {
	x := column.Sample{T: b.Time, V: b.Values[i]}
	if b.Histograms != nil {
		x.H = b.Histograms[i]
	}
	if b.Starts != nil {
		x.Start = b.Starts[i]
	}
	return x
}
