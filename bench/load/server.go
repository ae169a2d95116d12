package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Encoding is how a Server compresses bodies.
type Encoding string

const (
	// Identity sends plain text, so that what is compared is ingestion alone.
	Identity Encoding = "identity"
	// Gzip compresses for those who accept it, as exporters of some years do.
	Gzip Encoding = "gzip"
	// Auto sends zstd or gzip, what the scraper accepts, as exporters of today.
	Auto Encoding = "auto"
)

// ParseEncoding accepts the names of the encodings.
func ParseEncoding(name string) (Encoding, error) {
	switch e := Encoding(name); e {
	case Identity, Gzip, Auto:
		return e, nil
	}
	return "", fmt.Errorf("encoding %q: identity, gzip and auto are possible", name)
}

const textFormat = "text/plain; version=0.0.4; charset=utf-8"

// Server answers the scrapes of a load at /metrics/CLIENT/TARGET, where CLIENT
// is any name under which it counts what it has served. It is an http.Handler,
// safe for concurrent use.
type Server struct {
	load     *Load
	encoding Encoding
	now      func() time.Time
	bodies   sync.Pool // of *[]byte
	gzips    sync.Pool // of *gzip.Writer
	zstds    sync.Pool // of *zstd.Encoder
	rhythm   *Rhythm
	answers  int // targets from this number on hang

	mu     sync.Mutex // guards served
	served map[string]Served
}

// Served counts what one client was given.
type Served struct {
	Scrapes, Samples, Bytes int64
}

// NewServer serves l; now gives the time that selects the tick.
func NewServer(l *Load, encoding Encoding, now func() time.Time) *Server {
	s := &Server{load: l, encoding: encoding, now: now, served: map[string]Served{}, answers: len(l.targets)}
	s.bodies.New = func() any { return new([]byte) }
	s.gzips.New = func() any { w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed); return w }
	s.zstds.New = func() any {
		w, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		return w
	}
	return s
}

// Watch notes in r when targets are asked. It is called before the first request.
func (s *Server) Watch(r *Rhythm) { s.rhythm = r }

// Hang makes the last n targets take requests and never answer. It is called
// before the first request.
func (s *Server) Hang(n int) { s.answers = len(s.load.targets) - n }

// Served returns what a client has been given so far.
func (s *Server) Served(client string) Served {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served[client]
}

// ServeHTTP answers one scrape with the target's state of this moment.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, target, err := s.parse(r.URL.Path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if s.rhythm != nil {
		s.rhythm.Note(target, s.now())
	}
	if target >= s.answers {
		<-r.Context().Done() // the scraper has given up
		return
	}
	buf := s.bodies.Get().(*[]byte)
	defer s.bodies.Put(buf)
	*buf = s.load.AppendBody((*buf)[:0], target, s.load.Tick(s.now()))
	w.Header().Set("Content-Type", textFormat)
	if err := s.write(w, r.Header.Get("Accept-Encoding"), *buf); err != nil {
		return // the scraper has gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.served[client]
	sum.Scrapes++
	sum.Samples += int64(s.load.opts.Series)
	sum.Bytes += int64(len(*buf))
	s.served[client] = sum
}

func (s *Server) parse(path string) (client string, target int, err error) {
	client, number, ok := strings.Cut(strings.TrimPrefix(path, "/metrics/"), "/")
	target, err = strconv.Atoi(number)
	if !ok || err != nil || target < 0 || target >= len(s.load.targets) || client == "" {
		return "", 0, fmt.Errorf("%s is no target: /metrics/CLIENT/0 … /metrics/CLIENT/%d are", path, len(s.load.targets)-1)
	}
	return client, target, nil
}

func (s *Server) write(w http.ResponseWriter, accepted string, body []byte) error {
	switch {
	case s.encoding == Auto && strings.Contains(accepted, "zstd"):
		w.Header().Set("Content-Encoding", "zstd")
		z := s.zstds.Get().(*zstd.Encoder)
		defer s.zstds.Put(z)
		z.Reset(w)
		if _, err := z.Write(body); err != nil {
			return err
		}
		return z.Close()
	case s.encoding != Identity && strings.Contains(accepted, "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
		z := s.gzips.Get().(*gzip.Writer)
		defer s.gzips.Put(z)
		z.Reset(w)
		if _, err := z.Write(body); err != nil {
			return err
		}
		return z.Close()
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, err := w.Write(body)
	return err
}

// sdGroup is an entry of a file_sd file.
type sdGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// WriteSD writes the file_sd file (JSON) with which a scraper finds all targets
// at address (host:port) and is counted as client. Each target is a group with
// its own __metrics_path__, job and instance.
func (l *Load) WriteSD(w io.Writer, address, client string) error {
	groups := make([]sdGroup, 0, len(l.targets))
	for _, t := range l.targets {
		lbls := map[string]string{"__metrics_path__": fmt.Sprintf("/metrics/%s/%d", client, t.Index)}
		for _, label := range t.Labels {
			lbls[label.Name] = label.Value
		}
		groups = append(groups, sdGroup{Targets: []string{address}, Labels: lbls})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	if err := enc.Encode(groups); err != nil {
		return fmt.Errorf("write targets: %w", err)
	}
	return nil
}
