package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/nilometer/nilometer/blob"
)

// Get implements blob.Bucket.
func (b *Bucket) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := b.read(ctx, name, 0, math.MaxInt64, nil)
	if err != nil {
		return nil, fmt.Errorf("get object %s: %w", name, err)
	}
	return data, nil
}

// GetRange implements blob.Bucket.
func (b *Bucket) GetRange(ctx context.Context, name string, offset, length int64) ([]byte, error) {
	if offset < 0 || length < 0 {
		return nil, fmt.Errorf("get object %s: the range is %d bytes from offset %d", name, length, offset)
	}
	var data []byte
	var err error
	if length == 0 {
		_, err = b.stat(ctx, name) // a range has at least one byte
	} else {
		data, err = b.read(ctx, name, offset, length, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("get object %s, %d bytes from offset %d: %w", name, length, offset, err)
	}
	return data, nil
}

// version is the state of an object that a read found, or insists on.
type version struct {
	etag string
	size int64
}

// read returns up to length bytes from offset on; none beyond the end. With a
// version it reads that one alone: another is blob.ErrNotFound. A version
// without an etag is filled in.
func (b *Bucket) read(ctx context.Context, name string, offset, length int64, v *version) (data []byte, err error) {
	if err := blob.ValidateName(name); err != nil {
		return nil, err
	}
	opts := minio.GetObjectOptions{}
	switch end := offset + length - 1; {
	case end < 0 || end == math.MaxInt64-1 && offset == 0: // to the end
		if offset > 0 {
			opts.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
	default:
		opts.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, end))
	}
	if v != nil && v.etag != "" {
		if err := opts.SetMatchETag(v.etag); err != nil {
			return nil, err
		}
	}
	err = b.try(ctx, min(length, b.opts.PartBytes), func(ctx context.Context) error {
		data, err = b.get(ctx, name, length, opts, v)
		return err
	})
	switch {
	case err == nil:
		return data, nil
	case status(err) == http.StatusRequestedRangeNotSatisfiable:
		return nil, nil // the object exists, and ends before offset
	case errors.Is(err, blob.ErrExists): // the condition on the version
		return nil, fmt.Errorf("%w: it was deleted and put again", blob.ErrNotFound)
	}
	return nil, err
}

// get is one try of read.
func (b *Bucket) get(ctx context.Context, name string, length int64, opts minio.GetObjectOptions, v *version) ([]byte, error) {
	body, info, header, err := b.client.GetObject(ctx, b.opts.Bucket, b.key(name), opts)
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // it was only read
	announced, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil || announced < 0 {
		return nil, fmt.Errorf("the store does not say how many bytes follow: Content-Length is %q", header.Get("Content-Length"))
	}
	if announced > length {
		return nil, fmt.Errorf("the store answers with %d bytes to a range of %d: it does not know ranges", announced, length)
	}
	// The announced size is not trusted with memory before the bytes are there.
	data := make([]byte, 0, min(announced, 4<<20)+512)
	for int64(len(data)) < announced {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		n, err := body.Read(data[len(data):min(int64(cap(data)), announced)])
		data = data[:len(data)+n]
		if err == io.EOF && int64(len(data)) < announced {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("after %d of %d bytes: %w", len(data), announced, err)
		}
	}
	if v != nil && v.etag == "" {
		v.etag, v.size = info.ETag, announced
		if _, total, ok := strings.Cut(header.Get("Content-Range"), "/"); ok {
			if v.size, err = strconv.ParseInt(total, 10, 64); err != nil {
				return nil, fmt.Errorf("the store says Content-Range: %q", header.Get("Content-Range"))
			}
		}
	}
	return data, nil
}

// Open implements blob.Bucket. A small object is read at once; of a larger one
// the bytes are read when they are asked for. Deleted meanwhile, its further
// bytes are blob.ErrNotFound, never those of another object.
func (b *Bucket) Open(ctx context.Context, name string) (blob.Object, error) {
	v := &version{}
	head, err := b.read(ctx, name, 0, b.opts.HeadBytes, v)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", name, err)
	}
	o := &object{bucket: b, name: name, version: *v, head: head}
	o.ctx, o.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return o, nil
}

// object is an open object.
type object struct {
	bucket  *Bucket
	name    string
	version version
	head    []byte // its first bytes
	ctx     context.Context
	cancel  context.CancelFunc
	closed  atomic.Bool
}

// Size implements blob.Object.
func (o *object) Size() int64 { return o.version.size }

// Bytes implements blob.Object.
func (o *object) Bytes() []byte {
	if int64(len(o.head)) < o.version.size {
		return nil
	}
	return o.head
}

// ReadAt implements blob.Object.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	switch {
	case o.closed.Load():
		return 0, fmt.Errorf("read object %s: %w", o.name, fs.ErrClosed)
	case off < 0:
		return 0, fmt.Errorf("read object %s at offset %d: %w", o.name, off, fs.ErrInvalid)
	case off >= o.version.size:
		return 0, io.EOF
	}
	n := 0
	if off < int64(len(o.head)) {
		n = copy(p, o.head[off:])
	}
	if want := min(int64(len(p)), o.version.size-off); int64(n) < want {
		data, err := o.bucket.read(o.ctx, o.name, off+int64(n), want-int64(n), &o.version)
		n += copy(p[n:], data)
		if err != nil {
			return n, fmt.Errorf("read object %s, %d bytes from offset %d: %w", o.name, len(p), off, err)
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements blob.Object; it ends reads under way.
func (o *object) Close() error {
	o.closed.Store(true)
	o.cancel()
	return nil
}
