package osfs

import (
	"errors"

	"golang.org/x/sys/unix"
)

// renameNoReplace: FreeBSD has no such call.
func renameNoReplace(from, to string) error { return errors.ErrUnsupported }

func blockSize(st *unix.Statfs_t) uint64 { return st.Bsize }
