// Package s3test is a small object store in this process that speaks as much of
// S3 as blob/s3 needs: conditional puts, ranges, lists in pages, uploads in
// parts. Signatures are not looked at; checksums of content are. Faults are
// injected before or after a request has had its effect.
package s3test

import (
	"crypto/md5" //nolint:gosec // S3's etag
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault is what becomes of a request.
type Fault struct {
	// Status is answered in place of the right answer; 0: no fault.
	Status int
	// Code is the S3 error code; "InternalError" by default.
	Code string
	// After lets the request have its effect first.
	After bool
	// HangUp ends the connection without an answer.
	HangUp bool
	// Delay is before the answer, and with After set it is behind the effect.
	Delay time.Duration
}

// Server is an object store with one bucket.
type Server struct {
	*httptest.Server
	Bucket string
	// PageMax bounds the names in one answer to a list.
	PageMax int

	mu       sync.Mutex // guards what follows
	objects  map[string]object
	uploads  map[string]*upload
	requests int
	number   int
	fault    func(n int, r *http.Request) Fault
}

type object struct {
	data     []byte
	etag     string
	meta     map[string]string
	modified time.Time
}

type upload struct {
	key   string
	meta  map[string]string
	parts map[int][]byte
}

// New starts a server; Close ends it.
func New(bucket string) *Server {
	s := &Server{Bucket: bucket, PageMax: 1000, objects: map[string]object{}, uploads: map[string]*upload{}}
	s.Server = httptest.NewServer(s)
	return s
}

// Fail has fn decide about every request, which are counted from 1; nil ends
// that. fn is called one at a time.
func (s *Server) Fail(fn func(n int, r *http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fn
}

// Requests is the number of requests so far.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Keys returns the keys of all objects, sorted.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Uploads is the number of uploads that are neither completed nor aborted.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	s.mu.Lock()
	s.requests++
	var f Fault
	if s.fault != nil {
		f = s.fault(s.requests, r)
	}
	s.mu.Unlock()
	answer := reply{status: f.Status, code: f.Code}
	if answer.code == "" {
		answer.code = "InternalError"
	}
	if !f.After && !wait(r, f.Delay) {
		return
	}
	if f.Status == 0 && !f.HangUp || f.After {
		s.mu.Lock()
		got := s.serveLocked(r, body)
		s.mu.Unlock()
		if f.Status == 0 {
			answer = got
		}
	}
	if f.After && !wait(r, f.Delay) {
		return
	}
	if f.HangUp {
		panic(http.ErrAbortHandler)
	}
	answer.write(w, r)
}

// wait waits, and tells whether the client is still there.
func wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
		return false
	}
}

// reply is an answer.
type reply struct {
	status int
	code   string // of an error
	header map[string]string
	body   []byte
}

func (a reply) write(w http.ResponseWriter, r *http.Request) {
	if a.status >= 300 && a.body == nil {
		a.body = fmt.Appendf(nil, "<Error><Code>%s</Code><Message>%s</Message></Error>", a.code, http.StatusText(a.status))
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	if size, ok := a.header["Size"]; ok { // of a HEAD
		w.Header().Del("Size")
		w.Header().Set("Content-Length", size)
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // the client may be gone
	}
}

func failed(status int, code string) reply { return reply{status: status, code: code} }

func answered(v any) reply {
	b, err := xml.Marshal(v)
	if err != nil {
		panic(err)
	}
	return reply{status: http.StatusOK, header: map[string]string{"Content-Type": "application/xml"}, body: b}
}

func (s *Server) serveLocked(r *http.Request, body []byte) reply {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket != s.Bucket {
		return failed(http.StatusNotFound, "NoSuchBucket")
	}
	if sum := r.Header.Get("X-Amz-Content-Sha256"); len(sum) == 64 {
		if got := sha256.Sum256(body); hex.EncodeToString(got[:]) != sum {
			return failed(http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		}
	}
	q := r.URL.Query()
	switch {
	case key == "" && q.Get("list-type") == "2":
		return s.listLocked(q)
	case key == "":
		return failed(http.StatusNotImplemented, "NotImplemented")
	case r.Method == http.MethodPut && q.Has("uploadId"):
		return s.partLocked(q, body)
	case r.Method == http.MethodPut:
		return s.putLocked(r, key, object{data: body, meta: metaOf(r), etag: etagOf(body)})
	case r.Method == http.MethodPost && q.Has("uploads"):
		return s.beginLocked(r, key)
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return s.completeLocked(r, q, body)
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		if s.uploads[q.Get("uploadId")] == nil {
			return failed(http.StatusNotFound, "NoSuchUpload")
		}
		delete(s.uploads, q.Get("uploadId"))
		return reply{status: http.StatusNoContent}
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		return reply{status: http.StatusNoContent}
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return s.getLocked(r, key)
	}
	return failed(http.StatusMethodNotAllowed, "MethodNotAllowed")
}

func etagOf(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // S3's etag
	return hex.EncodeToString(sum[:])
}

const metaPrefix = "X-Amz-Meta-"

func metaOf(r *http.Request) map[string]string {
	out := map[string]string{}
	for k, v := range r.Header {
		if strings.HasPrefix(k, metaPrefix) {
			out[k] = v[0]
		}
	}
	return out
}

func (s *Server) putLocked(r *http.Request, key string, o object) reply {
	if _, ok := s.objects[key]; ok && r.Header.Get("If-None-Match") == "*" {
		return failed(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	o.modified = time.Now()
	s.objects[key] = o
	return reply{status: http.StatusOK, header: map[string]string{"ETag": `"` + o.etag + `"`}}
}

func (s *Server) getLocked(r *http.Request, key string) reply {
	o, ok := s.objects[key]
	if !ok {
		return failed(http.StatusNotFound, "NoSuchKey")
	}
	if want := r.Header.Get("If-Match"); want != "" && strings.Trim(want, `"`) != o.etag {
		return failed(http.StatusPreconditionFailed, "PreconditionFailed")
	}
	header := map[string]string{"ETag": `"` + o.etag + `"`, "Last-Modified": o.modified.UTC().Format(http.TimeFormat), "Accept-Ranges": "bytes"}
	maps.Copy(header, o.meta)
	if r.Method == http.MethodHead {
		header["Size"] = strconv.Itoa(len(o.data))
		return reply{status: http.StatusOK, header: header}
	}
	text, ranged := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ranged {
		return reply{status: http.StatusOK, header: header, body: o.data}
	}
	low, high, _ := strings.Cut(text, "-")
	from, _ := strconv.ParseUint(low, 10, 64)
	to, err := strconv.ParseUint(high, 10, 64)
	if err != nil {
		to = uint64(len(o.data))
	}
	if from >= uint64(len(o.data)) {
		return failed(http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	}
	to = min(to, uint64(len(o.data))-1)
	header["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", from, to, len(o.data))
	return reply{status: http.StatusPartialContent, header: header, body: o.data[from : to+1]}
}

func (s *Server) listLocked(q url.Values) reply {
	type content struct {
		Key          string
		LastModified string
		ETag         string
		Size         int
	}
	type result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name                  string
		Prefix                string
		EncodingType          string
		IsTruncated           bool
		NextContinuationToken string
		KeyCount              int
		Contents              []content
	}
	after := max(q.Get("start-after"), q.Get("continuation-token"))
	limit := s.PageMax
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil {
		limit = min(limit, n)
	}
	escape := func(k string) string { return k }
	out := result{Name: s.Bucket, Prefix: q.Get("prefix"), EncodingType: q.Get("encoding-type")}
	if out.EncodingType == "url" {
		escape = url.QueryEscape
	}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= after {
			continue
		}
		if len(out.Contents) == limit {
			out.IsTruncated, out.NextContinuationToken = true, out.Contents[limit-1].Key
			if out.EncodingType == "url" {
				out.NextContinuationToken, _ = url.QueryUnescape(out.NextContinuationToken)
			}
			break
		}
		o := s.objects[key]
		out.Contents = append(out.Contents, content{Key: escape(key), LastModified: o.modified.UTC().Format(time.RFC3339Nano), ETag: o.etag, Size: len(o.data)})
	}
	out.KeyCount = len(out.Contents)
	return answered(out)
}
