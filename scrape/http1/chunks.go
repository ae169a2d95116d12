package http1

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// chunks removes the framing of a body that comes in chunks (RFC 9112, section
// 7.1). Its zero value is before the first byte.
type chunks struct {
	state  chunkState
	digits int
	left   int64 // of the chunk
	line   int   // bytes of extensions and trailers, of all chunks
	filled bool  // the trailer's line has a byte
}

type chunkState uint8

const (
	inSize     chunkState = iota // in the digits of a chunk's size
	inRest                       // behind them, up to the line's end
	inData                       // in a chunk
	afterData                    // before the CR that follows it
	afterCR                      // before the LF that follows that
	inTrailers                   // behind the last chunk
	ended
)

// chunkLineMax bounds the bytes of extensions and trailers in one body.
const chunkLineMax = HeadMax

var (
	errChunkSize = errors.New("a chunk of the body has no size in hexadecimal digits")
	errChunkEnd  = errors.New("a chunk of the body does not end where its size says")
)

func (c *chunks) done() bool { return c.state == ended }

// take removes framing from p, the bytes that came next: its first n bytes are
// the body's then. rest counts the bytes behind the body's end.
func (c *chunks) take(p []byte) (n, rest int, err error) {
	for i := 0; i < len(p); {
		if c.state == inData {
			part := int(min(c.left, int64(len(p)-i)))
			copy(p[n:], p[i:i+part])
			n, i, c.left = n+part, i+part, c.left-int64(part)
			if c.left == 0 {
				c.state = afterData
			}
			continue
		}
		if c.state == ended {
			return n, len(p) - i, nil
		}
		if err := c.frame(p[i]); err != nil {
			return n, 0, err
		}
		i++
	}
	return n, 0, nil
}

// frame takes one byte of framing.
func (c *chunks) frame(b byte) error {
	switch c.state {
	case inSize:
		return c.size(b)
	case inRest:
		return c.restOfLine(b)
	case afterData:
		switch b {
		case '\r':
			c.state = afterCR
			return nil
		case '\n':
			c.begin()
			return nil
		}
		return errChunkEnd
	case afterCR:
		if b != '\n' {
			return errChunkEnd
		}
		c.begin()
		return nil
	case inTrailers:
		return c.trailer(b)
	}
	return nil
}

func (c *chunks) begin() { c.state, c.digits, c.left = inSize, 0, 0 }

func (c *chunks) size(b byte) error {
	v := bytes.IndexByte([]byte("0123456789abcdef"), b|0x20)
	if b < '0' {
		v = -1 // control characters that the bit makes digits
	}
	switch {
	case v >= 0:
		if c.left > math.MaxInt64>>8 {
			return errors.New("a chunk of the body is larger than any memory")
		}
		c.left, c.digits = c.left<<4|int64(v), c.digits+1
		return nil
	case c.digits == 0:
		return errChunkSize
	}
	c.state = inRest
	return c.restOfLine(b)
}

// restOfLine skips the extensions of a chunk.
func (c *chunks) restOfLine(b byte) error {
	if b != '\n' {
		return c.count()
	}
	c.state = inData
	if c.left == 0 {
		c.state, c.filled = inTrailers, false
	}
	return nil
}

func (c *chunks) trailer(b byte) error {
	switch b {
	case '\n':
		if !c.filled {
			c.state = ended
		}
		c.filled = false
	case '\r':
	default:
		c.filled = true
	}
	return c.count()
}

func (c *chunks) count() error {
	if c.line++; c.line > chunkLineMax {
		return fmt.Errorf("the framing of the body's chunks has more than %d bytes of extensions and trailers", chunkLineMax)
	}
	return nil
}
