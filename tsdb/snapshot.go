package tsdb

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/oklog/ulid/v2"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/wal"
)

// snapshotsMax bounds the snapshots of a data directory: each keeps the files
// of blocks that were dropped since.
const snapshotsMax = 100

// SnapshotOptions are what a snapshot is asked for.
type SnapshotOptions struct {
	// SkipHead leaves out what is not in blocks yet: the samples of the last
	// hours.
	SkipHead bool
	// Beside adds what others keep in the data directory to the directory dir,
	// which is relative to the data directory; nil: nothing.
	Beside func(ctx context.Context, dir string) error
}

// Snapshot describes one that was made.
type Snapshot struct {
	// Name is the directory below snapshots/, as 20261123T050000Z-2be650b6d019eb54.
	Name string
	// Dir is the directory, relative to the data directory, with slashes.
	Dir        string
	Blocks     int    // with those of the head
	HeadBlocks int    // written for it
	Samples    uint64 // in blocks
}

// Snapshot makes a data directory of its own in snapshots/: hard links of the
// blocks of one manifest version of each tenant, and what the heads have now
// as blocks. A server started on it answers as this one does now. What was
// acknowledged before the call is in it. Where the file system has no hard
// links the files are copied. Metadata and exemplars are in a log of its own.
func (db *DB) Snapshot(ctx context.Context, o SnapshotOptions) (Snapshot, error) {
	if !o.SkipHead {
		if err := db.memory.wait(ctx); err != nil {
			return Snapshot{}, fmt.Errorf("snapshot: %w", err)
		}
	}
	w, err := beginSnapshot(db.directory.fs, db.bucket, db.now())
	if err != nil {
		return Snapshot{}, err
	}
	w.links = w.links && db.deps.Bucket == nil // else blocks are no files of this directory
	start := time.Now()
	for _, b := range db.opened() {
		if err = db.snapshotTenant(ctx, w, b, o.SkipHead); err != nil {
			err = fmt.Errorf("tenant %s: %w", b.id, err)
			break
		}
	}
	if err == nil && !o.SkipHead {
		err = db.snapshotAbout(w)
	}
	if err == nil && o.Beside != nil {
		err = o.Beside(ctx, w.Dir)
	}
	if err = w.end(err); err != nil {
		return Snapshot{}, err
	}
	db.logger.Info("snapshot made", "snapshot", w.Name, "blocks", w.Blocks, "samples", w.Samples, "duration_ms", time.Since(start).Milliseconds())
	return w.Snapshot, nil
}

// DropSnapshot deletes a snapshot; one that is gone is no error.
func (db *DB) DropSnapshot(s Snapshot) error { return dropSnapshot(db.directory.fs, s) }

// snapshotAbout writes a log of what the heads know beside samples: metadata and
// exemplars.
func (db *DB) snapshotAbout(w *snapshotWriter) error {
	if payloads := db.about(); len(payloads) > 0 {
		return wal.WriteSegment(w.fs, path.Join(w.Dir, walName), payloads...)
	}
	return nil
}

// about returns payloads for a log that bring back what the heads know beside
// samples.
func (db *DB) about() (payloads [][]byte) {
	for _, b := range db.opened() {
		if p := db.memory.head(b.id).About(); len(p) > 0 {
			payloads = append(payloads, p)
		}
	}
	return payloads
}

func (db *DB) snapshotTenant(ctx context.Context, w *snapshotWriter, b *blocks, skipHead bool) error {
	v := &view{db: db, id: b.id}
	db.metrics.views.Inc()
	v.take(b)
	defer v.Close()
	if !skipHead {
		v.pinHead()
	}
	if err := w.versions(ctx, b.manifest, v.gen.current); err != nil {
		return err
	}
	for _, m := range v.gen.current.State.Blocks {
		if err := w.block(ctx, b.id, m); err != nil {
			return err
		}
	}
	if skipHead {
		return nil
	}
	return db.snapshotHead(ctx, w, b.id, v)
}

// snapshotHead writes what a view has beside its blocks as blocks of one more
// version.
func (db *DB) snapshotHead(ctx context.Context, w *snapshotWriter, id tenant.ID, v *view) error {
	store, err := manifest.Open(ctx, w.bucket, id, shard)
	if err != nil {
		return err
	}
	seq := store.Current().Number + 1
	edit := format.Edit{}
	horizon := v.gen.horizon()
	for _, p := range v.unstored() {
		meta, err := block.Write(ctx, w.bucket, id, ulid.Make(), blockOptions(db.plannerOptions(), false),
			block.Meta{Level: 1, LowestSeq: seq, HighestSeq: seq}, p)
		if errors.Is(err, block.ErrEmpty) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write what is not in blocks yet: %w", err)
		}
		edit.Added = append(edit.Added, meta)
		horizon = max(horizon, meta.MaxTime+1)
		w.HeadBlocks++
		w.count(meta)
	}
	if len(edit.Added) == 0 {
		return nil
	}
	marks := v.gen.late()
	if l := v.late(); l != nil {
		marks = late.Marks{All: max(marks.Last(), l.Last())}
	}
	mark(&edit, store.Current().State, horizon, marks)
	_, err = store.Commit(ctx, func(manifest.Current) (format.Edit, error) { return edit, nil })
	return err
}

// unstored returns the parts of a view that are not blocks, those of the head
// span by span, so that the blocks made of them are aligned like others.
func (v *view) unstored() []part.Part {
	var out []part.Part
	for _, p := range v.parts[len(v.gen.blocks):] {
		switch p := p.(type) {
		case headPart:
			spanMs := v.db.opts.BlockRange.Milliseconds()
			for _, span := range v.db.memory.head(v.id).Spans(endOfTime) {
				out = append(out, during{p, span, span + spanMs - 1})
			}
		case *late.Part:
			for _, s := range p.Spans() {
				out = append(out, during{p, s.From, s.To - 1})
			}
		default:
			out = append(out, p)
		}
	}
	return out
}

// late returns the late samples of a view, nil without any.
func (v *view) late() *late.Part {
	for _, p := range v.parts {
		if l, ok := p.(*late.Part); ok {
			return l
		}
	}
	return nil
}

// during is what a part of whole spans has from one time to another.
type during struct {
	part.Part
	from, to int64
}

// Pieces implements part.Part.
func (d during) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	if minTime, maxTime = max(minTime, d.from), min(maxTime, d.to); minTime > maxTime {
		return dst, nil
	}
	return d.Part.Pieces(ref, minTime, maxTime, dst)
}
