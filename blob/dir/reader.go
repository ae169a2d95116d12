package dir

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/vfs"
)

// ErrReadOnly is the answer to puts and deletes of what Reader returns.
var ErrReadOnly = errors.New("the bucket is open for reading only")

// Reader is the bucket in directory root of fsys for reading alone. It may be
// open beside another process's bucket on the directory: it touches nothing,
// and a directory that is missing is an empty bucket.
func Reader(fsys vfs.FS, root string) blob.Bucket {
	return readOnly{&Bucket{fs: fsys, root: root}}
}

type readOnly struct{ *Bucket }

// PutIfAbsent implements blob.Bucket.
func (readOnly) PutIfAbsent(_ context.Context, name string, _ io.Reader, _ int64) error {
	return fmt.Errorf("put object %s: %w", name, ErrReadOnly)
}

// Delete implements blob.Bucket.
func (readOnly) Delete(_ context.Context, name string) error {
	return fmt.Errorf("delete object %s: %w", name, ErrReadOnly)
}
