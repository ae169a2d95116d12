package httpapi

import (
	"net/http"
	"time"
)

// pieceBytes is how much of an answer is encoded before it is sent: an answer
// in JSON is twice as large as in memory, and is never there as a whole.
const pieceBytes = 64 << 10

// pieceTimeout is how long a client may take for a piece. An answer counts as
// memory of queries until it is sent, so one who does not read must not keep it.
const pieceTimeout = time.Minute

// sink sends an answer piece by piece.
type sink struct {
	w   http.ResponseWriter
	err error // the first; after it everything is dropped
}

// pass sends dst if it is long enough, and returns what is to be appended to.
func (s *sink) pass(dst []byte) []byte {
	if len(dst) < pieceBytes {
		return dst
	}
	s.send(dst)
	return dst[:0]
}

// broken tells whether the client has gone: what follows need not be encoded.
func (s *sink) broken() bool { return s.err != nil }

func (s *sink) send(piece []byte) {
	if s.err != nil {
		return
	}
	control := http.NewResponseController(s.w)
	// A writer that knows no deadlines has none.
	_ = control.SetWriteDeadline(time.Now().Add(pieceTimeout))
	_, s.err = s.w.Write(piece)
	_ = control.SetWriteDeadline(time.Time{}) // the next request on the connection may come much later
}
