// Package vfs is the contract with the file system: all mutable files of a
// data directory (log segments, seals, the lock) go through it, so that tests
// can stop, fill or corrupt the file system at any call.
//
// Implementations are vfs/os and vfs/mem; vfs/vfstest is the conformance suite
// and has the crash and fault wrappers.
//
// What is durable:
//
//   - I1: bytes of a file are durable after its Sync returned nil; until then a
//     crash may lose, keep or tear any of them.
//   - I2: a created, linked, renamed or removed name is durable after SyncDir
//     of its directory returned nil; until then a crash may show the old or
//     the new name.
//   - I3: after a failed Sync the file's unsynced bytes are lost as far as
//     anyone knows: the caller must not write to it again.
//
// Names are slash-separated and relative to the file system's root. All
// methods are safe for concurrent use, those of one File except for ReadAt are
// not.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// Errors that callers branch on; implementations wrap them with the name.
// A missing name, also one below a file, is fs.ErrNotExist, an existing one
// fs.ErrExist, one that is not relative and clean fs.ErrInvalid.
var (
	// ErrFull: no space, or no quota, is left on the device.
	ErrFull = errors.New("no space left on device")
	// ErrLocked: another process holds the lock.
	ErrLocked = errors.New("locked by another process")
)

// FS is a file system.
type FS interface {
	// Create makes a new empty file for appending. It fails with fs.ErrExist
	// when the name exists.
	Create(name string) (File, error)
	// OpenAppend opens an existing file for appending at its end.
	OpenAppend(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// Map maps an existing file for reading. An empty file has empty bytes.
	Map(name string) (Mapping, error)

	// Link gives oldname's file a second name; fs.ErrExist when newname exists.
	// It is the atomic "put if absent" of a file system. Where hard links are
	// not to be had, oldname may be gone after it.
	Link(oldname, newname string) error
	// Rename moves a name and replaces newname when it exists, atomically.
	Rename(oldname, newname string) error
	// Remove deletes a file or an empty directory. Open files and mappings stay
	// readable.
	Remove(name string) error
	// RemoveAll deletes a name and what is below it; no error when it is gone.
	RemoveAll(name string) error
	// Truncate cuts a file to sizeBytes and makes that durable, with the bytes
	// that stay. fs.ErrInvalid when it has fewer.
	Truncate(name string, sizeBytes int64) error
	// MkdirAll makes a directory and its parents, durably.
	MkdirAll(dir string) error
	// List returns the sorted base names in a directory.
	List(dir string) ([]string, error)
	// Stat describes a name.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error

	// Lock takes an exclusive lock on name, creating the file, and writes note
	// (who holds it) into it; an empty note stands for one of the
	// implementation's. ErrLocked, with the holder's note in the message,
	// when it is taken. Closing releases it; so does the end of the process.
	Lock(name, note string) (io.Closer, error)
	// Usage tells the size and free space of the device that holds the root.
	Usage() (Usage, error)
}

// File is an open file: append-only when it was created or opened for
// appending, read-only otherwise.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	// Sync makes the bytes written so far durable.
	Sync() error
	// Size is the file's length in bytes.
	Size() (int64, error)
}

// Mapping is a file's bytes, read-only: writing to them faults. Reading beyond
// what the file had when it was mapped is not possible. Bytes stay valid until
// Close, also when the name is removed.
type Mapping interface {
	Bytes() []byte
	Close() error
}

// Usage is the space of a device, in bytes; Free is what an ordinary process
// may still take.
type Usage struct {
	Total, Free uint64
}
