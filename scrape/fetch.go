package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	commonconfig "github.com/prometheus/common/config"

	"github.com/nilometer/nilometer/format/exposition"
)

// encodings in order of what a sample costs to inflate: zstd 120 ns, gzip 260.
const acceptEncoding = "zstd, gzip;q=0.5, identity;q=0.2"

// bodySizeLimit is the limit of bodies, as errors name it.
const bodySizeLimit = "body_size_limit (bytes)"

// errorBodyMax bounds what is read of an answer that is no exposition, so that
// its connection can be used again.
const errorBodyMax = 64 << 10

// fetcher gets a target's exposition.
type fetcher interface {
	// fetch appends the body to dst. It is bounded by ctx and BodySizeMax. With a
	// *typeError the body is whole.
	fetch(ctx context.Context, s *spec, dst []byte) (body []byte, f exposition.Format, err error)
	// keep ends connections to Unix sockets that no target has any more.
	keep(specs []*spec)
	close()
}

type httpFetcher struct {
	client    *http.Client
	sockets   sockets
	inflaters *inflaters
	budget    *budget
	options   *PoolOptions
	accept    string
	encoding  string
	userAgent string
}

func newFetcher(o *PoolOptions, userAgent string, in *inflaters, b *budget) (fetcher, error) {
	if o.Source != nil {
		return sourceFetcher{o.Source, o.BodySizeMax}, nil
	}
	client, err := commonconfig.NewClientFromConfig(*o.HTTPClient, o.Job)
	if err != nil {
		return nil, fmt.Errorf("http client of job %q: %w", o.Job, err)
	}
	f := &httpFetcher{client: client, sockets: sockets{options: o}, inflaters: in, budget: b, options: o, accept: o.accept(), encoding: acceptEncoding, userAgent: userAgent}
	if o.DisableCompression {
		f.encoding = "identity"
	}
	return f, nil
}

func (f *httpFetcher) close() {
	f.client.CloseIdleConnections()
	f.sockets.keep(nil)
}

func (f *httpFetcher) keep(specs []*spec) { f.sockets.keep(specs) }

func (f *httpFetcher) fetch(ctx context.Context, s *spec, dst []byte) ([]byte, exposition.Format, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return dst, 0, err
	}
	req.Header.Set("Accept", f.accept)
	req.Header.Set("Accept-Encoding", f.encoding)
	req.Header.Set("User-Agent", f.userAgent)
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(s.timeout.Seconds(), 'f', -1, 64))
	client := f.client
	if s.socket != "" {
		if client, err = f.sockets.client(s.socket); err != nil {
			return dst, 0, err
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return dst, 0, timeoutCause(ctx, s, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, errorBodyMax)
		return dst, 0, fmt.Errorf("the target answered HTTP status %s", resp.Status)
	}
	dst, err = f.read(resp, dst)
	if err != nil {
		return dst, 0, timeoutCause(ctx, s, err)
	}
	format, err := f.options.formatOf(resp.Header.Get("Content-Type"))
	return dst, format, err
}

// timeoutCause makes an error that the deadline caused say so.
func timeoutCause(ctx context.Context, s *spec, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no whole answer within %s: %w", deadline(s.interval, s.timeout), context.DeadlineExceeded)
	}
	return err
}

// read appends the inflated body to dst.
func (f *httpFetcher) read(resp *http.Response, dst []byte) ([]byte, error) {
	switch enc := resp.Header.Get("Content-Encoding"); enc {
	case "", "identity":
		return f.readAll(resp.Body, dst)
	case "gzip":
		r, put, err := f.inflaters.gzip(resp.Body)
		if err != nil {
			return dst, fmt.Errorf("inflate gzip: %w", err)
		}
		defer put()
		return f.readAll(r, dst)
	case "zstd":
		r, put, err := f.inflaters.zstd(resp.Body)
		if err != nil {
			return dst, fmt.Errorf("inflate zstd: %w", err)
		}
		defer put()
		return f.readAll(r, dst)
	default:
		return dst, fmt.Errorf("the body has the encoding %q, which was not asked for", enc)
	}
}

// bodySizeFirst is what a body's buffer begins with, bytes.
const bodySizeFirst = 16 << 10

// readAll appends all of r to dst, up to the pool's limit and, beyond the
// buffer that dst is, as far as the budget of all pools allows.
func (f *httpFetcher) readAll(r io.Reader, dst []byte) ([]byte, error) {
	start, taken := len(dst), int64(0)
	defer func() { f.budget.give(taken) }()
	for {
		if len(dst) == cap(dst) {
			more := int64(max(cap(dst), bodySizeFirst))
			if cap(dst) > bodyKeepMax { // twice 64 MiB, and the 64 beside them, are felt
				more = int64(cap(dst) / 4)
			}
			if !f.budget.take(more) {
				return dst, &limitError{what: "the memory for bodies of all scrapes under way (bytes)", max: f.budget.max, seen: f.budget.max + more}
			}
			taken += more
			dst = append(make([]byte, 0, int64(cap(dst))+more), dst...)
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if size := int64(len(dst) - start); size > f.options.BodySizeMax {
			return dst, &limitError{what: bodySizeLimit, max: f.options.BodySizeMax, seen: size}
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, fmt.Errorf("read body: %w", err)
		}
	}
}

// budget bounds the memory that bodies take while they are read: many targets
// that turn huge at once must not end the process.
type budget struct {
	max  int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// inflaters keeps decompressors for the next body; they are costly to make.
type inflaters struct{ gzips, zstds sync.Pool }

func (p *inflaters) gzip(src io.Reader) (io.Reader, func(), error) {
	r, ok := p.gzips.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	if err := r.Reset(src); err != nil {
		return nil, nil, err
	}
	return r, func() { p.gzips.Put(r) }, nil
}

// zstdWindowMax bounds the memory of one inflation; encoders for HTTP use at
// most 8 MiB (RFC 8878, section 3.1.1.1.2).
const zstdWindowMax = 8 << 20

func (p *inflaters) zstd(src io.Reader) (io.Reader, func(), error) {
	r, ok := p.zstds.Get().(*zstd.Decoder)
	if !ok {
		var err error
		// Concurrency 1 decodes in the reading goroutine: no goroutine to leak.
		if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindowMax)); err != nil {
			return nil, nil, err
		}
	}
	if err := r.Reset(src); err != nil {
		return nil, nil, err
	}
	return r, func() {
		if r.Reset(nil) == nil {
			p.zstds.Put(r)
		}
	}, nil
}

// sourceFetcher asks a source inside the process.
type sourceFetcher struct {
	source  Source
	sizeMax int64
}

func (sourceFetcher) close() {}

func (sourceFetcher) keep([]*spec) {}

func (f sourceFetcher) fetch(ctx context.Context, s *spec, dst []byte) ([]byte, exposition.Format, error) {
	body, err := f.source.AppendMetrics(ctx, dst)
	if err == nil && int64(len(body)) > f.sizeMax {
		err = &limitError{what: bodySizeLimit, max: f.sizeMax, seen: int64(len(body))}
	}
	if err != nil {
		return dst, 0, timeoutCause(ctx, s, err)
	}
	return body, exposition.Text, nil
}

// bodies keeps buffers for bodies.
type bodies struct{ pool sync.Pool }

// bodyKeepMax is the largest buffer kept; larger ones are rare.
const bodyKeepMax = 4 << 20

func (b *bodies) get(sizeHint int) *[]byte {
	buf, ok := b.pool.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	if cap(*buf) < sizeHint {
		*buf = make([]byte, 0, sizeHint)
	}
	*buf = (*buf)[:0]
	return buf
}

func (b *bodies) put(buf *[]byte) {
	if cap(*buf) <= bodyKeepMax {
		b.pool.Put(buf)
	}
}
