package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/tsdb"
)

// Names in the data directory of what is not the database's.
const (
	metaName     = "meta.db"
	alertingName = "alerting"
)

// Snapshot makes a snapshot of everything in the data directory: a server can
// be started on it.
func (s *server) Snapshot(ctx context.Context, skipHead bool) (string, error) {
	snap, err := s.db.Snapshot(ctx, tsdb.SnapshotOptions{SkipHead: skipHead, Beside: func(ctx context.Context, dir string) error {
		return CopyBeside(ctx, s.opts.DataDir, filepath.Join(s.opts.DataDir, filepath.FromSlash(dir)))
	}})
	return snap.Name, err
}

// CopyBeside copies what lies in a data directory beside the database to
// another: the metadata database, as of one moment, silences and the
// notification log. A server may be running on the first. What is not there is
// left out.
func CopyBeside(ctx context.Context, from, to string) error {
	err := sqlite.Copy(ctx, filepath.Join(from, metaName), filepath.Join(to, metaName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(from, alertingName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy the state of alerting: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(to, alertingName), 0o700); err != nil {
		return fmt.Errorf("copy the state of alerting: %w", err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || filepath.Ext(e.Name()) != "" {
			continue // nflog and silences have no extension, temporary files do
		}
		if err := copyFile(filepath.Join(from, alertingName, e.Name()), filepath.Join(to, alertingName, e.Name())); err != nil {
			return fmt.Errorf("copy the state of alerting: %w", err)
		}
	}
	return nil
}

// copyFile makes a durable copy of a small file that is replaced whole when it
// changes. One that is gone is left out.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}

// CleanTombstones implements httpapi.Admin.
func (s *server) CleanTombstones(ctx context.Context) error { return s.db.CleanTombstones(ctx) }
