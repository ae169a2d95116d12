// Package part is the contract inside the database between what holds samples
// (a block, a span of the head, a late buffer) and what reads them together
// (tsdb/scan, the compactor): a part is one immutable or pinned source of
// columns over a range of time.
//
// Invariants:
//
//   - I1: Select returns references in label order, each label set once.
//   - I2: the pieces of one series in one part are in order of time and do not
//     overlap; each lies on consecutive positions of one time column.
//   - I3: everything handed out stays valid and unchanged until the part's
//     owner releases it (a view's close, a block's last reference).
package part

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
)

// Ref names a series inside one part. It means nothing outside of it.
type Ref uint32

// ColumnID names a time column inside one part.
type ColumnID uint32

// Part is one source of columns of one tenant. All methods are safe for
// concurrent use.
type Part interface {
	// Name says what this is, for warnings and errors: "block 01J…", "head".
	Name() string
	// Range returns the first and last time of any sample, ms, both included.
	Range() (minTime, maxTime int64)

	// Select returns the series that match every matcher, in label order. No
	// matcher selects all.
	Select(ctx context.Context, ms ...*labels.Matcher) ([]Ref, error)
	// Labels overwrites b with the labels of a series.
	Labels(ref Ref, b *labels.ScratchBuilder)
	// LabelValue returns one label of a series, "" when it has none.
	LabelValue(ref Ref, name string) string
	// Hash returns the canonical hash of a series' labels.
	Hash(ref Ref) series.Hash
	// LabelNames returns the sorted names of all labels.
	LabelNames(ctx context.Context) ([]string, error)
	// LabelValues returns the sorted values of one label.
	LabelValues(ctx context.Context, name string) ([]string, error)

	// Pieces appends to dst the pieces of a series that overlap [minTime,
	// maxTime], in order of time, and returns dst. A damaged page yields its
	// pieces as missing and a *DamageError beside the others.
	Pieces(ref Ref, minTime, maxTime int64, dst []Piece) ([]Piece, error)
	// Column returns the whole time column, decoded and cached: callers must
	// not change it.
	Column(id ColumnID) ([]int64, error)
	// ColumnKey identifies the content of a time column across parts and
	// positions: equal keys mean equal timestamps.
	ColumnKey(id ColumnID) uint64
}

// Piece is one chunk on positions [From, To) of a time column.
type Piece struct {
	Column   ColumnID
	From, To uint32
	Chunk    storage.Chunk
}

// Size is what a selection touches in one part, from the index alone.
type Size = storage.Estimate

// Estimator is implemented by parts that can tell the cost of a series without
// touching its chunks.
type Estimator interface {
	EstimateSeries(ref Ref, minTime, maxTime int64) (samples, bytes int64)
}

// Hasher is implemented by parts that tell the hashes of many series faster than
// one after another.
type Hasher interface {
	// Hashes sets of[i] to Part.Hash of refs[i].
	Hashes(refs []Ref, of []series.Hash)
}

// Outliner is implemented by parts that decode some chunks when they hand them
// out. Outline is Pieces for who needs to know where the pieces lie and which
// positions are present: what their chunks hold is not to be looked at.
type Outliner interface {
	Outline(ref Ref, minTime, maxTime int64, dst []Piece) ([]Piece, error)
}

// Grouper is implemented by parts that can tell series with some labels in common
// without making their labels.
type Grouper interface {
	// GroupKeys sets keys[i] for refs[i]: series with equal keys agree in the labels
	// with these names, or, without, in all labels but these. Series with different
	// keys may agree, too. false: this part cannot.
	GroupKeys(names []string, without bool, refs []Ref, keys []uint64) bool
}

// DamageError names a page that cannot be read. The query goes on without it
// and carries it as a warning.
type DamageError struct {
	Part   string // Part.Name
	File   string
	Offset int64
	Err    error
}

// Error names part, file and offset.
func (e *DamageError) Error() string {
	return e.Part + ": " + e.File + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }
