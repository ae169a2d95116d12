package tsdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/nilometer/nilometer/format/seal"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
)

// FileReport is what VerifyLog found in one file.
type FileReport struct {
	File   string // relative to the data directory
	Bytes  int64
	Frames int
	// Problems are what is wrong, empty for a sound file.
	Problems []error
}

// VerifyLog reads the write-ahead log and the head's files of seals, and reports
// each file. It returns an error that names the damaged ones. It takes no lock,
// and may run beside a server: files that go meanwhile are left out.
func VerifyLog(ctx context.Context, d Deps, report func(FileReport)) error {
	fsys, err := existing(d.withDefaults())
	if err != nil {
		return err
	}
	var errs []error
	tell := func(r FileReport) {
		report(r)
		if len(r.Problems) > 0 {
			errs = append(errs, fmt.Errorf("file %s is damaged", r.File))
		}
	}
	err = wal.Check(ctx, fsys, walName, func(c wal.Checked) {
		r := FileReport{File: c.File, Bytes: c.Bytes, Frames: c.Frames}
		for _, d := range c.Damage {
			r.Problems = append(r.Problems, errors.New(d.String()))
		}
		tell(r)
	})
	if err == nil {
		err = verifySeals(ctx, fsys, tell)
	}
	return errors.Join(append(errs, err)...)
}

// verifySeals reads the files of head/.
func verifySeals(ctx context.Context, fsys vfs.FS, tell func(FileReport)) error {
	names, err := fsys.List(headName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", headName, err)
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if strings.HasSuffix(name, vfs.Unfinished) {
			continue
		}
		r, err := verifySeal(fsys, path.Join(headName, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		tell(r)
	}
	return nil
}

// verifySeal checks every frame of a file of seals.
func verifySeal(fsys vfs.FS, name string) (FileReport, error) {
	m, err := fsys.Map(name)
	if err != nil {
		return FileReport{}, fmt.Errorf("read %s: %w", name, err)
	}
	defer m.Close() //nolint:errcheck // it was only read
	b := m.Bytes()
	r := FileReport{File: name, Bytes: int64(len(b))}
	frames, err := seal.ReadFile(b)
	if err != nil {
		r.Problems = append(r.Problems, err)
		return r, nil
	}
	r.Frames = len(frames)
	for i, f := range frames {
		_, err := f.ReadHead(b)
		if err == nil {
			_, err = f.ReadBody(b)
		}
		if err != nil && len(r.Problems) < problemsMax {
			r.Problems = append(r.Problems, fmt.Errorf("frame %d: %w", i, err))
		}
	}
	return r, nil
}
