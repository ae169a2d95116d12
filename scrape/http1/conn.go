package http1

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	// HeadMax is the most bytes of an answer's head.
	HeadMax = 64 << 10
	// OtherMax is about the most that is read of a body that is not asked for,
	// so that its connection can be used again.
	OtherMax = 64 << 10
	// idleMax is how long a connection stays open unused: less than what
	// balancers and servers commonly forget connections after.
	idleMax = 5 * time.Minute
	// firstSize is what the first read of an answer takes: its head, so that a
	// server that lets wait holds no buffer.
	firstSize = 512
	// readMin is the room that a read has at least.
	readMin = 4 << 10
)

// Space gives the memory of an answer.
type Space interface {
	// Grow returns a slice with the bytes of p and room for at least n more. An
	// error of it ends the answer, and is the answer's.
	Grow(p []byte, n int) ([]byte, error)
}

// Answer is what a server answered. Its bytes lie in the Space's memory.
type Answer struct {
	Status int // 200 to 599
	// Reason is what follows the status in its line, and Location that header's
	// value, empty when there is none.
	Reason, Location string
	// ContentType and ContentEncoding are those headers' values; several of them
	// are joined by a comma. They lie in the head's memory.
	ContentType, ContentEncoding []byte
	// Body has no framing any more; it is encoded as ContentEncoding says. With
	// a status other than 200 it may be cut after OtherMax bytes.
	Body []byte
}

// Conn is a connection to one server that is opened when it is needed and kept.
// It is not safe for concurrent use.
type Conn struct {
	dial  func(context.Context) (net.Conn, error)
	conn  net.Conn // nil: none is open
	since time.Time
	first [firstSize]byte
}

// NewConn returns a closed connection to the server that dial connects to.
func NewConn(dial func(context.Context) (net.Conn, error)) *Conn { return &Conn{dial: dial} }

// Close closes the connection; the next request opens another one.
func (c *Conn) Close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is under way
		c.conn = nil
	}
}

// errNothing is the end of a connection before any byte of the answer.
var errNothing = errors.New("the connection ended before an answer")

// Get sends request, a whole GET request, and reads the answer. ctx bounds both,
// with opening a connection where none is kept. After an error the connection is
// closed.
func (c *Conn) Get(ctx context.Context, request []byte, space Space) (Answer, error) {
	if c.conn != nil && time.Since(c.since) > idleMax {
		c.Close()
	}
	kept := c.conn != nil
	a, err := c.try(ctx, request, space)
	if kept && errors.Is(err, errNothing) && ctx.Err() == nil {
		a, err = c.try(ctx, request, space)
	}
	return a, err
}

func (c *Conn) try(ctx context.Context, request []byte, space Space) (a Answer, err error) {
	if c.conn == nil {
		conn, err := c.dial(ctx)
		if err != nil {
			return a, err
		}
		c.conn = newSocket(conn)
	}
	conn := c.conn
	deadline, _ := ctx.Deadline() // none: the zero time, which means the same
	if err := conn.SetDeadline(deadline); err != nil {
		c.Close()
		return a, err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0)) // fails when it is closed, which is as good
	})
	a, keep, err := c.exchange(request, space)
	// A function that has begun may yet spoil the connection.
	if !stop() || !keep || err != nil {
		c.Close()
	}
	c.since = time.Now()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = ctx.Err(); err == nil { // the two clocks race
			err = context.DeadlineExceeded
		}
	}
	return a, err
}

func (c *Conn) exchange(request []byte, space Space) (a Answer, keep bool, err error) {
	_, writeErr := c.conn.Write(request)
	// Who answers without reading may have closed its side: the answer counts.
	n, err := c.conn.Read(c.first[:])
	if n == 0 {
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return a, false, err
		case writeErr != nil:
			err = writeErr
		}
		return a, false, fmt.Errorf("%w: %w", errNothing, err)
	}
	raw, err := space.Grow(nil, readMin)
	if err != nil {
		return a, false, err
	}
	in := reader{conn: c.conn, space: space, raw: append(raw, c.first[:n]...)}
	h, err := in.head()
	if err != nil {
		return a, false, err
	}
	body, err := in.body(&h)
	if err != nil {
		return a, false, err
	}
	return h.answer(in.raw[:h.size], body), h.keep && !in.closed, nil
}

// reader reads one answer.
type reader struct {
	conn   io.Reader
	space  Space
	raw    []byte // what came: heads, and the body behind the last
	closed bool   // nothing more will come
}

// more reads what is there, with room for at least n bytes. At the end of the
// connection closed is set.
func (r *reader) more(n int) (err error) {
	if cap(r.raw)-len(r.raw) < n {
		if r.raw, err = r.space.Grow(r.raw, n); err != nil {
			return err
		}
	}
	n, err = r.conn.Read(r.raw[len(r.raw):cap(r.raw)])
	r.raw = r.raw[:len(r.raw)+n]
	if errors.Is(err, io.EOF) {
		r.closed = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// head reads up to the end of the last head: those of status 1xx come before it.
func (r *reader) head() (head, error) {
	begin, seen := 0, 0
	for {
		if n := headEnd(r.raw[begin:], seen); n > 0 {
			h, err := parseHead(r.raw[begin : begin+n])
			switch {
			case err != nil || h.status >= 200:
				h.begin, h.size = begin, begin+n
				return h, err
			case h.status == 101:
				return h, errors.New("the server switches to a protocol that was not asked for")
			}
			begin, seen = begin+n, 0
			continue
		}
		seen = len(r.raw) - begin
		switch start := r.raw[begin:]; {
		case !bytes.HasPrefix(start, []byte("HTTP/")[:min(len(start), 5)]):
			return head{}, notHTTP(start)
		case r.closed:
			return head{}, fmt.Errorf("the connection ended in the head of the answer: %w", io.ErrUnexpectedEOF)
		case len(r.raw) > HeadMax:
			return head{}, fmt.Errorf("the head of the answer is longer than %d bytes", HeadMax)
		}
		if err := r.more(readMin); err != nil {
			return head{}, err
		}
	}
}

// body reads the body, which begins at h.size, and removes its framing.
func (r *reader) body(h *head) ([]byte, error) {
	switch {
	case h.status == 204 || h.status == 304:
		h.keep = h.keep && len(r.raw) == h.size
		return nil, nil
	case h.chunked:
		return r.chunked(h)
	case h.length >= 0:
		return r.sized(h)
	}
	h.keep = false
	for !r.closed && !r.enough(h) {
		if err := r.more(readMin); err != nil {
			return nil, err
		}
	}
	return r.raw[h.size:], nil
}

// enough tells that the body is cut here, with its connection.
func (r *reader) enough(h *head) bool {
	if h.status == 200 || len(r.raw)-h.size < OtherMax {
		return false
	}
	h.keep = false
	return true
}

func (r *reader) sized(h *head) ([]byte, error) {
	for {
		missing := h.length - int64(len(r.raw)-h.size)
		switch {
		case missing < 0:
			h.keep = false
			return r.raw[h.size : h.size+int(h.length)], nil
		case missing == 0:
			return r.raw[h.size:], nil
		case r.enough(h):
			return r.raw[h.size:], nil
		case r.closed:
			return nil, fmt.Errorf("the connection ended %d bytes before the end of the body: %w", missing, io.ErrUnexpectedEOF)
		}
		// A length is believed as far as bytes came: memory follows what is there.
		room := min(missing, max(int64(len(r.raw)), 16*readMin))
		if err := r.more(int(room)); err != nil {
			return nil, err
		}
	}
}

func (r *reader) chunked(h *head) ([]byte, error) {
	var c chunks
	end := h.size // of the payload; what is behind it has framing yet
	for {
		n, rest, err := c.take(r.raw[end:])
		if err != nil {
			return nil, err
		}
		end += n
		r.raw = r.raw[:end]
		switch {
		case c.done():
			h.keep = h.keep && rest == 0
			return r.raw[h.size:], nil
		case r.enough(h):
			return r.raw[h.size:], nil
		case r.closed:
			return nil, fmt.Errorf("the connection ended in the middle of the body: %w", io.ErrUnexpectedEOF)
		}
		if err := r.more(readMin); err != nil {
			return nil, err
		}
	}
}
