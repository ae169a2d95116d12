// Package remotewrite receives samples by Prometheus' remote write protocol: a
// POST of a snappy-compressed protobuf message, a WriteRequest of version 1.0 or
// a Request of version 2.0 with start timestamps. Metadata is not taken.
//
// It owns the protocol: limits on the request, decoding, the transposition
// into batches, and the status codes that tell a sender whether to try again.
//
// Invariants:
//
//   - I1: 2xx is answered only when every sample of the request is durable or
//     was there already with the same value.
//   - I2: a request that is refused as a whole (413, 415, 429, 5xx, or 400 for a
//     damaged body) has stored nothing, except after a failed sync, where
//     sending again is harmless (N1 of the architecture).
//   - I3: 400 with counts per reason means that those samples can never be
//     stored and the others are; senders must not repeat it.
package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Options bound what the handler takes. Zero values are the defaults.
type Options struct {
	// CompressedBytesMax bounds the body as sent. Default 16 MiB.
	CompressedBytesMax int64
	// DecompressedBytesMax bounds the body after snappy. Default 64 MiB.
	DecompressedBytesMax int
	// BodyTimeout is how long a body may take to come: it holds one of the places
	// of ConcurrencyMax meanwhile. Default 30 s.
	BodyTimeout time.Duration
	// ConcurrencyMax bounds the requests being stored at once; further ones
	// wait, up to four times as many, then 429 is answered. Default 32.
	ConcurrencyMax int
}

func (o Options) withDefaults() Options {
	if o.CompressedBytesMax == 0 {
		o.CompressedBytesMax = 16 << 20
	}
	if o.DecompressedBytesMax == 0 {
		o.DecompressedBytesMax = 64 << 20
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = 30 * time.Second
	}
	if o.ConcurrencyMax == 0 {
		o.ConcurrencyMax = 32
	}
	return o
}

// Deps are the parts that the handler works with.
type Deps struct {
	Writer     storage.Writer
	Tenant     tenant.ID
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Handler serves POST /api/v1/write. It is safe for concurrent use.
type Handler struct {
	opts     Options
	deps     Deps
	metrics  metrics
	slots    chan struct{} // one entry per request being stored
	waiting  chan struct{} // one entry per request admitted at all
	requests sync.Pool     // of *request
}

// New returns a handler.
func New(opts Options, deps Deps) *Handler {
	opts = opts.withDefaults()
	return &Handler{
		opts:     opts,
		deps:     deps,
		metrics:  newMetrics(deps.Registerer),
		slots:    make(chan struct{}, opts.ConcurrencyMax),
		waiting:  make(chan struct{}, 5*opts.ConcurrencyMax),
		requests: sync.Pool{New: func() any { return new(request) }},
	}
}

// ServeHTTP takes one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status, text := h.serve(w, req)
	h.metrics.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	if text == "" {
		w.WriteHeader(status)
		return
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "5")
	}
	http.Error(w, text, status)
}

func (h *Handler) serve(w http.ResponseWriter, req *http.Request) (status int, text string) {
	v2, status, text := checkHeaders(req)
	if status != 0 {
		return status, text
	}
	if v2 {
		setWritten(w, outcome{}) // also where nothing was: the sender counts on it
	}
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return http.StatusTooManyRequests, fmt.Sprintf("%d requests wait already: send fewer at once (max_shards)", cap(h.waiting))
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-req.Context().Done():
		return http.StatusServiceUnavailable, "the request ended while it waited"
	}
	r := h.requests.Get().(*request)
	defer h.requests.Put(r)
	if err := h.read(w, req, r, v2); err != nil {
		return requestStatus(err), err.Error()
	}
	o, err := write(req.Context(), h.deps.Writer, h.deps.Tenant, r)
	if err != nil {
		status := storeStatus(err)
		h.deps.Logger.Warn("remote write failed", "tenant", string(h.deps.Tenant), "status", status, "err", err)
		return status, err.Error()
	}
	if v2 {
		setWritten(w, o)
	}
	h.metrics.samples.Add(float64(o.appended))
	for reason, n := range o.rejectedExemplars {
		h.metrics.rejected.WithLabelValues(reason.String()).Add(float64(n))
	}
	for reason, n := range o.rejected {
		h.metrics.rejected.WithLabelValues(reason.String()).Add(float64(n))
	}
	return outcomeStatus(o)
}

// setWritten tells a sender of version 2.0 what was stored: it takes a success
// without that for one of a receiver that knows 1.0 alone.
func setWritten(w http.ResponseWriter, o outcome) {
	const prefix = "X-Prometheus-Remote-Write-"
	w.Header().Set(prefix+"Samples-Written", strconv.Itoa(o.floats))
	w.Header().Set(prefix+"Histograms-Written", strconv.Itoa(o.hists))
	w.Header().Set(prefix+"Exemplars-Written", strconv.Itoa(o.exemplars))
}

// The messages of both versions, as the Content-Type names them.
const (
	messageV1 = "prometheus.WriteRequest"
	messageV2 = "io.prometheus.write.v2.Request"
)

// checkHeaders tells the version of a request, and refuses what is no remote
// write, with the way out.
func checkHeaders(req *http.Request) (v2 bool, status int, text string) {
	if req.Method != http.MethodPost {
		return false, http.StatusMethodNotAllowed, "remote write is a POST"
	}
	media, params, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if req.Header.Get("Content-Type") != "" {
		if err != nil || media != "application/x-protobuf" {
			return false, http.StatusUnsupportedMediaType, "the Content-Type must be application/x-protobuf"
		}
		switch proto := params["proto"]; proto {
		case "", messageV1:
		case messageV2:
			v2 = true
		default:
			return false, http.StatusUnsupportedMediaType, fmt.Sprintf("the message %s is not supported: send %s or %s (protobuf_message)", proto, messageV1, messageV2)
		}
	}
	if enc := req.Header.Get("Content-Encoding"); enc != "" && enc != "snappy" {
		return false, http.StatusUnsupportedMediaType, fmt.Sprintf("the Content-Encoding %s is not supported: send snappy", enc)
	}
	return v2, 0, ""
}

func (h *Handler) read(w http.ResponseWriter, req *http.Request, r *request, v2 bool) error {
	deadline := http.NewResponseController(w)
	limited := deadline.SetReadDeadline(time.Now().Add(h.opts.BodyTimeout)) == nil // a test's recorder has none
	compressed, err := io.ReadAll(http.MaxBytesReader(w, req.Body, h.opts.CompressedBytesMax))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%w: not whole after %s", errSlow, h.opts.BodyTimeout)
		}
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return fmt.Errorf("%w: over %d bytes compressed: send fewer samples a request (max_samples_per_send)", errTooLarge, tooLarge.Limit)
		}
		return fmt.Errorf("read body: %w", err)
	}
	if limited { // it would end the request, and the connection's next one; a failed one's rest has no more time
		_ = deadline.SetReadDeadline(time.Time{})
	}
	if err := r.decompress(compressed, h.opts.DecompressedBytesMax); err != nil {
		return err
	}
	if v2 {
		return r.decodeV2(h.opts.DecompressedBytesMax)
	}
	return r.decode()
}

// errSlow is a body that took too long; it may be sent again.
var errSlow = errors.New("the body came too slowly")

func requestStatus(err error) int {
	switch {
	case errors.Is(err, errTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, errSlow):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// storeStatus: whatever storage could not do is worth a retry.
func storeStatus(err error) int {
	switch {
	case errors.Is(err, storage.ErrReadOnly), errors.Is(err, storage.ErrUncertain), errors.Is(err, storage.ErrOverloaded), errors.Is(err, storage.ErrReplaying),
		errors.Is(err, storage.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// retriable are rejections that pass by themselves: the sender shall try again.
var retriable = map[storage.Reason]int{
	storage.ReasonMemory:      http.StatusServiceUnavailable,
	storage.ReasonSeriesLimit: http.StatusTooManyRequests,
	storage.ReasonOverloaded:  http.StatusTooManyRequests,
}

func outcomeStatus(o outcome) (status int, text string) {
	if len(o.rejected) == 0 {
		return http.StatusNoContent, ""
	}
	status = http.StatusBadRequest
	parts := make([]string, 0, len(o.rejected))
	for reason, n := range o.rejected {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
		if s, ok := retriable[reason]; ok {
			status = s
		}
	}
	sort.Strings(parts)
	return status, fmt.Sprintf("%d samples stored, rejected: %s; the first: %s", o.appended, strings.Join(parts, ", "), o.example.Error())
}
