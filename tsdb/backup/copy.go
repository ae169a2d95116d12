package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	format "github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/vfs"
)

// copiesMax is how many files are copied at the same time: enough to hide the
// latency of an object store, few enough for the memory of its parts.
const copiesMax = 4

// bufferBytes is the unit of copying: one ranged read of an object store.
const bufferBytes = 4 << 20

// tally counts what several copies do. It is safe for concurrent use.
type tally struct {
	report func(Progress)

	mu       sync.Mutex // guards what follows, and is held while report runs
	progress Progress
	summary  Summary
}

func (t *tally) bytes(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress.Bytes += n
	t.report(t.progress)
}

// file notes that a file is done; kept: it was there.
func (t *tally) file(f format.File, kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.progress.Files++
	if kept {
		t.summary.KeptFiles++
		t.summary.KeptBytes += f.Bytes
	} else {
		t.summary.CopiedFiles++
		t.summary.CopiedBytes += f.Bytes
	}
	t.report(t.progress)
}

// counted counts the bytes that pass, and ends with the context.
type counted struct {
	ctx   context.Context
	tally *tally
}

func (c counted) Write(p []byte) (int, error) {
	c.tally.bytes(int64(len(p)))
	return len(p), context.Cause(c.ctx)
}

// each does something with every file, with a few of them at the same time, and
// begins no more after the first error.
func each(ctx context.Context, files []format.File, do func(context.Context, *format.File) error) error {
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(copiesMax)
	for i := range files {
		if working.Err() != nil {
			break
		}
		g.Go(func() error { return do(working, &files[i]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// copySum copies so many bytes, counted by t, and returns their checksum.
func copySum(ctx context.Context, dst io.Writer, src io.ReaderAt, sizeBytes int64, t *tally) (string, error) {
	sum := sha256.New()
	_, err := io.CopyBuffer(io.MultiWriter(dst, sum, counted{ctx, t}), io.NewSectionReader(src, 0, sizeBytes), make([]byte, min(bufferBytes, sizeBytes+1)))
	return hex.EncodeToString(sum.Sum(nil)), err
}

// sumOf reads a file and returns its checksum.
func sumOf(ctx context.Context, fsys vfs.FS, name string, t *tally) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	size, err := f.Size()
	sum := ""
	if err == nil {
		sum, err = copySum(ctx, io.Discard, f, size, t)
	}
	return sum, errors.Join(err, f.Close())
}
