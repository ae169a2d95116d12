//go:build linux || darwin || freebsd

package osfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/nilometer/nilometer/vfs"
)

// errNotDir is what the machine says about a name below a file.
const errNotDir = unix.ENOTDIR

func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// linkUnsupported: link(2) says EPERM on Linux (vfat, exfat), others ENOTSUP.
// EPERM also stands for a file that protected_hardlinks guards; the rename
// that is tried then tells them apart.
func linkUnsupported(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

func mapFile(handle *os.File, size int) ([]byte, error) {
	return unix.Mmap(int(handle.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(data []byte) error { return unix.Munmap(data) }

// lockFile takes the lock without waiting; taken means that another holds it.
func lockFile(handle *os.File) (taken bool, err error) {
	for {
		err = unix.Flock(int(handle.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(handle.Sync(), handle.Close())
}

func usage(dir string) (vfs.Usage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return vfs.Usage{}, err
	}
	size := blockSize(&st)
	free := uint64(0)
	if st.Bavail > 0 { // signed on FreeBSD, negative when root's reserve is in use
		free = uint64(st.Bavail)
	}
	return vfs.Usage{Total: st.Blocks * size, Free: free * size}, nil
}
