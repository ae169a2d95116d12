package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/nilometer/nilometer/blob"
)

// putID is the metadata that has the id of a put.
const putID = "Nilometer-Put"

// partsMax bounds the parts of an object: S3's limit.
const partsMax = 10_000

// readerError is an error of the caller's reader.
type readerError struct{ err error }

func (e *readerError) Error() string { return "read: " + e.err.Error() }
func (e *readerError) Unwrap() error { return e.err }

// PutIfAbsent implements blob.Bucket.
func (b *Bucket) PutIfAbsent(ctx context.Context, name string, r io.Reader, sizeBytes int64) error {
	err := blob.ValidateName(name)
	switch {
	case err != nil:
	case sizeBytes < 0:
		err = fmt.Errorf("the size is %d bytes", sizeBytes)
	case sizeBytes > b.opts.PartBytes:
		err = b.putParts(ctx, name, r, sizeBytes)
	default:
		err = b.putWhole(ctx, name, r, sizeBytes)
	}
	if err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	return nil
}

// chunk is content in memory with its checksum, by which the store notices
// damage on the way.
type chunk struct {
	data []byte
	sum  string
}

// readChunk reads size bytes of r into buf. last: nothing may follow.
func readChunk(ctx context.Context, r io.Reader, buf []byte, last bool) (chunk, error) {
	for n := 0; n < len(buf); {
		if err := context.Cause(ctx); err != nil {
			return chunk{}, err
		}
		m, err := io.ReadFull(r, buf[n:min(len(buf), n+1<<20)])
		n += m
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return chunk{}, &readerError{fmt.Errorf("it ended after %d of %d bytes: %w", n, len(buf), io.ErrUnexpectedEOF)}
		}
		if err != nil {
			return chunk{}, &readerError{err}
		}
	}
	if last {
		switch n, err := io.ReadFull(r, make([]byte, 1)); {
		case n > 0:
			return chunk{}, &readerError{errors.New("it has more than the bytes announced")}
		case err != io.EOF:
			return chunk{}, &readerError{err}
		}
	}
	sum := sha256.Sum256(buf)
	return chunk{data: buf, sum: hex.EncodeToString(sum[:])}, context.Cause(ctx)
}

// putWhole puts an object by one request.
func (b *Bucket) putWhole(ctx context.Context, name string, r io.Reader, size int64) error {
	c, err := readChunk(ctx, r, make([]byte, size), true)
	if err != nil {
		return err
	}
	id := rand.Text()
	lost := false // whether an earlier try may have put it
	return b.try(ctx, size, func(ctx context.Context) error {
		opts := minio.PutObjectOptions{UserMetadata: map[string]string{putID: id}, DisableContentSha256: true}
		opts.SetMatchETagExcept("*")
		_, err := b.client.PutObject(ctx, b.opts.Bucket, b.key(name), bytes.NewReader(c.data), size, "", c.sum, opts)
		return b.judge(ctx, name, id, err, &lost)
	})
}

// judge turns the answer to a conditional put into that of PutIfAbsent. After a
// try whose answer was lost, an object that exists may be our own: its id
// tells.
func (b *Bucket) judge(ctx context.Context, name, id string, err error, lost *bool) error {
	if err == nil {
		return nil
	}
	if status(err) != http.StatusPreconditionFailed {
		*lost = *lost || status(err) != http.StatusConflict
		return err
	}
	if !*lost {
		return err
	}
	info, statErr := b.client.StatObject(ctx, b.opts.Bucket, b.key(name), minio.StatObjectOptions{})
	switch {
	case status(statErr) == http.StatusNotFound: // deleted since: try again
		return fmt.Errorf("%w after it existed", errVanished)
	case statErr != nil:
		return statErr
	case info.UserMetadata[putID] == id:
		return nil
	}
	return err
}

// errVanished: the object is there and is not.
var errVanished = errors.New("the object vanished")

// putParts puts a large object in parts, each held in memory once.
func (b *Bucket) putParts(ctx context.Context, name string, r io.Reader, size int64) (err error) {
	// The cheap look first: the condition comes at the end, after all bytes.
	if _, err := b.stat(ctx, name); err == nil {
		return blob.ErrExists
	} else if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	id := rand.Text()
	upload := ""
	err = b.try(ctx, 0, func(ctx context.Context) error {
		upload, err = b.client.NewMultipartUpload(ctx, b.opts.Bucket, b.key(name), minio.PutObjectOptions{UserMetadata: map[string]string{putID: id}})
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // what is not aborted costs money until the store clears it
			err = errors.Join(err, b.abort(context.WithoutCancel(ctx), name, upload))
		}
	}()
	parts, err := b.parts(ctx, name, upload, r, size)
	if err != nil {
		return err
	}
	lost := false
	return b.try(ctx, 0, func(ctx context.Context) error {
		opts := minio.PutObjectOptions{}
		opts.SetMatchETagExcept("*")
		_, err := b.client.CompleteMultipartUpload(ctx, b.opts.Bucket, b.key(name), upload, parts, opts)
		if lost && status(err) == http.StatusNotFound { // the upload is gone: completed by a try before
			return b.completed(ctx, name, id)
		}
		return b.judge(ctx, name, id, err, &lost)
	})
}

// completed finds out whose object there is when the upload is gone.
func (b *Bucket) completed(ctx context.Context, name, id string) error {
	info, err := b.client.StatObject(ctx, b.opts.Bucket, b.key(name), minio.StatObjectOptions{})
	switch {
	case status(err) == http.StatusNotFound:
		return fmt.Errorf("%w, and its upload", errVanished)
	case err != nil:
		return err
	case info.UserMetadata[putID] == id:
		return nil
	}
	return blob.ErrExists
}

func (b *Bucket) parts(ctx context.Context, name, upload string, r io.Reader, size int64) ([]minio.CompletePart, error) {
	partBytes := max(b.opts.PartBytes, (size+partsMax-1)/partsMax)
	buf := make([]byte, partBytes)
	var out []minio.CompletePart
	for at := int64(0); at < size; at += partBytes {
		n := min(partBytes, size-at)
		c, err := readChunk(ctx, r, buf[:n], at+n == size)
		if err != nil {
			return nil, err
		}
		number := len(out) + 1
		err = b.try(ctx, n, func(ctx context.Context) error {
			part, err := b.client.PutObjectPart(ctx, b.opts.Bucket, b.key(name), upload, number, bytes.NewReader(c.data), n,
				minio.PutObjectPartOptions{Sha256Hex: c.sum, DisableContentSha256: true})
			if err == nil {
				out = append(out, minio.CompletePart{PartNumber: number, ETag: part.ETag})
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", number, err)
		}
	}
	return out, nil
}

// abort frees the parts of an upload; one that is gone is no error.
func (b *Bucket) abort(ctx context.Context, name, upload string) error {
	err := b.try(ctx, 0, func(ctx context.Context) error {
		return b.client.AbortMultipartUpload(ctx, b.opts.Bucket, b.key(name), upload)
	})
	if err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete the parts of an unfinished upload: %w", err)
	}
	return nil
}
