package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/vfs"
)

// Checked is what Check found in one segment.
type Checked struct {
	File   string // its name, relative to the file system
	Bytes  int64
	Frames int
	Damage []Damage
}

// Check reads every segment of the log in a directory and reports each, oldest
// first. It changes nothing, and may run beside the process that writes: the
// end that is being written, like one that a crash has cut off, is no damage.
// A segment that is dropped meanwhile is left out.
func Check(ctx context.Context, fsys vfs.FS, dir string, report func(Checked)) error {
	numbers, err := segments(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l := &Log{fs: fsys, dir: dir}
	var frames record.Unframer
	for _, n := range numbers {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		var rep Report
		var records []Damage
		err = l.replaySegment(n, &frames, &rep, func(segment uint64, payload []byte) error {
			for len(payload) > 0 {
				var err error
				if _, _, payload, err = record.ReadRecord(payload); err != nil {
					if len(records) < damageMax {
						records = append(records, Damage{Segment: segment, Offset: -1, Err: err})
					}
					return nil
				}
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("check %s: %w", l.path(n), err)
		}
		report(Checked{File: path.Join(dir, segmentName(n)), Bytes: rep.Bytes, Frames: rep.Frames, Damage: append(rep.Damage, records...)})
	}
	return nil
}
