package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	commonconfig "github.com/prometheus/common/config"

	"github.com/nilometer/nilometer/format/exposition"
)

// encodings in order of what a sample costs to decompress: zstd before gzip.
const acceptEncoding = "zstd, gzip;q=0.5, identity;q=0.2"

// errorBodyMax bounds what is read of an answer that is no exposition, so that
// its connection can be used again.
const errorBodyMax = 64 << 10

// fetcher gets the expositions of a pool's targets.
type fetcher interface {
	// of returns what asks one target.
	of(s *spec) getter
	// keep ends connections to Unix sockets that no target has any more.
	keep(specs []*spec)
	close()
}

// getter gets one target's exposition. Its methods are called one at a time.
type getter interface {
	// get returns the body, which lies in m. It is bounded by ctx and
	// BodySizeMax. With a *typeError the body is whole.
	get(ctx context.Context, m *memory) (body []byte, f exposition.Format, err error)
	close()
}

type httpFetcher struct {
	client    *http.Client
	sockets   sockets
	options   *PoolOptions
	accept    string
	encoding  string
	userAgent string
}

func newFetcher(o *PoolOptions, userAgent string) (fetcher, error) {
	if o.Source != nil {
		return sourceFetcher{o.Source}, nil
	}
	client, err := commonconfig.NewClientFromConfig(*o.HTTPClient, o.Job)
	if err != nil {
		return nil, fmt.Errorf("http client of job %q: %w", o.Job, err)
	}
	f := &httpFetcher{client: client, sockets: sockets{options: o}, options: o, accept: o.accept(), encoding: acceptEncoding, userAgent: userAgent}
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

func (f *httpFetcher) of(s *spec) getter {
	g := &clientGetter{httpFetcher: f, spec: s}
	if direct := newDirect(g); direct != nil {
		return direct
	}
	return g
}

// request returns a new request to a target.
func (f *httpFetcher) request(ctx context.Context, s *spec) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", f.accept)
	req.Header.Set("Accept-Encoding", f.encoding)
	req.Header.Set("User-Agent", f.userAgent)
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(s.timeout.Seconds(), 'f', -1, 64))
	return req, nil
}

// clientGetter asks with all that the configuration of clients can: TLS,
// credentials, proxies, redirects.
type clientGetter struct {
	*httpFetcher
	spec *spec
}

func (g *clientGetter) close() {} // the pool's client has the connections

func (g *clientGetter) get(ctx context.Context, m *memory) ([]byte, exposition.Format, error) {
	req, err := g.request(ctx, g.spec)
	if err != nil {
		return nil, 0, err
	}
	client := g.client
	if g.spec.socket != "" {
		if client, err = g.sockets.client(g.spec.socket); err != nil {
			return nil, 0, err
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, timeoutCause(ctx, g.spec, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, resp.Body, errorBodyMax)
		return nil, 0, errStatus(resp.Status)
	}
	raw, err := m.raw.readAll(resp.Body)
	if err != nil {
		return raw, 0, timeoutCause(ctx, g.spec, err)
	}
	return g.decode(ctx, m, raw, resp.Header.Get("Content-Type"), resp.Header.Get("Content-Encoding"))
}

func errStatus(status string) error { return fmt.Errorf("the target answered HTTP status %s", status) }

// decode makes an exposition of an answer.
func (f *httpFetcher) decode(ctx context.Context, m *memory, raw []byte, contentType, encoding string) ([]byte, exposition.Format, error) {
	body, err := m.inflate(ctx, raw, encoding)
	if err != nil {
		return body, 0, err
	}
	format, err := f.options.formatOf(contentType)
	return body, format, err
}

// timeoutCause makes an error that the deadline caused say so.
func timeoutCause(ctx context.Context, s *spec, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no whole answer within %s: %w", deadline(s.interval, s.timeout), context.DeadlineExceeded)
	}
	return err
}

// sourceFetcher asks a source inside the process.
type sourceFetcher struct{ source Source }

func (sourceFetcher) close() {}

func (sourceFetcher) keep([]*spec) {}

func (f sourceFetcher) of(s *spec) getter { return sourceGetter{f, s} }

type sourceGetter struct {
	sourceFetcher
	spec *spec
}

func (g sourceGetter) get(ctx context.Context, m *memory) ([]byte, exposition.Format, error) {
	dst, err := m.plain.Grow(nil, bytes.MinRead)
	if err != nil {
		return nil, 0, err
	}
	body, err := g.source.AppendMetrics(ctx, dst)
	if err == nil {
		err = m.plain.fits(body)
	}
	if err != nil {
		return dst, 0, timeoutCause(ctx, g.spec, err)
	}
	return body, exposition.Text, nil
}
