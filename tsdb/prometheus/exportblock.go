package prometheus

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/tsdb/tombstones"

	"github.com/nilometer/nilometer/storage"
)

// blockExport writes one block of Prometheus. A scan hands series out by time
// columns and the block wants them by labels: encoded chunks go to a spool file
// first, of which memory has 32 bytes a chunk.
type blockExport struct {
	dir  string // a temporary name
	id   ulid.ULID
	span span

	spool  *bufio.Writer
	file   *os.File
	at     int64
	chunks [][]spooledChunk // by rank

	series, samples uint64
	bytes           int64
}

// spooledChunk is a chunk in the spool.
type spooledChunk struct {
	minTime, maxTime int64
	at               int64
	length           uint32
	encoding         chunkenc.Encoding
}

const (
	spoolName  = "spool"
	indexName  = "index"
	chunksName = "chunks"
)

// write makes the directory with everything in it, and counts. Without samples
// there is no block in it.
func (w *blockExport) write(ctx context.Context, view storage.View, matchers []*labels.Matcher, step func(samples uint64)) (err error) {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	scan, err := view.Select(ctx, storage.Selection{Matchers: matchers, MinTime: w.span.From, MaxTime: w.span.To - 1})
	if err != nil {
		return err
	}
	defer scan.Close()
	if w.file, err = os.Create(filepath.Join(w.dir, spoolName)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.file.Close()) }()
	if err := w.encode(ctx, scan, step); err != nil {
		return err
	}
	if w.samples == 0 {
		return nil
	}
	if err := w.assemble(ctx, scan); err != nil {
		return err
	}
	if err := os.Remove(w.file.Name()); err != nil {
		return err
	}
	return w.finish()
}

// encode puts the chunks of all series into the spool.
func (w *blockExport) encode(ctx context.Context, scan storage.Scan, step func(samples uint64)) error {
	w.spool = bufio.NewWriterSize(w.file, 1<<20)
	w.chunks = make([][]spooledChunk, scan.Series())
	var b storage.ColumnBatch
	it := newColumnIterator()
	for {
		ok, err := scan.Next(ctx, &b)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		for i, rank := range b.Ranks {
			if i%cancelEvery == 0 && ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := it.load(&b, i, w.span.From, w.span.To); err != nil {
				return fmt.Errorf("series %s: %w", scan.Labels(rank), err)
			}
			if err := w.spoolSeries(int(rank), it); err != nil {
				return fmt.Errorf("series %s: %w", scan.Labels(rank), err)
			}
		}
		step(w.samples)
	}
	if errs := scan.Warnings().AsErrors(); len(errs) > 0 {
		return fmt.Errorf("a part of the data cannot be read: %w", errs[0])
	}
	return w.spool.Flush()
}

func (w *blockExport) spoolSeries(rank int, it *columnIterator) error {
	if it.len() == 0 {
		return nil
	}
	w.series++
	w.samples += uint64(it.len())
	encoded := promstorage.NewSeriesToChunkEncoder(&promstorage.SeriesEntry{
		SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return it },
	}).Iterator(nil)
	for encoded.Next() {
		m := encoded.At()
		data := m.Chunk.Bytes()
		if _, err := w.spool.Write(data); err != nil {
			return err
		}
		w.chunks[rank] = append(w.chunks[rank], spooledChunk{
			minTime: m.MinTime, maxTime: m.MaxTime, at: w.at, length: uint32(len(data)), encoding: m.Chunk.Encoding(),
		})
		w.at += int64(len(data))
	}
	return encoded.Err()
}

// assemble writes chunks and index in label order.
func (w *blockExport) assemble(ctx context.Context, scan storage.Scan) (err error) {
	out, err := chunks.NewWriter(filepath.Join(w.dir, chunksName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	x, err := index.NewWriter(ctx, filepath.Join(w.dir, indexName))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	for _, s := range w.symbols(scan) {
		if err := x.AddSymbol(s); err != nil {
			return err
		}
	}
	var metas []chunks.Meta
	ref := promstorage.SeriesRef(0)
	for rank, spooled := range w.chunks {
		if rank%cancelEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(spooled) == 0 {
			continue
		}
		if metas, err = w.load(metas[:0], spooled); err != nil {
			return err
		}
		if err := out.WriteChunks(metas...); err != nil {
			return err
		}
		if err := x.AddSeries(ref, scan.Labels(uint32(rank)), metas...); err != nil {
			return err
		}
		ref++
	}
	return nil
}

// symbols returns every name and value of the labels, sorted.
func (w *blockExport) symbols(scan storage.Scan) []string {
	seen := map[string]struct{}{}
	for rank, spooled := range w.chunks {
		if len(spooled) == 0 {
			continue
		}
		scan.Labels(uint32(rank)).Range(func(l labels.Label) {
			seen[l.Name], seen[l.Value] = struct{}{}, struct{}{}
		})
	}
	return slices.Sorted(maps.Keys(seen))
}

// load reads the chunks of one series from the spool.
func (w *blockExport) load(dst []chunks.Meta, spooled []spooledChunk) ([]chunks.Meta, error) {
	for _, s := range spooled {
		data := make([]byte, s.length)
		if _, err := w.file.ReadAt(data, s.at); err != nil {
			return dst, fmt.Errorf("read the spool: %w", err)
		}
		c, err := chunkenc.FromData(s.encoding, data)
		if err != nil {
			return dst, err
		}
		dst = append(dst, chunks.Meta{MinTime: s.minTime, MaxTime: s.maxTime, Chunk: c})
	}
	return dst, nil
}

// finish adds what makes the directory a block.
func (w *blockExport) finish() error {
	var n uint64
	for _, c := range w.chunks {
		n += uint64(len(c))
	}
	m := promtsdb.BlockMeta{
		ULID: w.id, MinTime: w.span.From, MaxTime: w.span.To, Version: 1,
		Stats:      promtsdb.BlockStats{NumSamples: w.samples, NumSeries: w.series, NumChunks: n},
		Compaction: promtsdb.BlockMetaCompaction{Level: 1, Sources: []ulid.ULID{w.id}},
	}
	content, err := json.MarshalIndent(&m, "", "\t")
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(w.dir, blockMetaName), content); err != nil {
		return err
	}
	if _, err := tombstones.WriteFile(slog.New(slog.DiscardHandler), w.dir, tombstones.NewMemTombstones()); err != nil {
		return err
	}
	w.bytes = treeBytes(w.dir)
	return syncDir(w.dir)
}

// verify opens the block as Prometheus does, and compares its counts with what
// was exported.
func (w *blockExport) verify(ctx context.Context) (err error) {
	b, err := promtsdb.OpenBlock(slog.New(slog.DiscardHandler), w.dir, nil, nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	p, err := (&sourcePart{name: "block " + w.id.String(), reader: b}).open()
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() { err = errors.Join(err, p.close()) }()
	wk, err := newWalk(ctx, []*openedPart{p}, w.span.From, w.span.To)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	var s sourceSeries
	var series, samples uint64
	for ; ; series++ {
		ok, err := wk.next(&s)
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		if !ok {
			break
		}
		for _, m := range s.pieces[0].chunks {
			c, _, err := p.chunks.ChunkOrIterable(m)
			if err != nil {
				return fmt.Errorf("verify: series %s: %w", s.labels, err)
			}
			samples += uint64(c.NumSamples())
		}
	}
	if series != w.series || samples != w.samples {
		return fmt.Errorf("verify: the block has %d series with %d samples, exported were %d with %d", series, samples, w.series, w.samples)
	}
	return nil
}
