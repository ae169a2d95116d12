package osfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// renameNoReplace moves a name and fails with fs.ErrExist when the new one
// exists. errors.ErrUnsupported: the file system cannot.
func renameNoReplace(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	if err != nil {
		return &os.LinkError{Op: "rename without replacing", Old: from, New: to, Err: err}
	}
	return nil
}

// blockSize is the unit of Blocks and Bavail: the fragment size where it is
// told, as statvfs has it.
func blockSize(st *unix.Statfs_t) uint64 {
	if st.Frsize > 0 {
		return uint64(st.Frsize)
	}
	return uint64(st.Bsize)
}
