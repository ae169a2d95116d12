package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// head is the head of an answer.
type head struct {
	begin, size int // where it begins, and where the body does
	status      int
	keep        bool // the connection may be used again
	chunked     bool
	old         bool  // HTTP/1.0, which has no chunks
	length      int64 // of the body; -1: not said
	// Where values lie, from the head's beginning: of a header that comes more
	// than once the first counts.
	reason, contentType, contentEncoding, location span
}

type span struct{ from, to int }

func (s span) of(p []byte) []byte { return p[s.from:s.to] }

// answer makes the Answer of a head that lies in raw.
func (h *head) answer(raw, body []byte) Answer {
	raw = raw[h.begin:]
	return Answer{
		Status: h.status, Reason: string(h.reason.of(raw)), Location: string(h.location.of(raw)),
		ContentType: h.contentType.of(raw), ContentEncoding: h.contentEncoding.of(raw), Body: body,
	}
}

// parseHead reads the head that is p, with the empty line at its end.
func parseHead(p []byte) (h head, err error) {
	h.length = -1
	line, next := nextLine(p, 0)
	if err := h.statusLine(p, line); err != nil {
		return h, err
	}
	for next < len(p) {
		if line, next = nextLine(p, next); line.from == line.to {
			break
		}
		if err := h.field(p, line); err != nil {
			return h, err
		}
	}
	h.settle()
	return h, nil
}

// headEnd returns the size of the head at the beginning of p, 0 while its end
// did not come. The first seen bytes were looked at before.
func headEnd(p []byte, seen int) int {
	for from := max(0, seen-2); ; {
		_, next := nextLine(p, from)
		switch {
		case next == 0:
			return 0
		case next < len(p) && p[next] == '\n':
			return next + 1
		case next+1 < len(p) && p[next] == '\r' && p[next+1] == '\n':
			return next + 2
		}
		from = next
	}
}

// nextLine returns the line at from, without its end, and where the next one
// begins: 0 when the line's end did not come yet.
func nextLine(p []byte, from int) (line span, next int) {
	i := bytes.IndexByte(p[from:], '\n')
	if i < 0 {
		return span{}, 0
	}
	end := from + i
	next = end + 1
	if end > from && p[end-1] == '\r' {
		end--
	}
	return span{from, end}, next
}

func notHTTP(p []byte) error {
	return fmt.Errorf("the answer is not HTTP/1: it begins with %q", p[:min(len(p), 32)])
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be missing.
func (h *head) statusLine(p []byte, line span) error {
	l := line.of(p)
	if len(l) < len("HTTP/1.1 200") || !bytes.HasPrefix(l, []byte("HTTP/1.")) || l[7] != '0' && l[7] != '1' || l[8] != ' ' ||
		len(l) > 12 && l[12] != ' ' {
		return notHTTP(l)
	}
	status, err := strconv.ParseUint(string(l[9:12]), 10, 16)
	if err != nil || status < 100 || status > 599 {
		return notHTTP(l)
	}
	h.status, h.keep, h.old = int(status), l[7] == '1', l[7] == '0'
	h.reason = span{min(line.from+13, line.to), line.to}
	return nil
}

var (
	errFold     = errors.New("a header of the answer goes on in a second line, which HTTP/1.1 does not allow")
	errField    = errors.New("a line in the head of the answer is no header")
	errLength   = errors.New("the Content-Length of the answer is no number, or there are several")
	errTransfer = errors.New("the answer has a Transfer-Encoding other than chunked")
)

// field reads one header.
func (h *head) field(p []byte, line span) error {
	l := line.of(p)
	if l[0] == ' ' || l[0] == '\t' {
		return errFold
	}
	colon := bytes.IndexByte(l, ':')
	if colon <= 0 || bytes.ContainsAny(l[:colon], " \t") {
		return errField
	}
	value := trim(p, span{line.from + colon + 1, line.to})
	switch name := l[:colon]; {
	case is(name, "content-length"):
		return h.setLength(value.of(p))
	case is(name, "transfer-encoding"):
		if h.old {
			return nil // it means nothing there
		}
		if h.chunked || !bytes.EqualFold(value.of(p), []byte("chunked")) {
			return errTransfer
		}
		h.chunked = true
	case is(name, "connection"):
		h.connection(value.of(p))
	case is(name, "content-type"):
		h.contentType.first(value)
	case is(name, "content-encoding"):
		h.contentEncoding.first(value)
	case is(name, "location"):
		h.location.first(value)
	}
	return nil
}

func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

func (s *span) first(v span) {
	if *s == (span{}) {
		*s = v
	}
}

func trim(p []byte, s span) span {
	for s.from < s.to && (p[s.from] == ' ' || p[s.from] == '\t') {
		s.from++
	}
	for s.from < s.to && (p[s.to-1] == ' ' || p[s.to-1] == '\t') {
		s.to--
	}
	return s
}

func (h *head) setLength(v []byte) error {
	if len(v) == 0 || len(v) > 18 {
		return errLength
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return errLength
		}
		n = n*10 + int64(c-'0')
	}
	if h.length >= 0 && h.length != n {
		return errLength
	}
	h.length = n
	return nil
}

// connection reads the options of a Connection header. That HTTP/1.0 may keep
// connections, too, is not made use of.
func (h *head) connection(v []byte) {
	for option := range bytes.SplitSeq(v, []byte(",")) {
		if bytes.EqualFold(bytes.TrimSpace(option), []byte("close")) {
			h.keep = false
		}
	}
}

// settle decides between what headers contradict.
func (h *head) settle() {
	if h.chunked && h.length >= 0 {
		h.length, h.keep = -1, false // RFC 9112, section 6.3: chunks win, nobody trusts the rest
	}
}
