package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/vfs"
)

// Create copies the data directory in src, which nothing changes, and returns
// its index. about has what the index is to say beside the files: Program,
// Head, Blocks, Samples. Blocks that are in the bucket with their size are not
// copied again.
func Create(ctx context.Context, d Deps, src vfs.FS, about format.Index) (Summary, error) {
	d = d.withDefaults()
	files, err := filesOf(src)
	if err != nil {
		return Summary{}, fmt.Errorf("create backup: %w", err)
	}
	about.Created = d.Clock().UTC()
	if about.Name, err = claim(ctx, d.Bucket, about.Created, about.Program); err != nil {
		return Summary{}, err
	}
	c := &creation{bucket: d.Bucket, src: src, name: about.Name, tally: &tally{report: d.Progress}}
	about.Files, err = c.run(ctx, files)
	if err == nil {
		err = c.finish(ctx, about)
	}
	if err != nil {
		return Summary{}, fmt.Errorf("create backup %s: %w", about.Name, err)
	}
	c.tally.summary.Index = about
	return c.tally.summary, nil
}

// filesOf lists the files of a directory, blocks first: they are what another
// attempt finds.
func filesOf(src vfs.FS) ([]format.File, error) {
	var blocks, others []format.File
	var walk func(dir string) error
	walk = func(dir string) error {
		names, err := src.List(dir)
		if err != nil {
			return err
		}
		for _, base := range names {
			name := path.Join(dir, base)
			info, err := src.Stat(name)
			switch {
			case err != nil:
				return err
			case info.IsDir():
				if err := walk(name); err != nil {
					return err
				}
			case strings.HasPrefix(name, storePrefix+blockPrefix):
				blocks = append(blocks, format.File{Path: name, Bytes: info.Size()})
			default:
				others = append(others, format.File{Path: name, Bytes: info.Size()})
			}
		}
		return nil
	}
	if err := walk("."); err != nil {
		return nil, fmt.Errorf("list its files: %w", err)
	}
	if !slices.ContainsFunc(others, func(f format.File) bool { return f.Path == versionPath }) {
		return nil, fmt.Errorf("it is no data directory: it has no file %s", versionPath)
	}
	return append(blocks, others...), nil
}

// creation is a backup under way.
type creation struct {
	bucket blob.Bucket
	src    vfs.FS
	name   string
	tally  *tally
	// there has the sizes of block objects in the bucket, known the checksums
	// of those that an index names.
	there map[string]int64
	known map[string]format.File
}

func (c *creation) run(ctx context.Context, files []format.File) ([]format.File, error) {
	if err := c.look(ctx); err != nil {
		return nil, err
	}
	c.tally.progress.FilesTotal = len(files)
	for _, f := range files {
		c.tally.progress.BytesTotal += f.Bytes
	}
	if err := each(ctx, files, c.file); err != nil {
		return nil, err
	}
	return files, nil
}

// knownMax bounds the indexes that are read for checksums: older ones have
// hardly a block that these have not.
const knownMax = 10

// look finds out which blocks the bucket has.
func (c *creation) look(ctx context.Context) error {
	c.there, c.known = map[string]int64{}, map[string]format.File{}
	err := c.bucket.List(ctx, blockPrefix, "", func(i blob.Info) error {
		c.there[i.Name] = i.SizeBytes
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the blocks that are there: %w", err)
	}
	names, err := finished(ctx, c.bucket)
	if err != nil {
		return err
	}
	for _, name := range names[max(0, len(names)-knownMax):] {
		x, err := Read(ctx, c.bucket, name)
		if err != nil {
			continue // it is no reason against another backup
		}
		for _, f := range x.Files {
			c.known[f.Object] = f
		}
	}
	return nil
}

// file brings one file into the bucket, and fills in object and checksum.
func (c *creation) file(ctx context.Context, f *format.File) error {
	object, ok := strings.CutPrefix(f.Path, storePrefix)
	if !ok || !strings.HasPrefix(object, blockPrefix) {
		f.Object = otherPrefix + c.name + "/" + f.Path
		return c.put(ctx, f)
	}
	f.Object = object
	size, there := c.there[object]
	if !there {
		return c.put(ctx, f)
	}
	if size != f.Bytes {
		return fmt.Errorf("%s has %d bytes in the bucket and %d here: one of the two is damaged; move the object away to have it copied anew", object, size, f.Bytes)
	}
	if k, ok := c.known[object]; ok && k.Bytes == f.Bytes {
		f.SHA256 = k.SHA256
		c.tally.bytes(f.Bytes)
	} else if err := c.sum(ctx, f); err != nil { // brought by a backup that was cut off
		return err
	}
	c.tally.file(*f, true)
	return nil
}

// put copies a file.
func (c *creation) put(ctx context.Context, f *format.File) error {
	src, err := c.src.Open(f.Path)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	sum := sha256.New()
	r := io.TeeReader(io.NewSectionReader(src, 0, f.Bytes), io.MultiWriter(sum, counted{ctx, c.tally}))
	err = c.bucket.PutIfAbsent(ctx, f.Object, r, f.Bytes)
	if errors.Is(err, blob.ErrExists) { // another backup was faster
		if err = c.sum(ctx, f); err == nil {
			c.tally.file(*f, true)
		}
		return err
	}
	if err != nil {
		return err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	c.tally.file(*f, false)
	return nil
}

// sum fills in the checksum of a file that is not copied.
func (c *creation) sum(ctx context.Context, f *format.File) error {
	sum, err := sumOf(ctx, c.src, f.Path, c.tally)
	f.SHA256 = sum
	return err
}

// finish puts the index (I1).
func (c *creation) finish(ctx context.Context, x format.Index) error {
	slices.SortFunc(x.Files, func(a, b format.File) int { return strings.Compare(a.Path, b.Path) })
	b, err := format.Append(nil, x)
	if err != nil {
		return err
	}
	if err := c.bucket.PutIfAbsent(ctx, indexPrefix+x.Name, bytes.NewReader(b), int64(len(b))); err != nil {
		return err
	}
	if err := c.bucket.Delete(ctx, begunPrefix+x.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is finished, but the mark of its begin could not be deleted: %w", err)
	}
	return nil
}
