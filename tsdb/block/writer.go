package block

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	formatcolumn "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/part"
)

// ErrEmpty: a block without a sample is not written.
var ErrEmpty = errors.New("the block would have no samples")

// ColumnPositionsMax bounds the positions of a block's time column: a column
// is decoded whole, and this is a day at 15 s.
const ColumnPositionsMax = 12 * column.TilePositions

// Writer writes one block, series after series in label order. Its memory is
// one file of chunks, one page for each row, and the index being built. It is
// used by one goroutine.
type Writer struct {
	bucket blob.Bucket
	prefix string
	id     ulid.ULID
	opts   Options
	zstd   *zstd.Encoder // nil without compression
	index  *index.Builder

	columns   []writerColumn
	byContent map[uint64][]part.ColumnID

	rows  map[int64]*rowWriter
	frame []byte
	file  [][]byte // frames of the file at hand
	size  int      // its bytes
	files int      // files put

	tiler    tiler
	stats    struct{ chunks, samples, chunkBytes uint64 }
	min, max int64
	put      []string // what was put, for Abort
}

type writerColumn struct {
	tiles []index.Tile
}

// NewWriter begins a block. Nothing is put yet.
func NewWriter(bucket blob.Bucket, tenantID tenant.ID, id ulid.ULID, opts Options) (*Writer, error) {
	if err := tenantID.Validate(); err != nil {
		return nil, fmt.Errorf("write block %s: %w", id, err)
	}
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("write block %s: %w", id, err)
	}
	opts = opts.withDefaults()
	w := &Writer{
		bucket: bucket, prefix: Prefix(tenantID, id), id: id, opts: opts,
		index: index.NewBuilder(opts.RowMs), byContent: map[uint64][]part.ColumnID{}, rows: map[int64]*rowWriter{},
	}
	if opts.Compress {
		var err error
		w.zstd, err = newEncoder(opts.CompressMost)
		if err != nil {
			return nil, fmt.Errorf("write block %s: %w", id, err)
		}
	}
	return w, nil
}

// HashTimes returns the hash by which equal time columns are found
// (part.Part.ColumnKey): xxhash64 of the timestamps, 8 bytes each, little
// endian.
func HashTimes(times []int64) uint64 {
	var d xxhash.Digest
	d.Reset()
	var b [64 * 8]byte
	for len(times) > 0 {
		n := min(64, len(times))
		for i, t := range times[:n] {
			binary.LittleEndian.PutUint64(b[8*i:], uint64(t))
		}
		_, _ = d.Write(b[:8*n])
		times = times[n:]
	}
	return d.Sum64()
}

// AddColumn makes a time column known and returns its id in this block: the
// one of a column that has the same times and tiles, or a new one. times must
// be strictly increasing, at most ColumnPositionsMax. ends are the ends of its
// tiles, of at most column.TilePositions positions each; nil cuts it at every
// column.TilePositions. Columns are added right before the first series that
// uses them.
func (w *Writer) AddColumn(key series.Key, times []int64, ends []uint32) (part.ColumnID, error) {
	if len(times) == 0 || len(times) > ColumnPositionsMax {
		return 0, fmt.Errorf("write block %s: a time column of %d positions: 1 to %d are allowed", w.id, len(times), ColumnPositionsMax)
	}
	tiles, err := cutTiles(times, ends)
	if err != nil {
		return 0, fmt.Errorf("write block %s: %w", w.id, err)
	}
	hash := HashTimes(times)
	for _, id := range w.byContent[hash] {
		if slices.Equal(w.columns[id].tiles, tiles) {
			return id, nil
		}
	}
	c := index.Column{Key: key, Hash: hash, Witness: uint32(w.index.Series()), Tiles: tiles, Times: formatcolumn.AppendTimes(nil, times)}
	id, err := w.index.AddColumn(&c)
	if err != nil {
		return 0, fmt.Errorf("write block %s: %w", w.id, err)
	}
	w.columns = append(w.columns, writerColumn{tiles: tiles})
	w.byContent[hash] = append(w.byContent[hash], part.ColumnID(id))
	return part.ColumnID(id), nil
}

func cutTiles(times []int64, ends []uint32) ([]index.Tile, error) {
	for i := 1; i < len(times); i++ {
		if times[i] <= times[i-1] {
			return nil, fmt.Errorf("time %d at position %d of a column follows %d", times[i], i, times[i-1])
		}
	}
	n := (len(times) + column.TilePositions - 1) / column.TilePositions
	if ends != nil {
		n = len(ends)
	}
	tiles := make([]index.Tile, 0, n)
	from := 0
	for i := range n {
		to := min(from+column.TilePositions, len(times))
		if ends != nil {
			to = int(ends[i])
		}
		if to <= from || to > len(times) || to-from > column.TilePositions {
			return nil, fmt.Errorf("a tile from %d to %d of a column of %d positions", from, to, len(times))
		}
		tiles = append(tiles, index.Tile{From: uint32(from), To: uint32(to), First: times[from], Last: times[to-1]})
		from = to
	}
	if from != len(times) {
		return nil, fmt.Errorf("tiles end at %d of a column of %d positions", from, len(times))
	}
	return tiles, nil
}

// AddSeries writes a series, whose label set must be greater than the one
// before. Its pieces are on columns of this block, in order of time, and do
// not overlap; they need not be cut at tiles. A series without a sample is
// left out. The pieces are not kept.
func (w *Writer) AddSeries(ctx context.Context, lset labels.Labels, pieces []part.Piece) error {
	chunks, err := w.tiler.cut(w.columns, pieces)
	if err != nil {
		return fmt.Errorf("write block %s: series %s: %w", w.id, lset, err)
	}
	if len(chunks) == 0 {
		return nil
	}
	ordinal, err := w.index.AddSeries(lset)
	if err != nil {
		return fmt.Errorf("write block %s: %w", w.id, err)
	}
	for len(chunks) > 0 {
		n, err := w.addEntry(ctx, ordinal, chunks)
		if err != nil {
			return fmt.Errorf("write block %s: series %s: %w", w.id, lset, err)
		}
		chunks = chunks[n:]
	}
	return nil
}

// addEntry adds the first chunks that are one entry (one column and row, in
// order of tiles) to their row's page, and returns how many they were.
func (w *Writer) addEntry(ctx context.Context, ordinal uint32, chunks []tileChunk) (int, error) {
	id := chunks[0].column
	tiles := w.columns[id].tiles
	row := index.Row(tiles[chunks[0].tile].First, w.opts.RowMs)
	c := index.Column{Tiles: tiles}
	from, to := c.RowTiles(row, w.opts.RowMs)
	r := w.rows[row]
	if r == nil {
		r = &rowWriter{refer: referrer{encoder: w.tiler.encoder.Floats()}}
		w.rows[row] = r
	}
	if r.builder.SizeBytes() >= w.opts.PageBytes || r.builder.Entries() >= pageEntriesMax {
		if err := w.flush(ctx, row, r); err != nil {
			return 0, err
		}
	}
	r.chunks = append(r.chunks[:0], make([]page.Chunk, to-from)...)
	n := 0
	for last := from - 1; n < len(chunks) && chunks[n].column == id && chunks[n].tile > last && chunks[n].tile < to; n++ {
		ch := chunks[n]
		last = ch.tile
		if w.zstd != nil {
			ch.chunk = r.refer.refer(r.builder.Entries(), id, ch.tile, int(tiles[ch.tile].To-tiles[ch.tile].From), w.candidates(), ch.chunk)
		}
		r.chunks[ch.tile-from] = ch.chunk
		r.note(ordinal, tiles[ch.tile], ch.samples)
		w.note(tiles[ch.tile], ch.samples)
	}
	r.builder.Add(ordinal, uint32(id), r.chunks)
	return n, nil
}

// pageEntriesMax bounds the directory of a page of tiny chunks.
const pageEntriesMax = 2048

// rowWriter is the page at hand of one row.
type rowWriter struct {
	builder page.Builder
	info    index.Page
	chunks  []page.Chunk
	refer   referrer
}

// candidates is how many chunks each row may remember.
func (w *Writer) candidates() int {
	return max(8, min(candidatesMax, candidatesAll/len(w.rows)))
}

func (r *rowWriter) note(ordinal uint32, t index.Tile, samples int) {
	if r.builder.Entries() == 0 && r.info.Samples == 0 {
		r.info.First, r.info.MinTime, r.info.MaxTime = ordinal, t.First, t.Last
	}
	r.info.Last = ordinal
	r.info.MinTime, r.info.MaxTime = min(r.info.MinTime, t.First), max(r.info.MaxTime, t.Last)
	r.info.Samples += uint32(samples)
}

func (w *Writer) note(t index.Tile, samples int) {
	if w.stats.chunks == 0 {
		w.min, w.max = t.First, t.Last
	}
	w.min, w.max = min(w.min, t.First), max(w.max, t.Last)
	w.stats.chunks++
	w.stats.samples += uint64(samples)
}

// flush ends the page of a row.
func (w *Writer) flush(ctx context.Context, row int64, r *rowWriter) error {
	if r.builder.Entries() == 0 {
		return nil
	}
	w.frame = r.builder.AppendPayload(w.frame[:0])
	var c page.Compressor
	if w.zstd != nil {
		c = w.zstd
	}
	frame, err := page.AppendFrame(make([]byte, 0, len(w.frame)+page.HeaderBytes+page.PadBytes), page.Chunks, w.frame, c)
	if err != nil {
		return err
	}
	if w.size > 0 && w.size+len(frame) > w.opts.FileBytes {
		if err := w.putFile(ctx); err != nil {
			return err
		}
	}
	if w.size == 0 {
		w.file = append(w.file, page.AppendFileHeader(nil))
		w.size = page.FileHeaderBytes
	}
	r.info.File, r.info.Offset, r.info.Bytes = uint32(w.files+1), uint32(w.size), uint32(len(frame))
	r.info.Entries = uint32(r.builder.Entries())
	w.index.AddPage(row, r.info)
	w.file = append(w.file, frame)
	w.size += len(frame)
	r.info = index.Page{}
	r.builder.Reset()
	r.refer.reset()
	return nil
}

func (w *Writer) putFile(ctx context.Context) error {
	readers := make([]io.Reader, len(w.file))
	for i, b := range w.file {
		readers[i] = bytes.NewReader(b)
	}
	w.files++
	if err := w.putObject(ctx, fileName(w.files), io.MultiReader(readers...), int64(w.size)); err != nil {
		return err
	}
	w.stats.chunkBytes += uint64(w.size)
	clear(w.file)
	w.file, w.size = w.file[:0], 0
	return nil
}

func (w *Writer) putObject(ctx context.Context, name string, r io.Reader, size int64) error {
	name = w.prefix + name
	w.put = append(w.put, name)
	if err := w.bucket.PutIfAbsent(ctx, name, r, size); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// Finish puts what is left, the index, and meta.json last. Of meta it takes
// level, resolution, sources, sequences and tombstones; the rest it fills in.
// A block without a sample is ErrEmpty, and nothing is put.
func (w *Writer) Finish(ctx context.Context, meta Meta) (Meta, error) {
	if w.stats.chunks == 0 {
		return Meta{}, fmt.Errorf("write block %s: %w", w.id, ErrEmpty)
	}
	if err := w.finishChunks(ctx); err != nil {
		return Meta{}, fmt.Errorf("write block %s: %w", w.id, err)
	}
	meta.ID, meta.FormatVersion, meta.MinTime, meta.MaxTime = w.id, FormatVersion, w.min, w.max
	meta.Stats.Series, meta.Stats.Columns = uint64(w.index.Series()), uint64(w.index.Columns())
	meta.Stats.Chunks, meta.Stats.Samples, meta.Stats.ChunkBytes = w.stats.chunks, w.stats.samples, w.stats.chunkBytes
	x, err := w.buildIndex()
	if err != nil {
		return Meta{}, fmt.Errorf("write block %s: %w", w.id, err)
	}
	meta.Stats.IndexBytes = uint64(len(x))
	if err := w.putObject(ctx, indexName, bytes.NewReader(x), int64(len(x))); err != nil {
		return Meta{}, fmt.Errorf("write block %s: %w", w.id, err)
	}
	b, err := encodeMeta(meta)
	if err != nil {
		return Meta{}, fmt.Errorf("write block %s: %w", w.id, err)
	}
	if err := w.putObject(ctx, metaName, bytes.NewReader(b), int64(len(b))); err != nil {
		return Meta{}, fmt.Errorf("write block %s: %w", w.id, err)
	}
	return meta, nil
}

// buildIndex returns the index: packed when it is small, else with compressed
// pages of series.
func (w *Writer) buildIndex() ([]byte, error) {
	enc, err := newEncoder(false)
	if err != nil {
		return nil, err
	}
	if w.index.Series() > seriesPackedMax {
		return w.index.Build(enc)
	}
	x, err := w.index.Build(nil)
	if err != nil {
		return nil, err
	}
	if len(x) > index.PackedBytesMax {
		return w.index.Build(enc)
	}
	switch {
	case w.zstd == nil || len(x) <= packBestMin: // a cut does without the best encoder, too
		return index.Pack(x, enc), nil
	case w.opts.CompressMost:
		return index.Pack(x, w.zstd), nil
	}
	best, err := newEncoder(true)
	if err != nil {
		return nil, err
	}
	return index.Pack(x, best), nil
}

// packBestMin is the size of an index, in bytes, up to which the best encoder is
// not worth its 34 MB of tables: it would save 30 bytes at the most, for 5 to 15 ms.
const packBestMin = 4 << 10

// newEncoder returns an encoder of small frames.
func newEncoder(best bool) (*zstd.Encoder, error) {
	level := zstd.SpeedDefault
	if best {
		level = zstd.SpeedBestCompression
	}
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20), zstd.WithEncoderLevel(level))
}

// seriesPackedMax: the index of more series is never small enough to pack.
const seriesPackedMax = index.PackedBytesMax

// finishChunks ends all pages, in order of rows, and the last file.
func (w *Writer) finishChunks(ctx context.Context) error {
	numbers := make([]int64, 0, len(w.rows))
	for number := range w.rows {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	for _, number := range numbers {
		if err := w.flush(ctx, number, w.rows[number]); err != nil {
			return err
		}
	}
	return w.putFile(ctx)
}

// Chunks returns how many chunks were taken over as they came, and how many
// were encoded.
func (w *Writer) Chunks() (copied, encoded uint64) { return w.tiler.copied, w.tiler.encoded }

// Abort deletes what was put, as far as that is possible. It is called after
// an error, when the block will not be finished.
func (w *Writer) Abort(ctx context.Context) {
	for _, name := range slices.Backward(w.put) {
		// What cannot be deleted is an orphan: it is in no manifest.
		_ = w.bucket.Delete(ctx, name)
	}
}
