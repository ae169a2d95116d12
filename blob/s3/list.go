package s3

import (
	"context"
	"fmt"

	"github.com/minio/minio-go/v7"

	"github.com/nilometer/nilometer/blob"
)

// pageNames is how many names are collected before they are handed on: what
// one answer of a store has at most.
const pageNames = 1000

// List implements blob.Bucket. Names are collected page by page, so that
// nothing is held while fn runs; after a failure the list goes on behind the
// last name.
func (b *Bucket) List(ctx context.Context, prefix, after string, fn func(blob.Info) error) error {
	cut := len(b.key(""))
	start := ""
	if after != "" {
		start = b.key(after)
	}
	for {
		var page []blob.Info
		err := b.try(ctx, 0, func(ctx context.Context) error {
			return b.page(ctx, b.key(prefix), &start, &page)
		})
		if err != nil {
			return fmt.Errorf("list objects %s*: %w", prefix, err)
		}
		for _, info := range page {
			info.Name = info.Name[cut:]
			if err := context.Cause(ctx); err != nil {
				return fmt.Errorf("list objects %s*: %w", prefix, err)
			}
			if blob.ValidateName(info.Name) != nil {
				continue // another program's: a mark of a directory, for instance
			}
			if err := fn(info); err != nil {
				return err
			}
		}
		if len(page) < pageNames {
			return context.Cause(ctx)
		}
	}
}

// page appends keys after *start to page until it is full or there are no more,
// and moves start along.
func (b *Bucket) page(ctx context.Context, prefix string, start *string, page *[]blob.Info) error {
	ctx, cancel := context.WithCancel(ctx)
	noOwner := false
	found := b.client.Client.ListObjects(ctx, b.opts.Bucket, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, StartAfter: *start, MaxKeys: pageNames, FetchOwner: &noOwner,
	})
	defer func() {
		cancel()
		for range found { // its goroutine ends
		}
	}()
	for o := range found {
		if o.Err != nil {
			return o.Err
		}
		*start = o.Key
		*page = append(*page, blob.Info{Name: o.Key, SizeBytes: o.Size, Modified: o.LastModified})
		if len(*page) == pageNames {
			return nil
		}
	}
	return context.Cause(ctx)
}
