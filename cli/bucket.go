package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/blob/s3"
	osfs "github.com/nilometer/nilometer/vfs/os"
)

// place is a bucket that the command line names.
type place struct {
	blob.Bucket
	// dir is the directory that it is in, "" for none.
	dir  string
	lock io.Closer // of a directory that is written to
}

// openPlace opens the bucket of a URL: a directory's path, file:///path, or
// s3://bucket/prefix. A directory is made, and locked, when it is written to.
func openPlace(ctx context.Context, flag, text string, writes bool) (*place, error) {
	if text == "" {
		return nil, usageError{fmt.Errorf("--%s is missing: name a directory, or a URL like s3://bucket/path", flag)}
	}
	scheme, _, isURL := strings.Cut(text, "://")
	switch {
	case !isURL:
		return openDirectory(text, writes)
	case scheme == "s3":
		return openS3(ctx, flag, text, writes)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--%s=%s: %w", flag, text, err)}
	}
	switch scheme {
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return nil, usageError{fmt.Errorf("--%s=%s: write the path after three slashes: file:///%s%s", flag, text, u.Host, u.Path)}
		}
		return openDirectory(filepath.FromSlash(u.Path), writes)
	}
	return nil, usageError{fmt.Errorf("--%s=%s: %s is not known: use a directory's path, file:///path or s3://bucket/path", flag, text, scheme)}
}

// openS3 opens a bucket in an object store. The text may have a secret in it,
// and is in no error.
func openS3(ctx context.Context, flag, text string, writes bool) (*place, error) {
	o, err := s3.ParseURL(text, os.Getenv)
	if err != nil {
		return nil, usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	b, err := s3.New(o)
	if err != nil {
		return nil, err
	}
	if writes {
		if err := b.Check(ctx); err != nil {
			return nil, err
		}
	}
	return &place{Bucket: b}, nil
}

func openDirectory(dir string, writes bool) (*place, error) {
	if info, err := os.Stat(dir); err != nil && (!writes || !errors.Is(err, os.ErrNotExist)) {
		return nil, fmt.Errorf("open the backups: %w", err)
	} else if err == nil && !info.IsDir() {
		return nil, fmt.Errorf("open the backups: %s is no directory", dir)
	}
	fsys, err := osfs.New(dir)
	if err != nil {
		return nil, fmt.Errorf("open the backups in %s: %w", dir, err)
	}
	if !writes {
		return &place{Bucket: blobdir.Reader(fsys, "."), dir: dir}, nil
	}
	// A lock file would be taken for an object: it lies in a directory of its own
	// that no backup has.
	if err := fsys.MkdirAll(lockDir); err != nil {
		return nil, fmt.Errorf("open the backups in %s: %w", dir, err)
	}
	lock, err := fsys.Lock(lockDir+"/LOCK", "")
	if err != nil {
		return nil, fmt.Errorf("open the backups in %s: another command writes to them: %w", dir, err)
	}
	bucket, err := blobdir.New(fsys, ".")
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &place{Bucket: bucket, dir: dir, lock: lock}, nil
}

const lockDir = "lock"

// Close gives the lock back.
func (p *place) Close() error {
	if p.lock == nil {
		return nil
	}
	return p.lock.Close()
}
