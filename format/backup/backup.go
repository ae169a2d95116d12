// Package backup is the format of a backup's index: the files that a data
// directory had, with sizes and checksums, and the objects that hold them.
// FORMAT.md draws it.
//
// It owns the types and their bytes. It reads and writes no object: tsdb/backup
// does.
//
// Invariants:
//
//   - I1: what Decode returns names files inside a data directory only: paths
//     are relative, clean and slash-separated, each there once.
//   - I2: files are sorted by path.
package backup

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/nilometer/nilometer/format/document"
)

// formatVersion is the newest version of the bytes that this package knows.
const formatVersion = 1

// sizeMax bounds one index in bytes.
const sizeMax = 1 << 30

// Index describes one backup. It is the content of its last object: a backup
// without one was not finished.
type Index struct {
	// Name is the name of the backup: the time of its begin, as 20261123T050000Z.
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Program is the version of the program that wrote it.
	Program string `json:"program,omitempty"`
	// Head tells whether the samples that were in no block yet are in it.
	Head bool `json:"head"`
	// Blocks and Samples count what its blocks have.
	Blocks  int    `json:"blocks"`
	Samples uint64 `json:"samples"`
	Files   []File `json:"files"`
}

// File is one file of the data directory.
type File struct {
	// Path is relative to the data directory.
	Path string `json:"path"`
	// Object is the name in the bucket.
	Object string `json:"object"`
	Bytes  int64  `json:"bytes"`
	// SHA256 is the checksum of the content, in lower-case hex.
	SHA256 string `json:"sha256"`
}

// Bytes is the sum of the files' sizes.
func (x Index) Bytes() (n int64) {
	for _, f := range x.Files {
		n += f.Bytes
	}
	return n
}

// Errors of Decode that callers branch on.
var (
	// ErrDamaged: the bytes are not what was written.
	ErrDamaged = errors.New("damaged index of a backup")
	// ErrFuture: a newer program wrote it.
	ErrFuture = errors.New("index of a backup of a newer format: upgrade this program to read it")
)

// kind is the frame of an index.
func kind() document.Kind {
	return document.Kind{Name: "nilometer-backup", Version: formatVersion, BytesMax: sizeMax, ErrDamaged: ErrDamaged, ErrFuture: ErrFuture}
}

// Append appends the bytes of x to dst. Files are sorted by path.
func Append(dst []byte, x Index) ([]byte, error) {
	x.Files = slices.SortedFunc(slices.Values(x.Files), func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	err := x.validate()
	if err == nil {
		dst, err = kind().Append(dst, x)
	}
	if err != nil {
		return dst, fmt.Errorf("encode the index of backup %s: %w", x.Name, err)
	}
	return dst, nil
}

// Decode reads the bytes of an index. Errors wrap ErrDamaged or ErrFuture.
func Decode(b []byte) (Index, error) {
	var x Index
	if err := kind().Decode(b, &x); err != nil {
		return Index{}, err
	}
	if err := x.validate(); err != nil {
		return Index{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return x, nil
}

// validate checks what the JSON cannot (I1, I2).
func (x Index) validate() error {
	for i, f := range x.Files {
		sum, err := hex.DecodeString(f.SHA256)
		switch {
		case !fs.ValidPath(f.Path) || f.Path == "." || strings.ContainsAny(f.Path, "\\:\x00"):
			return fmt.Errorf("file %d has the path %q, which is not relative and clean", i, f.Path)
		case i > 0 && x.Files[i-1].Path >= f.Path:
			return fmt.Errorf("file %q does not follow %q", f.Path, x.Files[i-1].Path)
		case f.Bytes < 0:
			return fmt.Errorf("file %q has %d bytes", f.Path, f.Bytes)
		case err != nil || len(sum) != 32 || f.SHA256 != strings.ToLower(f.SHA256):
			return fmt.Errorf("file %q has the checksum %q", f.Path, f.SHA256)
		}
	}
	return nil
}
