package wal

import (
	"errors"
	"fmt"
	"path"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/vfs"
)

// WriteSegment makes the first segment of a log that there is none of yet, in a
// directory that is made, durable, with a frame for each payload.
func WriteSegment(fsys vfs.FS, dir string, payloads ...[]byte) error {
	const number = 1
	if err := fsys.MkdirAll(dir); err != nil {
		return fmt.Errorf("make log directory: %w", err)
	}
	content := record.AppendSegmentHeader(nil, number)
	var framer record.Framer
	for i, p := range payloads {
		content = framer.Append(content, p, i == 0)
	}
	f, err := fsys.Create(path.Join(dir, segmentName(number)))
	if err != nil {
		return fmt.Errorf("write log segment %d: %w", number, err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write log segment %d: %w", number, err)
	}
	return nil
}
