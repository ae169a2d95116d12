package tsdb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/vfs"
)

// snapshotWriter makes one snapshot. The file VERSION comes last: without it
// the directory is no data directory.
type snapshotWriter struct {
	Snapshot
	fs     vfs.FS
	source blob.Bucket // where blocks and versions are read
	bucket *blobdir.Bucket
	links  bool            // source is store/, on a file system with hard links
	dirs   map[string]bool // that have new names
	// live tells whether the newest version has a block; nil when blocks are
	// held, and so cannot vanish.
	live func(ctx context.Context, id tenant.ID, block ulid.ULID) (bool, error)
}

// beginSnapshot makes the directory of a snapshot.
func beginSnapshot(fsys vfs.FS, source blob.Bucket, nowMs int64) (*snapshotWriter, error) {
	w := &snapshotWriter{fs: fsys, source: source, dirs: map[string]bool{}}
	id := make([]byte, 8)
	_, _ = rand.Read(id) // it never fails
	w.Name = time.UnixMilli(nowMs).UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(id)
	w.Dir = path.Join(snapshotsName, w.Name)
	if err := fsys.MkdirAll(snapshotsName); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	names, err := fsys.List(snapshotsName)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if len(names) >= snapshotsMax {
		return nil, fmt.Errorf("snapshot: there are %d in %s, at most %d are allowed: delete old ones, each is a directory", len(names), snapshotsName, snapshotsMax)
	}
	if err := fsys.MkdirAll(w.Dir); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if w.links, err = hasHardLinks(fsys, w.Dir); err == nil {
		w.bucket, err = blobdir.New(fsys, path.Join(w.Dir, storeName))
	}
	if err != nil {
		return nil, w.end(err)
	}
	return w, nil
}

// hasHardLinks finds out whether Link leaves the old name: where it moves it, a
// snapshot would take the files away.
func hasHardLinks(fsys vfs.FS, dir string) (bool, error) {
	first, second := path.Join(dir, "link-1"), path.Join(dir, "link-2")
	f, err := fsys.Create(first)
	if err != nil {
		return false, err
	}
	if err := f.Close(); err != nil {
		return false, err
	}
	linkErr := fsys.Link(first, second)
	_, statErr := fsys.Stat(first)
	return linkErr == nil && statErr == nil, errors.Join(fsys.RemoveAll(first), fsys.RemoveAll(second))
}

// versions takes over what a manifest version is read from.
func (w *snapshotWriter) versions(ctx context.Context, m *manifest.Store, c manifest.Current) error {
	for _, name := range m.Objects(c) {
		if _, err := w.add(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// block takes over the files of a block. When it is deleted meanwhile the error
// is blob.ErrNotFound.
func (w *snapshotWriter) block(ctx context.Context, id tenant.ID, m block.Meta) error {
	var names []string
	err := w.source.List(ctx, block.Prefix(id, m.ID), "", func(i blob.Info) error {
		names = append(names, i.Name)
		return nil
	})
	if err != nil {
		return err
	}
	total := int64(0)
	for _, name := range names {
		n, err := w.add(ctx, name)
		if err != nil {
			return err
		}
		if path.Base(name) != "meta.json" {
			total += n
		}
	}
	if total != int64(m.Stats.Bytes()) && w.live != nil {
		// Deleted meanwhile, or damaged: a damaged block is taken as it is.
		live, err := w.live(ctx, id, m.ID)
		if err != nil {
			return err
		}
		if !live {
			return fmt.Errorf("block %s: %w", m.ID, blob.ErrNotFound)
		}
	}
	w.count(m)
	return nil
}

// isLive asks the newest version.
func (w *snapshotWriter) isLive(ctx context.Context, id tenant.ID, block ulid.ULID) (bool, error) {
	m, err := manifest.Open(ctx, w.source, id, shard)
	if err != nil {
		return false, err
	}
	_, live := m.Current().State.Block(block)
	return live, nil
}

func (w *snapshotWriter) count(m block.Meta) {
	w.Blocks++
	w.Samples += m.Stats.Samples
}

// add takes over one object and returns its size.
func (w *snapshotWriter) add(ctx context.Context, name string) (int64, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	if !w.links {
		return w.copy(ctx, name)
	}
	target := path.Join(w.Dir, storeName, name)
	if err := w.fs.MkdirAll(path.Dir(target)); err != nil {
		return 0, err
	}
	switch err := w.fs.Link(path.Join(storeName, name), target); {
	case errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("%s: %w", name, blob.ErrNotFound)
	case err != nil: // too many links of one file, for instance
		return w.copy(ctx, name)
	}
	w.dirs[path.Dir(target)] = true
	info, err := w.fs.Stat(target)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (w *snapshotWriter) copy(ctx context.Context, name string) (int64, error) {
	src, err := w.source.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	err = w.bucket.PutIfAbsent(ctx, name, io.NewSectionReader(src, 0, src.Size()), src.Size())
	return src.Size(), errors.Join(err, src.Close())
}

// end completes the snapshot, or deletes it after an error.
func (w *snapshotWriter) end(err error) error {
	for dir := range w.dirs {
		if err == nil {
			err = w.fs.SyncDir(dir)
		}
	}
	if err == nil {
		err = writeVersion(w.fs, w.Dir)
	}
	if err == nil {
		err = w.fs.SyncDir(snapshotsName)
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w", errors.Join(err, dropSnapshot(w.fs, w.Snapshot)))
	}
	return nil
}

// dropSnapshot deletes a snapshot; one that is gone is no error.
func dropSnapshot(fsys vfs.FS, s Snapshot) error {
	if err := fsys.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("delete snapshot %s: %w", s.Name, err)
	}
	return nil
}

// snapshotRoundsMax bounds how often LinkBlocks begins anew.
const snapshotRoundsMax = 10

// errSnapshotsRace: the server was faster each time.
var errSnapshotsRace = errors.New("blocks were compacted away each time: try again later")

// LinkBlocks makes a snapshot of what is in blocks, beside a server that runs
// on the directory or without one. It takes no lock: a version of the manifest
// and its blocks never change, and when a block is deleted meanwhile a newer
// version is taken.
func LinkBlocks(ctx context.Context, d Deps, beside func(ctx context.Context, dir string) error) (Snapshot, error) {
	d = d.withDefaults()
	fsys, err := existing(d)
	if err != nil {
		return Snapshot{}, err
	}
	source := blobdir.Reader(fsys, storeName)
	for range snapshotRoundsMax {
		var w *snapshotWriter
		if w, err = beginSnapshot(fsys, source, d.Clock().UnixMilli()); err != nil {
			return Snapshot{}, err
		}
		w.live = w.isLive
		err = w.allBlocks(ctx)
		if err == nil && beside != nil {
			err = beside(ctx, w.Dir)
		}
		if err = w.end(err); err == nil || !errors.Is(err, blob.ErrNotFound) {
			return w.Snapshot, err
		}
	}
	return Snapshot{}, errors.Join(errSnapshotsRace, err)
}

func (w *snapshotWriter) allBlocks(ctx context.Context) error {
	tenants, err := listTenants(ctx, w.source)
	if err != nil {
		return err
	}
	for _, id := range tenants {
		m, err := manifest.Open(ctx, w.source, id, shard)
		if err != nil {
			return err
		}
		c := m.Current()
		if err := w.versions(ctx, m, c); err != nil {
			return err
		}
		for _, b := range slices.Backward(c.State.Blocks) { // old blocks are merged more rarely
			if err := w.block(ctx, id, b); err != nil {
				return fmt.Errorf("tenant %s: %w", id, err)
			}
		}
	}
	return nil
}
