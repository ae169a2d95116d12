package vfs

import (
	"errors"
	"io"
	"path"
)

// Unfinished ends the name of a file that Replace has not made whole yet. A crash
// may leave one; whoever lists a directory passes it over or deletes it.
const Unfinished = ".new"

// Replace makes a name have what fill writes: whole and durable, or, after an
// error or a crash, what it had before (of a crash or an error while the
// directory is synced either of the two). The directory of the name must be
// there. Of several that replace one name at the same time all but one fail.
func Replace(fsys FS, name string, fill func(io.Writer) error) error {
	temporary := name + Unfinished
	if err := fsys.RemoveAll(temporary); err != nil {
		return err
	}
	f, err := fsys.Create(temporary)
	if err != nil {
		return err
	}
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fsys.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, fsys.RemoveAll(temporary))
	}
	return fsys.SyncDir(path.Dir(name))
}

// ReplaceBytes is Replace for bytes that are there already.
func ReplaceBytes(fsys FS, name string, content []byte) error {
	return Replace(fsys, name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}
