package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/nilometer/nilometer/blob"
)

// bytesPerSecond is the slowest transfer that a try waits for.
const bytesPerSecond = 128 << 10

// try runs a request until it succeeds, fails for good, or has been tried often
// enough. size is the number of bytes that it moves.
func (b *Bucket) try(ctx context.Context, size int64, request func(context.Context) error) error {
	pause := b.opts.PauseMin
	for n := 1; ; n++ {
		err := b.once(ctx, size, request)
		if err == nil {
			return nil
		}
		if ended := context.Cause(ctx); ended != nil {
			return ended
		}
		if !transient(err) {
			return mapped(err, b.opts.Bucket)
		}
		if n >= b.opts.AttemptsMax {
			return fmt.Errorf("after %d attempts: %w", n, err)
		}
		// Half of the pause is by chance: those who failed together come back
		// one by one.
		select {
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause = min(2*pause, b.opts.PauseMax)
	}
}

// errSlow is the cause of a try that took too long.
var errSlow = errors.New("the object store does not answer in time")

// once is one try, in a slot and with a deadline.
func (b *Bucket) once(ctx context.Context, size int64, request func(context.Context) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-b.slots }()
	limit := b.opts.TryTimeout + time.Duration(size/bytesPerSecond)*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	err := request(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return fmt.Errorf("%w (%s): %w", errSlow, limit, err)
	}
	return err
}

// transient tells whether another try may succeed: the network failed, or the
// store said so.
func transient(err error) bool {
	var own *readerError
	var answer minio.ErrorResponse
	if errors.As(err, &own) {
		return false
	}
	if !errors.As(err, &answer) {
		return !errors.Is(err, blob.ErrInvalidName) && !errors.Is(err, blob.ErrExists) && !errors.Is(err, blob.ErrNotFound)
	}
	switch answer.StatusCode {
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	switch answer.Code {
	case "SlowDown", "InternalError", "RequestTimeout", "ServiceUnavailable", "ConditionalRequestConflict":
		return true
	}
	return answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented
}

// mapped turns an answer of the store into an error that callers know.
func mapped(err error, bucket string) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	switch {
	case answer.Code == "NoSuchBucket":
		return fmt.Errorf("the bucket %s does not exist: make it, or name another one", bucket)
	case answer.StatusCode == http.StatusNotFound || answer.Code == "NoSuchKey":
		return fmt.Errorf("%w (%w)", blob.ErrNotFound, err)
	case answer.StatusCode == http.StatusPreconditionFailed:
		return fmt.Errorf("%w (%w)", blob.ErrExists, err)
	case answer.Code == "AccessDenied" || answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("the store refuses access to bucket %s, look at the credentials and their rights: %w", bucket, err)
	}
	return err
}

// status returns the code of the store's answer, 0 for none.
func status(err error) int {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) {
		return answer.StatusCode
	}
	return 0
}
