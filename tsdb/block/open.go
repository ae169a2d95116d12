package block

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/part"
)

// metaBytesMax bounds a meta.json.
const metaBytesMax = 16 << 20

// Block is an open block: a part.Part. It counts its references: Open returns
// it with one, and its files are closed with the last.
type Block struct {
	meta   Meta
	name   string
	prefix string
	cache  *Cache
	dec    *zstd.Decoder

	indexFile blob.Object
	index     *index.Index
	rows      []index.RowInfo
	files     []chunksFile

	pages   []slot[*loadedPage]
	damaged sync.Map // page number -> error: what is damaged stays so
	labels  []slot[*loadedLabels]
	columns []slot[*index.Column]
	times   []slot[[]int64]

	broken error // why nothing of it can be read, see SetAside

	refs atomic.Int64
}

var (
	_ part.Part      = (*Block)(nil)
	_ part.Estimator = (*Block)(nil)
	_ part.Outliner  = (*Block)(nil)
	_ part.Hasher    = (*Block)(nil)
)

// chunksFile is one file of chunks.
type chunksFile struct {
	name string
	obj  blob.Object // nil when the file is missing
}

// encodeMeta returns the bytes of a meta.json.
func encodeMeta(m Meta) ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", metaName, err)
	}
	return append(b, '\n'), nil
}

// ReadMeta reads the meta.json of a block. A block without one was never
// finished: the error wraps blob.ErrNotFound.
func ReadMeta(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, id ulid.ULID) (Meta, error) {
	name := Prefix(tenantID, id) + metaName
	b, err := bucket.GetRange(ctx, name, 0, metaBytesMax)
	if err != nil {
		return Meta{}, fmt.Errorf("read %s: %w", name, err)
	}
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return Meta{}, fmt.Errorf("read %s: %w", name, err)
	}
	if err := checkVersion(m); err != nil {
		return Meta{}, fmt.Errorf("read %s: %w", name, err)
	}
	if m.ID != id || m.FormatVersion < 1 {
		return Meta{}, fmt.Errorf("read %s: it describes block %s, format version %d", name, m.ID, m.FormatVersion)
	}
	return m, nil
}

func checkVersion(m Meta) error {
	if m.FormatVersion > FormatVersion {
		return fmt.Errorf("format version %d, known up to %d: upgrade this program to read it", m.FormatVersion, FormatVersion)
	}
	return nil
}

// Open is OpenAs with what the block's meta.json says.
func Open(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, id ulid.ULID, cache *Cache) (*Block, error) {
	meta, err := ReadMeta(ctx, bucket, tenantID, id)
	if err != nil {
		return nil, fmt.Errorf("open block %s: %w", id, err)
	}
	return OpenAs(ctx, bucket, tenantID, meta, cache)
}

// OpenAs opens a block for reading, of which meta is known, as the manifest
// does. What is decoded goes to cache, nil for one of its own. The index is
// mapped; where the bucket is no directory a small one is read whole, of a
// larger one what is needed. An index that is damaged or missing is a
// *part.DamageError; a missing file of chunks damages its pages only.
func OpenAs(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, meta Meta, cache *Cache) (*Block, error) {
	b, err := open(ctx, bucket, tenantID, meta, cache)
	if err != nil {
		return nil, fmt.Errorf("open block %s: %w", meta.ID, err)
	}
	return b, nil
}

func newBlock(tenantID tenant.ID, meta Meta, cache *Cache) *Block {
	if cache == nil {
		cache = NewCache(0)
	}
	b := &Block{meta: meta, name: "block " + meta.ID.String(), prefix: Prefix(tenantID, meta.ID), cache: cache}
	b.refs.Store(1)
	return b
}

func open(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, meta Meta, cache *Cache) (_ *Block, err error) {
	if err := checkVersion(meta); err != nil {
		return nil, err
	}
	b := newBlock(tenantID, meta, cache)
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	// Two decoders: readers rarely decompress at the same instant, and each
	// decoder keeps some 100 KiB.
	b.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(page.RawBytesMax), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	if err := b.openIndex(ctx, bucket); err != nil {
		return nil, err
	}
	if err := b.openFiles(ctx, bucket); err != nil {
		return nil, err
	}
	b.pages = make([]slot[*loadedPage], b.index.Pages())
	b.labels = make([]slot[*loadedLabels], (b.index.Series()+index.SeriesPerPage-1)/index.SeriesPerPage)
	b.columns = make([]slot[*index.Column], b.index.Columns())
	b.times = make([]slot[[]int64], b.index.Columns())
	return b, nil
}

// openIndex opens the index; what is wrong with it is damage.
func (b *Block) openIndex(ctx context.Context, bucket blob.Bucket) (err error) {
	b.indexFile, err = bucket.Open(ctx, b.prefix+indexName)
	if errors.Is(err, blob.ErrNotFound) {
		return b.indexDamage(err)
	}
	if err != nil {
		return err
	}
	if raw := b.indexFile.Bytes(); raw != nil || b.indexFile.Size() == 0 {
		b.index, err = index.Open(raw, b.dec)
	} else {
		b.index, err = index.OpenAt(b.indexFile, b.indexFile.Size(), b.dec)
	}
	var broken *index.CorruptError
	if errors.As(err, &broken) {
		return b.indexDamage(err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", indexName, err)
	}
	if b.rows, err = b.index.Rows(); err != nil {
		return b.indexDamage(err)
	}
	if n := b.index.Files(); n > filesMax {
		return b.indexDamage(fmt.Errorf("%d files of chunks, at most %d are allowed", n, filesMax))
	}
	return nil
}

// openFiles opens the files of chunks.
func (b *Block) openFiles(ctx context.Context, bucket blob.Bucket) error {
	b.files = make([]chunksFile, b.index.Files())
	for i := range b.files {
		f := &b.files[i]
		f.name = b.prefix + fileName(i+1)
		var err error
		if f.obj, err = bucket.Open(ctx, f.name); err != nil && !errors.Is(err, blob.ErrNotFound) {
			return err
		}
	}
	return nil
}

// filesMax bounds the files of chunks: 32 MiB each, that is 2 TiB.
const filesMax = 1 << 16

// Meta describes the block.
func (b *Block) Meta() Meta { return b.meta }

// Name is "block <ULID>".
func (b *Block) Name() string { return b.name }

// Range returns bounds of the times of all samples.
func (b *Block) Range() (minTime, maxTime int64) { return b.meta.MinTime, b.meta.MaxTime }

// Retain adds a reference. The caller must hold one already, or know that
// somebody does until Retain returns.
func (b *Block) Retain() {
	if b.refs.Add(1) <= 1 {
		panic(b.name + ": retained after its last release")
	}
}

// Release gives a reference back; the last one closes the files, and what the
// block handed out is no longer valid.
func (b *Block) Release() error {
	n := b.refs.Add(-1)
	if n < 0 {
		panic(b.name + ": released more often than retained")
	}
	if n > 0 {
		return nil
	}
	return b.close()
}

func (b *Block) close() error {
	clearSlots(b.cache, b.pages)
	clearSlots(b.cache, b.labels)
	clearSlots(b.cache, b.columns)
	clearSlots(b.cache, b.times)
	var errs []error
	for i := range b.files {
		if b.files[i].obj != nil {
			errs = append(errs, b.files[i].obj.Close())
		}
	}
	if b.indexFile != nil {
		errs = append(errs, b.indexFile.Close())
	}
	if b.dec != nil {
		b.dec.Close()
	}
	return errors.Join(errs...)
}

func clearSlots[T any](c *Cache, slots []slot[T]) {
	for i := range slots {
		slots[i].clear(c)
	}
}
