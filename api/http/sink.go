package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/nilometer/nilometer/api/deflate"
)

// pieceBytes is how much of an answer is encoded before it is sent: an answer
// in JSON is twice as large as in memory, and is never there as a whole.
const pieceBytes = 64 << 10

// pieceTimeout is how long a client may take for a piece. An answer counts as
// memory of queries until it is sent, so one who does not read must not keep it.
const pieceTimeout = time.Minute

// sink sends an answer piece by piece.
type sink struct {
	w     http.ResponseWriter
	zip   *deflate.Writer // onto w; nil: pieces are sent as they are
	err   error           // the first; after it everything is dropped
	paper *paper
}

// paper is the memory in which an answer is written and compressed, for one answer
// after the other: to get it anew for each takes small ones a tenth of their time.
type paper struct {
	body       []byte
	zip        *deflate.Writer
	own, other written
}

// paperBytesMax is how long pieces may have become on paper that is kept.
const paperBytesMax = 8 * pieceBytes

// takePaper returns blank paper.
func (a *API) takePaper() *paper {
	p, ok := a.papers.Get().(*paper)
	if !ok {
		return &paper{zip: deflate.NewWriter(nil)}
	}
	return p
}

// keepPaper keeps paper for another answer. None of it is in use any more.
func (a *API) keepPaper(p *paper) {
	if max(cap(p.body), cap(p.own.text), cap(p.other.text)) <= paperBytesMax {
		p.zip.Reset(nil)
		a.papers.Put(p)
	}
}

// compressed makes the sink of an answer that is mostly rows of points compress
// it itself, for a client that can read that. What stands around the API does it
// for all others, at several times the cost.
func (s *sink) compressed(r *http.Request) {
	if !takesGzip(r) || beside(r) {
		return
	}
	s.w.Header().Set("Content-Encoding", "gzip")
	s.zip = s.paper.zip
	s.zip.Reset(s.w)
}

// takesGzip tells whether a client has said that it reads gzip. One that wants
// something else as much, or wants it less than others, is none of ours.
func takesGzip(r *http.Request) bool {
	if r.Method == http.MethodHead {
		return false
	}
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(coding) == "gzip" {
			return true
		}
	}
	return false
}

// pass sends dst if it is long enough, and returns what is to be appended to. A
// nil sink keeps all.
func (s *sink) pass(dst []byte) []byte {
	if s == nil || len(dst) < pieceBytes {
		return dst
	}
	s.send(dst)
	return dst[:0]
}

// broken tells whether the client has gone: what follows need not be encoded.
func (s *sink) broken() bool { return s != nil && s.err != nil }

func (s *sink) send(piece []byte) {
	s.inTime(func() (err error) {
		if s.zip != nil {
			_, err = s.zip.Write(piece)
		} else {
			_, err = s.w.Write(piece)
		}
		return err
	})
}

// sendWritten is send of what may be compressed already.
func (s *sink) sendWritten(w *written) {
	if s.zip == nil {
		s.send(w.text)
		return
	}
	s.inTime(func() error { return s.zip.Append(&w.part) })
}

// inTime writes as long as the client takes it.
func (s *sink) inTime(write func() error) {
	if s.err != nil {
		return
	}
	control := http.NewResponseController(s.w)
	// A writer that knows no deadlines has none.
	_ = control.SetWriteDeadline(time.Now().Add(pieceTimeout))
	s.err = write()
	_ = control.SetWriteDeadline(time.Time{}) // the next request on the connection may come much later
}

// end sends the last piece.
func (s *sink) end(piece []byte) error {
	s.send(piece)
	if s.zip != nil && s.err == nil {
		s.err = s.zip.Close()
	}
	return s.err
}
