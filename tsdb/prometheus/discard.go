package prometheus

import (
	"context"
	"fmt"
	"io"

	"github.com/nilometer/nilometer/blob"
)

// discardBucket takes objects and forgets them: what a dry run writes to.
type discardBucket struct{}

var _ blob.Bucket = discardBucket{}

func (discardBucket) PutIfAbsent(_ context.Context, name string, r io.Reader, sizeBytes int64) error {
	n, err := io.Copy(io.Discard, r)
	if err == nil && n != sizeBytes {
		err = fmt.Errorf("put %s: %d bytes, %d were announced", name, n, sizeBytes)
	}
	return err
}

func (discardBucket) Get(_ context.Context, name string) ([]byte, error) { return nil, missing(name) }

func (discardBucket) GetRange(_ context.Context, name string, _, _ int64) ([]byte, error) {
	return nil, missing(name)
}

func (discardBucket) Open(_ context.Context, name string) (blob.Object, error) {
	return nil, missing(name)
}

func (discardBucket) List(context.Context, string, string, func(blob.Info) error) error { return nil }

func (discardBucket) Stat(_ context.Context, name string) (blob.Info, error) {
	return blob.Info{}, missing(name)
}

func (discardBucket) Delete(context.Context, string) error { return nil }

func missing(name string) error { return fmt.Errorf("%s: %w", name, blob.ErrNotFound) }
