package tsdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/mask"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/planner"
	"github.com/nilometer/nilometer/vfs"
)

// deletionsName has a file for each deletion that hides something of a head.
const deletionsName = "deletions"

// tombstonesMax bounds the deletions of a tenant that are not applied yet: every
// query looks at each of them.
const tombstonesMax = 1000

// Delete implements storage.Reader. The deletion is one version of the manifest:
// what it hides of blocks follows from that, what it hides of the head is in a
// file that counts when the manifest names it. When Delete returns nil both are
// durable; after any other error than manifest.ErrUncertain nothing is hidden,
// unless only the exemplars could not be deleted, which come last where there are
// any: the error says so, and the same deletion once more deletes them.
func (db *DB) Delete(ctx context.Context, id tenant.ID, mint, maxt int64, ms ...*labels.Matcher) error {
	if err := db.delete(ctx, id, mint, maxt, ms); err != nil {
		return fmt.Errorf("delete samples: %w", err)
	}
	return nil
}

func (db *DB) delete(ctx context.Context, id tenant.ID, mint, maxt int64, ms []*labels.Matcher) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if err := db.memory.wait(ctx); err != nil {
		return err
	}
	b, err := db.tenantBlocks(id)
	if err != nil || b == nil || mint > maxt {
		return err
	}
	if err := db.deleteSamples(ctx, b, mint, maxt, ms); err != nil {
		return err
	}
	if err := db.memory.head(id).DeleteExemplars(ctx, mint, maxt, ms...); err != nil {
		return fmt.Errorf("the samples are deleted, but exemplars are not, repeat it: %w", err)
	}
	return nil
}

func (db *DB) deleteSamples(ctx context.Context, b *blocks, mint, maxt int64, ms []*labels.Matcher) error {
	b.edits.Lock()
	defer b.edits.Unlock()
	if err := b.resumeLocked(ctx); err != nil {
		return err
	}
	if n := len(b.newest.Load().current.State.Tombstones); n >= tombstonesMax {
		return fmt.Errorf("%w: %d deletions wait for their blocks to be written anew, the most that are allowed: try again later, or call clean_tombstones",
			storage.ErrOverloaded, n)
	}
	t := format.Tombstone{Time: db.now(), MinTime: mint, MaxTime: maxt, Matchers: []format.Matcher{}}
	for _, m := range ms {
		t.Matchers = append(t.Matchers, format.Matcher{Name: m.Name, Op: m.Type.String(), Value: m.Value})
	}
	d, err := db.memory.head(b.id).NewDeletion(ctx, rand.Text(), b.newest.Load().horizon(), mint, maxt, ms...)
	if err != nil {
		return err
	}
	if (d == nil || !d.Lasting()) && !b.newest.Load().has(ctx, mask.Rule{Matchers: ms, Hidden: part.Hidden{MinTime: mint, MaxTime: maxt}}) {
		return nil
	}
	if d != nil && d.Lasting() {
		t.ID = d.ID()
		if err := db.keepDeletion(ctx, d); err != nil {
			return err
		}
	}
	return db.commitDeletion(ctx, b, t, d)
}

// has tells whether a block has series that a rule hides something of.
func (g *generation) has(ctx context.Context, r mask.Rule) bool {
	for i, x := range g.blocks {
		if from, to := x.Range(); r.MinTime > to || r.MaxTime < from {
			continue
		}
		if found, err := g.masks[i].sets.Of(ctx, &r); err != nil || found.Len() > 0 {
			return true
		}
	}
	return false
}

// commitDeletion makes a deletion count.
func (db *DB) commitDeletion(ctx context.Context, b *blocks, t format.Tombstone, d *head.Deletion) error {
	c, err := b.manifest.Commit(ctx, func(c manifest.Current) (format.Edit, error) {
		t.Seq = c.Number + 1
		return format.Edit{Tombstones: []format.Tombstone{t}}, nil
	})
	switch {
	case err == nil:
	case errors.Is(err, manifest.ErrUncertain):
		switch {
		case t.ID != "":
			b.uncertain = append(b.uncertain, d)
		case d != nil:
			db.memory.head(b.id).Delete(d) // at worst a repeat is not known as one
		}
		return errors.Join(err, b.resumeLocked(ctx))
	default:
		if t.ID != "" {
			err = errors.Join(err, db.dropDeletion(t.ID))
		}
		return err
	}
	if d != nil {
		db.memory.head(b.id).Delete(d)
	}
	if err := b.adoptLocked(context.WithoutCancel(ctx), c); err != nil {
		// It is durable, and seen as soon as that version can be read.
		return fmt.Errorf("%w: adopt version %d: %w", manifest.ErrUncertain, c.Number, err)
	}
	db.logger.Info("samples deleted", "tenant", string(b.id), "version", t.Seq, "matchers", fmt.Sprint(t.Matchers))
	return nil
}

// settleLocked finds out what became of deletions whose commit lost its answer.
func (b *blocks) settleLocked(s format.State) {
	b.uncertain = slices.DeleteFunc(b.uncertain, func(d *head.Deletion) bool {
		is := slices.ContainsFunc(s.Tombstones, func(t format.Tombstone) bool { return t.ID == d.ID() })
		if is {
			b.head().Delete(d)
		}
		return is
	})
}

// keepDeletion makes the file of a deletion. What it hides of the head is
// durable before: a sample that was lost with the log may come again, with a
// time that the deletion would hide.
func (db *DB) keepDeletion(ctx context.Context, d *head.Deletion) error {
	if err := db.memory.log.Sync(ctx); err != nil {
		return err
	}
	payload := record.AppendRecord(nil, record.TypeTombstone, record.AppendTombstone(nil, d.Record()))
	if len(payload) > record.FrameMax {
		return fmt.Errorf("the deletion is of %d series, too many for one: name fewer by its matchers", len(d.Record().Series))
	}
	frame := new(record.Framer).Append(nil, payload, true)
	fsys := db.directory.fs
	err := fsys.MkdirAll(deletionsName)
	if err == nil {
		err = vfs.ReplaceBytes(fsys, path.Join(deletionsName, d.ID()), frame)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s/%s: %w", deletionsName, d.ID(), err), db.dropDeletion(d.ID()))
	}
	return nil
}

func (db *DB) dropDeletion(id string) error {
	return db.directory.fs.RemoveAll(path.Join(deletionsName, id))
}

// restoreDeletions brings back what deletions hide of the heads. Files of those
// that the manifest does not name, because they failed or are over, go.
func (db *DB) restoreDeletions() error {
	names, err := db.directory.fs.List(deletionsName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", deletionsName, err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, damaged) {
			continue
		}
		kept, err := db.restoreDeletion(name)
		var corrupt *record.CorruptError
		switch {
		case errors.As(err, &corrupt) || errors.Is(err, record.ErrTorn):
			db.logger.Error("a deletion cannot be read: samples that it hid in the head are seen again, until they are deleted anew",
				"file", path.Join(deletionsName, name), "err", err)
			err = db.directory.fs.Rename(path.Join(deletionsName, name), path.Join(deletionsName, name+damaged))
		case err == nil && !kept:
			err = db.dropDeletion(name)
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %w", deletionsName, name, err)
		}
	}
	return nil
}

// damaged ends the name of a file that could not be read and is kept for who
// wants to look at it.
const damaged = ".damaged"

func (db *DB) restoreDeletion(name string) (kept bool, err error) {
	if strings.HasSuffix(name, vfs.Unfinished) {
		return false, nil
	}
	m, err := db.directory.fs.Map(path.Join(deletionsName, name))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	payload, _, err := new(record.Unframer).Read(m.Bytes())
	if err != nil {
		return false, err
	}
	typ, body, _, err := record.ReadRecord(payload)
	if err != nil {
		return false, err
	}
	if typ != record.TypeTombstone {
		return false, &record.CorruptError{What: fmt.Sprintf("a record of type %d in place of a tombstone", typ)}
	}
	t, err := record.ReadTombstone(body)
	if err != nil {
		return false, err
	}
	b, err := db.tenantBlocks(tenant.ID(t.Tenant))
	if err != nil || b == nil {
		return false, err
	}
	live := b.newest.Load().current.State.Tombstones
	if !slices.ContainsFunc(live, func(x format.Tombstone) bool { return x.ID == t.ID }) {
		return false, nil
	}
	return true, db.memory.heads.RestoreDeletion(t)
}

// dropTombstones takes the deletions out of the manifest that nothing waits for
// any more: every block that they concern was written without their samples,
// and the head has none.
func (db *DB) dropTombstones(ctx context.Context, b *blocks) error {
	h := db.memory.head(b.id)
	over := func(s format.State) (out []format.Tombstone) {
		for _, t := range s.Tombstones {
			if !planner.Waits(s, t) && !h.HasDeletion(t.ID) {
				out = append(out, t)
			}
		}
		return out
	}
	if len(over(b.newest.Load().current.State)) == 0 {
		return nil
	}
	b.edits.Lock()
	defer b.edits.Unlock()
	var gone []format.Tombstone
	c, err := b.manifest.Commit(ctx, func(c manifest.Current) (format.Edit, error) {
		var e format.Edit
		for _, t := range over(c.State) {
			e.RemovedTombstones = append(e.RemovedTombstones, t.Seq)
		}
		gone = over(c.State)
		return e, nil
	})
	if err != nil {
		return fmt.Errorf("take deletions out that are over: %w", err)
	}
	if err := b.adoptLocked(context.WithoutCancel(ctx), c); err != nil {
		return err
	}
	var errs []error
	for _, t := range gone {
		if t.ID != "" {
			errs = append(errs, db.dropDeletion(t.ID))
		}
	}
	return errors.Join(errs...)
}

// CleanTombstones writes every block anew that a deletion waits for. It returns
// when the files of blocks have none of what was deleted, those that older
// views hold aside.
func (db *DB) CleanTombstones(ctx context.Context) error {
	if err := db.memory.wait(ctx); err != nil {
		return fmt.Errorf("clean tombstones: %w", err)
	}
	if err := db.compactAll(ctx, nil, func(o *planner.Options) { o.RewriteMaxMs = 0 }); err != nil {
		return fmt.Errorf("clean tombstones: %w", err)
	}
	return nil
}

// hidden estimates which share of the blocks with deletions is hidden: series
// times time.
func (g *generation) hidden(ctx context.Context) map[ulid.ULID]float64 {
	var out map[ulid.ULID]float64
	for i, x := range g.blocks {
		meta := x.Meta()
		for k := range g.masks[i].rules {
			r := &g.masks[i].rules[k]
			set, err := g.masks[i].sets.Of(ctx, r)
			if err != nil || meta.Stats.Series == 0 {
				continue // the rewrite will say what is wrong
			}
			if out == nil {
				out = map[ulid.ULID]float64{}
			}
			from, to := max(r.MinTime, meta.MinTime), min(r.MaxTime, meta.MaxTime)
			times := float64(to-from+1) / float64(meta.MaxTime-meta.MinTime+1)
			out[meta.ID] += times * float64(set.Len()) / float64(meta.Stats.Series)
		}
	}
	return out
}
