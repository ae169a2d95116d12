package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Copy makes a durable copy of the database in the file at path, as of one
// moment, in the new file at to. Any process may have the database open and
// write to it meanwhile. A missing database is fs.ErrNotExist.
func Copy(ctx context.Context, path, to string) error {
	if err := copyFile(ctx, path, to); err != nil {
		return fmt.Errorf("copy metadata database %s: %w", path, err)
	}
	return nil
}

func copyFile(ctx context.Context, path, to string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if to, err = filepath.Abs(to); err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return err // SQLite would make one
	}
	d := &DB{path: path}
	if err := d.inspect(ctx); err != nil {
		return d.explain(err)
	}
	db, err := connect(path, "_pragma=synchronous(FULL)", 1)
	if err != nil {
		return err
	}
	// VACUUM INTO reads one snapshot and writes a file without a log.
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	if err = errors.Join(err, db.Close()); err != nil {
		return d.explain(err)
	}
	return syncFile(to)
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
