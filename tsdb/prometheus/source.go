package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/oklog/ulid/v2"
	promtsdb "github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/fileutil"
	"github.com/prometheus/prometheus/tsdb/tombstones"
)

// Names in a Prometheus data directory.
const (
	lockName      = "lock"
	walName       = "wal"
	wblName       = "wbl"
	headName      = "chunks_head"
	blockMetaName = "meta.json"
)

// DamageError names a part of the source that cannot be read.
type DamageError struct {
	Part string // "block 01J…", "the write-ahead log"
	Err  error
}

// Error names the part and the way out.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s cannot be read: %v: import without it with --skip-damaged, or restore it", e.Part, e.Err)
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// source is an open Prometheus data directory: its blocks in order of time,
// then the head.
type source struct {
	dir    string
	parts  []*sourcePart
	locked bool // a process holds its lock
	// skipped are the parts that could not be opened.
	skipped []*DamageError
}

// sourcePart is one block, or the head.
type sourcePart struct {
	name   string
	reader promtsdb.BlockReader
	// minTime and maxTime are the first and last time that a sample may have,
	// both included.
	minTime, maxTime int64
	series, samples  uint64 // 0 when not known
	bytes            int64
	// fingerprint changes when the part's content does; "" for the head.
	fingerprint string
	close       func() error
}

func (p *sourcePart) overlaps(from, to int64) bool { return p.minTime < to && p.maxTime >= from }

// openSource opens dir for reading. Files that the head's reader needs for
// itself go to a new directory below sandbox, which close deletes.
func openSource(ctx context.Context, dir, sandbox string, skipDamaged bool, logger *slog.Logger) (*source, error) {
	ids, err := checkSource(dir)
	if err != nil {
		return nil, err
	}
	s := &source{dir: dir, locked: isLocked(filepath.Join(dir, lockName))}
	if err := s.openBlocks(ctx, ids, skipDamaged, logger); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.openHead(ctx, sandbox, skipDamaged, logger); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// checkSource returns the ids of the blocks in dir, and an error when it is no
// data directory of Prometheus.
func checkSource(dir string) ([]ulid.ULID, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open Prometheus data: %w", err)
	}
	var ids []ulid.ULID
	hasWAL, ours := false, false
	for _, e := range entries {
		switch id, err := ulid.ParseStrict(e.Name()); {
		case err == nil:
			if _, err := os.Stat(filepath.Join(dir, e.Name(), blockMetaName)); err == nil {
				ids = append(ids, id)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("open Prometheus data: %w", err)
			}
		case e.Name() == walName:
			hasWAL = true
		case e.Name() == "VERSION", e.Name() == "store":
			ours = true
		}
	}
	switch {
	case ours && len(ids) == 0:
		return nil, fmt.Errorf("%s is a data directory of nilometer, not of Prometheus: restore a backup, or name the directory of Prometheus", dir)
	case len(ids) == 0 && !hasWAL:
		return nil, fmt.Errorf("%s is no data directory of Prometheus: it has neither blocks (a directory with a %s each) nor a %s: name the directory that Prometheus has as --storage.tsdb.path",
			dir, blockMetaName, walName)
	}
	slices.SortFunc(ids, ulid.ULID.Compare)
	return ids, nil
}

// isLocked reports whether a process holds the lock of the directory. A file
// that must not be opened for writing says nothing.
func isLocked(name string) bool {
	if _, err := os.Stat(name); err != nil {
		return false // taking the lock would make the file
	}
	lock, _, err := fileutil.Flock(name)
	if err != nil {
		return !errors.Is(err, fs.ErrPermission) && !isReadOnly(err)
	}
	_ = lock.Release() // nothing was done under it
	return false
}

func (s *source) openBlocks(ctx context.Context, ids []ulid.ULID, skipDamaged bool, logger *slog.Logger) error {
	parents := map[ulid.ULID]bool{}
	damaged := map[ulid.ULID]*DamageError{}
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		b, err := promtsdb.OpenBlock(logger, filepath.Join(s.dir, id.String()), nil, nil)
		if err != nil {
			damaged[id] = &DamageError{Part: "block " + id.String(), Err: err}
			continue
		}
		m := b.Meta()
		for _, p := range m.Compaction.Parents {
			parents[p.ULID] = true
		}
		s.parts = append(s.parts, &sourcePart{
			name: "block " + id.String(), reader: b, minTime: m.MinTime, maxTime: m.MaxTime - 1,
			series: m.Stats.NumSeries, samples: m.Stats.NumSamples, bytes: b.Size(),
			fingerprint: fmt.Sprintf("%s/%d", id, m.Stats.NumTombstones), close: b.Close,
		})
	}
	// A block whose compacted successor is there is on its way out: what it has,
	// the successor has too.
	for id, d := range damaged {
		switch {
		case parents[id]:
		case !skipDamaged:
			return d
		default:
			s.skipped = append(s.skipped, d)
		}
	}
	slices.SortFunc(s.skipped, func(a, b *DamageError) int { return cmp.Compare(a.Part, b.Part) })
	slices.SortStableFunc(s.parts, func(a, b *sourcePart) int { return cmp.Compare(a.minTime, b.minTime) })
	return nil
}

// timeRange returns the first and last time of all parts; ok is false without
// any.
func (s *source) timeRange() (minTime, maxTime int64, ok bool) {
	minTime, maxTime = math.MaxInt64, math.MinInt64
	for _, p := range s.parts {
		minTime, maxTime = min(minTime, p.minTime), max(maxTime, p.maxTime)
	}
	return minTime, maxTime, len(s.parts) > 0
}

func (s *source) bytes() (n int64) {
	for _, p := range s.parts {
		n += p.bytes
	}
	return n
}

func (s *source) close() error {
	var errs []error
	for _, p := range s.parts {
		errs = append(errs, p.close())
	}
	return errors.Join(errs...)
}

// openedPart is a part whose readers are open. One goroutine uses it.
type openedPart struct {
	*sourcePart
	index      promtsdb.IndexReader
	chunks     promtsdb.ChunkReader
	tombstones tombstones.Reader
}

func (p *sourcePart) open() (o *openedPart, err error) {
	o = &openedPart{sourcePart: p}
	if o.index, err = p.reader.Index(); err != nil {
		return nil, &DamageError{Part: p.name, Err: err}
	}
	if o.chunks, err = p.reader.Chunks(); err != nil {
		return nil, &DamageError{Part: p.name, Err: errors.Join(err, o.close())}
	}
	if o.tombstones, err = p.reader.Tombstones(); err != nil {
		return nil, &DamageError{Part: p.name, Err: errors.Join(err, o.close())}
	}
	return o, nil
}

func (o *openedPart) close() error {
	var errs []error
	if o.index != nil {
		errs = append(errs, o.index.Close())
	}
	if o.chunks != nil {
		errs = append(errs, o.chunks.Close())
	}
	if o.tombstones != nil {
		errs = append(errs, o.tombstones.Close())
	}
	return errors.Join(errs...)
}

// chunkOverlaps reports whether a chunk may have samples in [from, to).
func chunkOverlaps(m *chunks.Meta, from, to int64) bool { return m.MinTime < to && m.MaxTime >= from }
