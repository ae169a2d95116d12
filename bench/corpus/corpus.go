// Package corpus reads the recorded scrapes in bench/testdata/corpus: text
// expositions of real exporters, every five seconds for over two hours, for
// benchmarks and for tests that want data that nobody made up.
//
// A Reader belongs to one goroutine. Files are found from the working directory
// upwards, so that tests and programs of any package of this module can open
// them.
package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	// windowMax is the window of `zstd --long=27`.
	windowMax = 128 << 20
	// bodyMax bounds what a header line may announce: the largest body recorded
	// is a hundredth of it.
	bodyMax = 16 << 20
)

// Names are the exporters recorded.
func Names() []string { return []string{"etcd", "node", "prometheus", "redis"} }

// Scrape is one recorded answer of an exporter.
type Scrape struct {
	UnixMs   int64
	Duration time.Duration
	// Body is the text exposition, valid until the next call of Next.
	Body []byte
}

// Failed reports whether the scrape brought no exposition.
func (s Scrape) Failed() bool { return bytes.HasPrefix(s.Body, []byte("# ERROR")) }

// Reader iterates over the scrapes of one exporter in order of time.
type Reader struct {
	name string
	file *os.File
	zstd *zstd.Decoder
	buf  *bufio.Reader
	body []byte
}

// Open opens the recording of one of Names. The caller closes the Reader.
func Open(name string) (*Reader, error) {
	dir, err := find()
	if err != nil {
		return nil, fmt.Errorf("open corpus %s: %w", name, err)
	}
	file, err := os.Open(filepath.Join(dir, name+".scrapes.zst"))
	if err != nil {
		return nil, fmt.Errorf("open corpus %s: %w", name, err)
	}
	dec, err := zstd.NewReader(file, zstd.WithDecoderMaxWindow(windowMax), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open corpus %s: %w", name, err), file.Close())
	}
	return &Reader{name: name, file: file, zstd: dec, buf: bufio.NewReaderSize(dec, 1<<16)}, nil
}

// find returns the directory of the recordings, from the working directory up.
func find() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		corpus := filepath.Join(dir, "bench", "testdata", "corpus")
		if _, err := os.Stat(corpus); err == nil {
			return corpus, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no bench/testdata/corpus in the working directory or above it: run inside the repository")
		}
		dir = parent
	}
}

// Next returns the next scrape, and io.EOF after the last.
func (r *Reader) Next() (Scrape, error) {
	line, err := r.buf.ReadString('\n')
	if errors.Is(err, io.EOF) && line == "" {
		return Scrape{}, io.EOF
	}
	if err != nil {
		return Scrape{}, fmt.Errorf("read corpus %s: header: %w", r.name, err)
	}
	var s Scrape
	var seconds float64
	var size int
	if _, err := fmt.Sscanf(line, "### scrape %d %f %d\n", &s.UnixMs, &seconds, &size); err != nil {
		return Scrape{}, fmt.Errorf("read corpus %s: header %q: %w", r.name, line, err)
	}
	if size < 0 || size > bodyMax {
		return Scrape{}, fmt.Errorf("read corpus %s: a body of %d bytes exceeds %d", r.name, size, bodyMax)
	}
	if cap(r.body) < size {
		r.body = make([]byte, size+size/4)
	}
	s.Duration = time.Duration(seconds * float64(time.Second))
	s.Body = r.body[:size]
	if _, err := io.ReadFull(r.buf, s.Body); err != nil {
		return Scrape{}, fmt.Errorf("read corpus %s: body of the scrape at %d: %w", r.name, s.UnixMs, err)
	}
	return s, nil
}

// Close releases the file.
func (r *Reader) Close() error {
	r.zstd.Close()
	return r.file.Close()
}
