package osfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace moves a name and fails with fs.ErrExist when the new one
// exists. errors.ErrUnsupported: the file system cannot.
func renameNoReplace(from, to string) error {
	err := unix.RenamexNp(from, to, unix.RENAME_EXCL)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return &os.LinkError{Op: "rename without replacing", Old: from, New: to, Err: err}
	}
	return nil
}

func blockSize(st *unix.Statfs_t) uint64 { return uint64(st.Bsize) }
