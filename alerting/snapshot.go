package alerting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// saveInterval is the least time between two snapshots of one kind. A change
// after a quiet time is written at once: after a crash a notification that was
// sent is known, or its resolution would never be.
const saveInterval = time.Second

// saver keeps the snapshot file of a state up to date.
type saver struct {
	file     string
	snapshot func(io.Writer) (int64, error)
	changed  chan struct{} // holds one: further changes are in the same snapshot
}

func newSaver(file string, snapshot func(io.Writer) (int64, error)) *saver {
	return &saver{file: file, snapshot: snapshot, changed: make(chan struct{}, 1)}
}

// note is called at every change, under the lock of the state.
func (s *saver) note([]byte) {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run saves after changes until ctx ends. A failure is handed to failed, and
// the save tried again after the interval.
func (s *saver) run(ctx context.Context, failed func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		}
		if err := s.save(); err != nil {
			failed(err)
			s.note(nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(saveInterval):
		}
	}
}

// save writes the snapshot whole or not at all.
func (s *saver) save() (err error) {
	f, err := os.CreateTemp(filepath.Dir(s.file), filepath.Base(s.file)+".new-*")
	if err != nil {
		return fmt.Errorf("save %s: %w", s.file, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("save %s: %w", s.file, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = s.snapshot(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.file)
}
