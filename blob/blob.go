// Package blob is the contract with an object store: immutable objects under
// slash-separated names, created with put-if-absent. Blocks and manifest
// versions live in one, on a laptop (blob/dir) as in a cluster (blob/s3 …).
//
// blob/blobtest is the conformance suite and has the fault wrapper.
//
// Invariants:
//
//   - I1: of any number of PutIfAbsent calls for one name, exactly one
//     succeeds; the others get ErrExists.
//
//   - I2: an object is visible whole or not at all, and durable when the put
//     has returned nil.
//
//   - I3: an error other than ErrExists leaves the outcome open: the object may
//     exist. Who needs to know reads it back.
//
//   - I4: a delete may be undone by a crash; who minds deletes again. A deleted
//     name can be put again, so a name that fences others is never deleted.
//
// All methods are safe for concurrent use. Names consist of the components
// allowed by ValidateName; a name that is not is ErrInvalidName. No object's
// name may be a directory of another's: a directory bucket cannot hold "a"
// beside "a/b". A cancelled context ends a call with the context's error.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Errors that callers branch on; implementations wrap them with the name.
var (
	ErrNotFound    = errors.New("object not found")
	ErrExists      = errors.New("object exists already")
	ErrInvalidName = errors.New("invalid object name")
)

// Bucket is an object store, or a prefix of one.
type Bucket interface {
	// PutIfAbsent creates an object of sizeBytes bytes read from r. When r has
	// fewer or more it fails and creates nothing.
	PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error
	// Get reads a whole object.
	Get(ctx context.Context, name string) ([]byte, error)
	// GetRange reads length bytes from offset on, fewer at the object's end and
	// none beyond it. A negative offset or length is an error.
	GetRange(ctx context.Context, name string, offset, length int64) ([]byte, error)
	// Open returns an object for random reads: mapped where the bucket is a
	// directory, by ranged reads elsewhere.
	Open(ctx context.Context, name string) (Object, error)
	// List calls fn for every object whose name begins with prefix and is
	// greater than after, in order of the names' bytes, until fn returns an
	// error, which List returns as it is. An object put or deleted meanwhile may
	// be among them or not. fn may call the bucket.
	List(ctx context.Context, prefix, after string, fn func(Info) error) error
	// Stat describes an object.
	Stat(ctx context.Context, name string) (Info, error)
	// Delete removes an object; no error when it is gone.
	Delete(ctx context.Context, name string) error
}

// Object is an open object. Its bytes stay readable until Close, also when the
// object is deleted meanwhile; where a large object is read by ranges, further
// bytes of a deleted one are ErrNotFound, and never those of another.
type Object interface {
	io.ReaderAt
	io.Closer
	Size() int64
	// Bytes returns the whole object when it is in memory or mapped, else nil.
	Bytes() []byte
}

// Info describes an object.
type Info struct {
	Name      string
	SizeBytes int64
	Modified  time.Time
}

// nameMax bounds an object's name in bytes; S3 allows 1,024 with the prefix.
const nameMax = 900

// ValidateName reports why name cannot name an object, or nil: it has 1 to
// 900 bytes, no empty, "." or ".." component, no component that begins with
// ".tmp-" (temporary files of the directory bucket) and no control bytes or
// backslashes.
func ValidateName(name string) error {
	if name == "" || len(name) > nameMax {
		return fmt.Errorf("%w: %d bytes, 1 to %d are allowed", ErrInvalidName, len(name), nameMax)
	}
	for _, c := range strings.Split(name, "/") {
		if c == "" || c == "." || c == ".." || strings.HasPrefix(c, ".tmp-") {
			return fmt.Errorf("%w: %q has the component %q", ErrInvalidName, name, c)
		}
	}
	for i := 0; i < len(name); i++ {
		if name[i] < ' ' || name[i] == 0x7f || name[i] == '\\' {
			return fmt.Errorf("%w: %q has the byte %q", ErrInvalidName, name, name[i])
		}
	}
	return nil
}
