// Package backup copies data directories into a bucket and back.
//
// A backup is an index (format/backup), the object backup/<name>, and the
// objects that it names: the files of blocks as block/<tenant>/<ULID>/…, which
// all backups in a bucket share, and the rest as other/<name>/…. So a block is
// copied once, whichever backups have it.
//
// What is backed up is a directory that nothing changes: a snapshot
// (tsdb.DB.Snapshot). Callers see to that, and run one Create or Delete in a
// bucket at a time.
//
// Invariants:
//
//   - I1: the index is put when every object that it names is there: a backup
//     is whole, or it is none.
//   - I2: an object is never changed; one that an index names is deleted with
//     the last index alone.
//   - I3: what Restore leaves has the checksums of the index; the file VERSION,
//     without which a directory is no data directory, comes last.
//   - I4: what was cut off goes on where it was: Create finds the blocks that
//     are there, Restore the files.
package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/backup"
)

// Prefixes of objects.
const (
	indexPrefix = "backup/"
	begunPrefix = "begun/"
	otherPrefix = "other/"
	blockPrefix = "block/"
	storePrefix = "store/" // in the data directory, before block/
	versionPath = "VERSION"
)

// backupsMax bounds the backups in one bucket.
const backupsMax = 100_000

// ErrNoBackup: there is no backup of that name, or none at all.
var ErrNoBackup = errors.New("no such backup")

// Progress is how far a copy has come.
type Progress struct {
	Files, FilesTotal int
	Bytes, BytesTotal int64
}

// Summary is what a Create or Restore did.
type Summary struct {
	Index       format.Index
	CopiedFiles int
	CopiedBytes int64
	// KeptFiles and KeptBytes were there already.
	KeptFiles int
	KeptBytes int64
}

// Deps are what Create and Restore work with.
type Deps struct {
	Bucket blob.Bucket
	// Clock tells the time; nil: time.Now.
	Clock func() time.Time
	// Progress is called after each piece of a file; nil: nobody looks.
	Progress func(Progress)
}

func (d Deps) withDefaults() Deps {
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Progress == nil {
		d.Progress = func(Progress) {}
	}
	return d
}

// List returns the finished backups of a bucket, oldest first. One whose index
// cannot be read is in the error, beside the others.
func List(ctx context.Context, bucket blob.Bucket) ([]format.Index, error) {
	names, err := finished(ctx, bucket)
	if err != nil {
		return nil, err
	}
	var out []format.Index
	var errs []error
	for _, name := range names {
		x, err := Read(ctx, bucket, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, x)
	}
	return out, errors.Join(errs...)
}

// finished returns the names of all finished backups, oldest first.
func finished(ctx context.Context, bucket blob.Bucket) ([]string, error) {
	var names []string
	err := bucket.List(ctx, indexPrefix, "", func(i blob.Info) error {
		name := strings.TrimPrefix(i.Name, indexPrefix)
		if strings.Contains(name, "/") {
			return fmt.Errorf("%s is no name of a backup: move the object away", i.Name)
		}
		if len(names) == backupsMax {
			return fmt.Errorf("there are more than %d backups: delete old ones, or use another place", backupsMax)
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the backups: %w", err)
	}
	return names, nil
}

// Read returns the index of a backup; "" is the newest. ErrNoBackup when there
// is none.
func Read(ctx context.Context, bucket blob.Bucket, name string) (format.Index, error) {
	if name == "" {
		names, err := finished(ctx, bucket)
		if err != nil {
			return format.Index{}, err
		}
		if len(names) == 0 {
			return format.Index{}, fmt.Errorf("%w: there is none at all", ErrNoBackup)
		}
		name = names[len(names)-1]
	}
	b, err := bucket.Get(ctx, indexPrefix+name)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrInvalidName) {
		return format.Index{}, fmt.Errorf("%w: %q; nilometer backup list shows those that there are", ErrNoBackup, name)
	}
	if err != nil {
		return format.Index{}, fmt.Errorf("read backup %s: %w", name, err)
	}
	x, err := format.Decode(b)
	if err == nil && x.Name != name {
		err = fmt.Errorf("%w: it says that it is backup %q", format.ErrDamaged, x.Name)
	}
	if err != nil {
		return format.Index{}, fmt.Errorf("read backup %s: %w", name, err)
	}
	return x, nil
}

// Delete deletes a backup, and the objects that no other one names.
func Delete(ctx context.Context, bucket blob.Bucket, name string) (objects int, err error) {
	x, err := Read(ctx, bucket, name)
	if err != nil {
		return 0, err
	}
	others, err := List(ctx, bucket)
	if err != nil {
		return 0, fmt.Errorf("delete backup %s: what the others need is not known: %w", x.Name, err)
	}
	begun, err := unfinished(ctx, bucket)
	if err != nil {
		return 0, err
	}
	if len(begun) > 0 {
		return 0, fmt.Errorf("delete backup %s: backup %s has begun and may need the same blocks: wait for its end, or delete it first if it was cut off", x.Name, begun[0])
	}
	needed := map[string]bool{}
	for _, o := range others {
		if o.Name == x.Name {
			continue
		}
		for _, f := range o.Files {
			needed[f.Object] = true
		}
	}
	if err := bucket.Delete(ctx, indexPrefix+x.Name); err != nil { // first: I1
		return 0, fmt.Errorf("delete backup %s: %w", x.Name, err)
	}
	for _, f := range x.Files {
		if needed[f.Object] {
			continue
		}
		if err := bucket.Delete(ctx, f.Object); err != nil {
			return objects, fmt.Errorf("delete backup %s: %w", x.Name, err)
		}
		objects++
	}
	return objects, nil
}

// Forget removes what is left of a backup that was cut off: its own files. The
// blocks that it brought stay for the next one.
func Forget(ctx context.Context, bucket blob.Bucket, name string) error {
	begun, err := unfinished(ctx, bucket)
	if err != nil {
		return err
	}
	if !slices.Contains(begun, name) {
		return fmt.Errorf("%w: %q has not begun, or is finished", ErrNoBackup, name)
	}
	var names []string
	err = bucket.List(ctx, otherPrefix+name+"/", "", func(i blob.Info) error {
		names = append(names, i.Name)
		return nil
	})
	for _, n := range append(names, begunPrefix+name) {
		if err == nil {
			err = bucket.Delete(ctx, n)
		}
	}
	if err != nil {
		return fmt.Errorf("delete what is left of backup %s: %w", name, err)
	}
	return nil
}

// unfinished returns the names of backups that have begun and have no index.
func unfinished(ctx context.Context, bucket blob.Bucket) ([]string, error) {
	var out []string
	err := bucket.List(ctx, begunPrefix, "", func(i blob.Info) error {
		name := strings.TrimPrefix(i.Name, begunPrefix)
		_, err := bucket.Stat(ctx, indexPrefix+name)
		if errors.Is(err, blob.ErrNotFound) {
			out, err = append(out, name), nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the backups that have begun: %w", err)
	}
	return out, nil
}

// claim takes the name of a new backup, by its time.
func claim(ctx context.Context, bucket blob.Bucket, now time.Time, program string) (string, error) {
	base := now.UTC().Format("20060102T150405Z")
	name := base
	for n := 2; n < 100; n++ {
		_, err := bucket.Stat(ctx, indexPrefix+name)
		if errors.Is(err, blob.ErrNotFound) {
			note := []byte(program + "\n")
			err = bucket.PutIfAbsent(ctx, begunPrefix+name, bytes.NewReader(note), int64(len(note)))
			if err == nil {
				return name, nil
			}
		}
		if err != nil && !errors.Is(err, blob.ErrExists) {
			return "", fmt.Errorf("begin backup %s: %w", name, err)
		}
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return "", fmt.Errorf("begin backup %s: all names are taken", base)
}
