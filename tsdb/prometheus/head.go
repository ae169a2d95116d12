package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"github.com/prometheus/prometheus/model/labels"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/tombstones"
	"github.com/prometheus/prometheus/tsdb/wlog"
)

// isReadOnly reports that a file system does not take writes.
func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// openHead replays the log of the source as Prometheus would at its start, and
// makes what is not in blocks a part. The head mends its chunk files while it
// loads them: it gets copies of them in a directory of its own (I4).
func (s *source) openHead(ctx context.Context, sandbox string, skipDamaged bool, logger *slog.Logger) error {
	walDir := filepath.Join(s.dir, walName)
	if _, err := os.Stat(walDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	own, err := os.MkdirTemp(sandbox, "prometheus-head-")
	if err != nil {
		return fmt.Errorf("open the head of %s: %w", s.dir, err)
	}
	h, err := s.loadHead(own, skipDamaged, logger)
	if err != nil {
		return errors.Join(err, os.RemoveAll(own))
	}
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), h.Close(), os.RemoveAll(own))
	}
	minTime, maxTime := min(h.MinTime(), h.MinOOOTime()), max(h.MaxTime(), h.MaxOOOTime())
	if h.NumSeries() == 0 || minTime > maxTime {
		return errors.Join(h.Close(), os.RemoveAll(own))
	}
	s.parts = append(s.parts, &sourcePart{
		name: "the write-ahead log", reader: headReader{h}, minTime: minTime, maxTime: maxTime, series: h.NumSeries(),
		bytes: treeBytes(walDir) + treeBytes(filepath.Join(s.dir, wblName)) + treeBytes(filepath.Join(s.dir, headName)),
		close: func() error { return errors.Join(h.Close(), os.RemoveAll(own)) },
	})
	return nil
}

func (s *source) loadHead(own string, skipDamaged bool, logger *slog.Logger) (*promtsdb.Head, error) {
	if err := copyFiles(filepath.Join(s.dir, headName), filepath.Join(own, headName)); err != nil {
		return nil, fmt.Errorf("open the head of %s: %w", s.dir, err)
	}
	wal, err := wlog.Open(logger, filepath.Join(s.dir, walName))
	if err != nil {
		return nil, fmt.Errorf("open the head of %s: %w", s.dir, err)
	}
	var wbl *wlog.WL
	if _, err := os.Stat(filepath.Join(s.dir, wblName)); err == nil {
		if wbl, err = wlog.Open(logger, filepath.Join(s.dir, wblName)); err != nil {
			return nil, fmt.Errorf("open the head of %s: %w", s.dir, err)
		}
	}
	opts := promtsdb.DefaultHeadOptions()
	opts.ChunkDirRoot = own
	// So that what the log has of start timestamps is kept.
	opts.EnableSTStorage.Store(true)
	opts.EnableHistogramSTEncoding.Store(true)
	opts.FloatChunkEncoding.Store(uint32(chunkenc.EncXOR2))
	h, err := promtsdb.NewHead(nil, logger, wal, wbl, opts, promtsdb.NewHeadStats())
	if err != nil {
		return nil, fmt.Errorf("open the head of %s: %w", s.dir, err)
	}
	if err := h.Init(s.inOrderEnd()); err != nil {
		d := &DamageError{Part: "the write-ahead log", Err: err}
		if !skipDamaged {
			return nil, errors.Join(d, h.Close())
		}
		// What stands before the damage was loaded, and is imported.
		s.skipped = append(s.skipped, d)
	}
	return h, nil
}

// inOrderEnd is the end of the blocks that were cut from the whole head: what
// the log has before it is in them.
func (s *source) inOrderEnd() int64 {
	end := int64(math.MinInt64)
	for _, p := range s.parts {
		m := p.reader.Meta()
		if c := &m.Compaction; !c.FromOutOfOrder() && !c.FromStaleSeries() && !c.FromSelectedSeries() {
			end = max(end, m.MaxTime)
		}
	}
	return end
}

// copyFiles copies the files of a directory to a new one: the head may cut a
// file that it finds damaged, and a link would let it cut that of the source. A
// directory that is not there has none.
func copyFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func treeBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // what cannot be read is not counted
	})
	return n
}

// headReader is a replayed head as a block: in-order and out-of-order samples
// together. Nobody appends to it.
type headReader struct{ head *promtsdb.Head }

func (h headReader) Index() (promtsdb.IndexReader, error) {
	return promtsdb.NewHeadAndOOOIndexReader(h.head, h.head.MinTime(), math.MinInt64, math.MaxInt64, 0), nil
}

func (h headReader) Chunks() (promtsdb.ChunkReader, error) {
	return promtsdb.NewHeadAndOOOChunkReader(h.head, math.MinInt64, math.MaxInt64, nil, nil, 0), nil
}

func (h headReader) Tombstones() (tombstones.Reader, error) { return h.head.Tombstones() }
func (h headReader) Meta() promtsdb.BlockMeta               { return h.head.Meta() }
func (h headReader) Size() int64                            { return h.head.Size() }

// dropped counts what the log has and an import leaves out.
type dropped struct {
	Exemplars, Metadata uint64
}

// countDropped reads the records of the log once more. Damage ends it: whoever
// replays the log says so.
func countDropped(ctx context.Context, dir string) (dropped, error) {
	var d dropped
	walDir := filepath.Join(dir, walName)
	if _, err := os.Stat(walDir); err != nil {
		return d, nil
	}
	segments, err := wlog.NewSegmentsReader(walDir)
	if err != nil {
		return d, nil
	}
	defer func() { _ = segments.Close() }() // it was only read
	r := wlog.NewReader(segments)
	dec := record.NewDecoder(labels.NewSymbolTable(), slog.New(slog.DiscardHandler))
	var exemplars []record.RefExemplar
	var metadata []record.RefMetadata
	for n := 0; r.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return d, context.Cause(ctx)
		}
		switch rec := r.Record(); dec.Type(rec) {
		case record.Exemplars:
			exemplars, _ = dec.Exemplars(rec, exemplars[:0])
			d.Exemplars += uint64(len(exemplars))
		case record.Metadata:
			metadata, _ = dec.Metadata(rec, metadata[:0])
			d.Metadata += uint64(len(metadata))
		}
	}
	return d, nil
}
