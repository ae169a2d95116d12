package tsdb

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/vfs"
)

// Usage is what a data directory takes on disk: the sizes of its files, bytes.
type Usage struct {
	Blocks    int64 // store/block
	Manifests int64 // store/manifest
	// Log is wal/. A log whose segments have nothing but their headers counts as
	// 0: every start makes one.
	Log   int64
	Head  int64 // head/: seals and checkpoints
	Other int64 // meta.db and all else, snapshots aside
}

// Total is the sum.
func (u Usage) Total() int64 { return u.Blocks + u.Manifests + u.Log + u.Head + u.Other }

// measure adds up the files of a data directory.
func measure(fsys vfs.FS) (Usage, error) {
	var u Usage
	filled := false
	err := walkFiles(fsys, ".", func(name string, info fs.FileInfo) error {
		top, rest, _ := strings.Cut(name, "/")
		size := info.Size()
		switch {
		case top == storeName && strings.HasPrefix(rest, "block/"):
			u.Blocks += size
		case top == storeName:
			u.Manifests += size
		case top == walName:
			u.Log += size
			filled = filled || size > int64(record.SegmentHeaderSize)
		case top == headName:
			u.Head += size
		case top == snapshotsName:
		default:
			u.Other += size
		}
		return nil
	})
	if !filled {
		u.Log = 0
	}
	if err != nil {
		return u, fmt.Errorf("measure the data directory: %w", err)
	}
	return u, nil
}

// walkFiles calls fn for every file below a directory, in order of names. What
// vanishes meanwhile is left out.
func walkFiles(fsys vfs.FS, dir string, fn func(name string, info fs.FileInfo) error) error {
	names, err := fsys.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, base := range names {
		name := path.Join(dir, base)
		info, err := fsys.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case info.IsDir():
			err = walkFiles(fsys, name, fn)
		default:
			err = fn(name, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
