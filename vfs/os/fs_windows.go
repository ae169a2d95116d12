package osfs

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/windows"

	"github.com/nilometer/nilometer/vfs"
)

// errNotDir is what the machine says about a name below a file.
const errNotDir = windows.ERROR_DIRECTORY

func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED)
}

// linkUnsupported: FAT and exFAT know no hard links.
func linkUnsupported(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED)
}

// renameNoReplace moves a name and fails with fs.ErrExist when the new one
// exists: what MoveFileEx does unless it is told to replace.
func renameNoReplace(from, to string) error {
	oldp, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	newp, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(oldp, newp, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename without replacing", Old: from, New: to, Err: err}
	}
	return nil
}

// mapFile reads the file: a mapped one could not be removed while it is open.
func mapFile(handle *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(handle, data); err != nil {
		return nil, err
	}
	return data, nil
}

func unmapFile([]byte) error { return nil }

// lockOffset is the one locked byte, far behind the note: Windows' locks are
// mandatory, and who finds the file locked must still be able to read it.
const lockOffset = 1 << 30

// lockFile takes the lock without waiting; taken means that another holds it.
func lockFile(handle *os.File) (taken bool, err error) {
	err = windows.LockFileEx(windows.Handle(handle.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return true, nil
	}
	return false, err
}

// syncDir flushes a directory, for which Windows wants a handle that may write.
func syncDir(dir string) error {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	handle, err := windows.CreateFile(p, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return &os.PathError{Op: "open for sync", Path: dir, Err: err}
	}
	err = errors.Join(windows.FlushFileBuffers(handle), windows.CloseHandle(handle))
	if err != nil {
		return &os.PathError{Op: "sync", Path: dir, Err: err}
	}
	return nil
}

func usage(dir string) (vfs.Usage, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return vfs.Usage{}, err
	}
	var free, total uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, &total, nil); err != nil {
		return vfs.Usage{}, err
	}
	return vfs.Usage{Total: total, Free: free}, nil
}
