package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/nilometer/nilometer/scrape/inflate"
)

const (
	// bodySizeFirst is what a buffer begins with, bytes.
	bodySizeFirst = 16 << 10
	// bodyKeepMax is the largest buffer kept, and the most that one begins with;
	// larger ones are rare.
	bodyKeepMax = 4 << 20
	// roomMax is what readers ask for behind the bytes that they have.
	roomMax = 64 << 10
)

// bodySizeLimit is the limit of bodies, as errors name it.
const bodySizeLimit = "body_size_limit (bytes)"

// bodies keeps what answers need, for all targets.
type bodies struct {
	budget budget
	raws   sync.Pool // of *[]byte, as plains: bodies as they are sent are smaller
	plains sync.Pool
	gzips  sync.Pool // of *inflate.Decoder
	zstds  sync.Pool // of *zstd.Decoder
	turns  *turns
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

// memory is what one answer takes: as it was sent, and decompressed. Nothing is
// allocated before bytes come.
type memory struct {
	bodies     *bodies
	raw, plain buffer
	sizes      sizes // of the answer, once it is read
	rank       rank  // of the target
	hasTurn    bool  // to be worked on
}

// sizes are those of a target's answer: as it was sent, and of its body.
type sizes struct{ raw, plain int }

// get returns the memory of an answer with a body of at most sizeMax bytes, sent
// or decompressed, after one of the sizes last.
func (b *bodies) get(r rank, sizeMax int64, last sizes) *memory {
	return &memory{
		bodies: b, rank: r,
		raw:   buffer{budget: &b.budget, pool: &b.raws, max: sizeMax, hint: last.raw + last.raw/8},
		plain: buffer{budget: &b.budget, pool: &b.plains, max: sizeMax, hint: last.plain + last.plain/8},
	}
}

// grown is what the buffers have beside those that are kept, in bytes.
func (m *memory) grown() int64 { return m.raw.taken + m.plain.taken }

// turn waits until the scrape is to be worked on.
func (m *memory) turn(ctx context.Context, r rank) (err error) {
	if !m.hasTurn {
		err = m.bodies.turns.take(ctx, r)
		m.hasTurn = err == nil
	}
	return err
}

// free gives all memory back, and the turn.
func (m *memory) free() {
	if m.hasTurn {
		m.hasTurn = false
		m.bodies.turns.give()
	}
	m.raw.free()
	m.plain.free()
}

// buffer grows as bytes come, up to its limit and, beyond what it begins with, as
// far as the budget of all bodies allows.
type buffer struct {
	budget *budget
	pool   *sync.Pool
	max    int64 // bytes
	hint   int   // bytes that are expected
	bytes  []byte
	taken  int64 // of the budget
}

// Grow returns the memory of the buffer, with the bytes of p, which are in it
// already or nowhere yet, and room for at least n more.
func (b *buffer) Grow(p []byte, n int) ([]byte, error) {
	if size := int64(len(p)); size > b.max || int64(n) > b.max-size+roomMax {
		return p, &limitError{what: bodySizeLimit, max: b.max, seen: max(size, b.max+1)}
	}
	if b.bytes == nil {
		b.begin(max(bodySizeFirst, min(max(n, b.hint), bodyKeepMax)))
	}
	if cap(b.bytes)-len(p) < n {
		more := max(cap(b.bytes), n)
		if cap(b.bytes) >= bodyKeepMax { // twice 64 MiB, and the 64 beside them, are felt
			more = max(cap(b.bytes)/4, n)
		}
		// So much has come that the rest will: growing by steps would copy the body
		// four times, and leave as much garbage.
		if likely := int(min(int64(b.hint), b.max+roomMax)) - cap(b.bytes); cap(b.bytes) >= bodyKeepMax && likely > more {
			more = likely
		}
		if !b.budget.take(int64(more)) {
			limit := b.budget.max
			return p, &limitError{what: "the memory for bodies of all scrapes under way (bytes)", max: limit, seen: limit + int64(more)}
		}
		b.taken += int64(more)
		b.bytes = append(make([]byte, 0, cap(b.bytes)+more), p...)
	}
	return append(b.bytes[:0], p...), nil
}

// fits fails for a body that is larger than the limit.
func (b *buffer) fits(body []byte) error {
	if size := int64(len(body)); size > b.max {
		return &limitError{what: bodySizeLimit, max: b.max, seen: size}
	}
	return nil
}

func (b *buffer) free() {
	b.budget.give(b.taken)
	if kept := b.bytes[:0]; b.bytes != nil && cap(kept) <= bodyKeepMax {
		b.pool.Put(&kept)
	}
	b.bytes, b.taken = nil, 0
}

// begin takes memory of at least size bytes that was used before, if there is any.
func (b *buffer) begin(size int) {
	if kept, ok := b.pool.Get().(*[]byte); ok && cap(*kept) >= size {
		b.bytes = *kept
		return
	}
	b.bytes = make([]byte, 0, size)
}

// readAll reads all of r.
func (b *buffer) readAll(r io.Reader) (body []byte, err error) {
	for {
		if len(body) == cap(body) {
			if body, err = b.Grow(body, bytes.MinRead); err != nil {
				return body, err
			}
		}
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, b.fits(body)
		}
		if err != nil {
			return body, fmt.Errorf("read body: %w", err)
		}
	}
}

// inflate decompresses raw, which was sent with the encoding, when it is its turn.
func (m *memory) inflate(ctx context.Context, raw []byte, encoding string) (body []byte, err error) {
	if err := m.turn(ctx, m.rank); err != nil {
		return nil, err
	}
	switch encoding {
	case "", "identity":
		body = raw
	case "gzip":
		body, err = m.gzip(raw)
	case "zstd":
		body, err = m.zstd(raw)
	default:
		return nil, fmt.Errorf("the body has the encoding %q, which was not asked for", encoding)
	}
	if err != nil {
		return body, fmt.Errorf("decompress the body (%s): %w", encoding, err)
	}
	m.sizes = sizes{len(raw), len(body)}
	return body, m.plain.fits(body)
}

func (m *memory) gzip(raw []byte) ([]byte, error) {
	d, ok := m.bodies.gzips.Get().(*inflate.Decoder)
	if !ok {
		d = inflate.NewDecoder()
	}
	defer m.bodies.gzips.Put(d)
	return d.Gzip(nil, raw, m.plain.Grow)
}

// zstdWindowMax bounds the memory of one decompression; encoders for HTTP use at
// most 8 MiB (RFC 8878, section 3.1.1.1.2).
const zstdWindowMax = 8 << 20

func (m *memory) zstd(raw []byte) ([]byte, error) {
	d, ok := m.bodies.zstds.Get().(*zstd.Decoder)
	if !ok {
		var err error
		// Concurrency 1 decodes in the reading goroutine: no goroutine to leak.
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindowMax)); err != nil {
			return nil, err
		}
	}
	if err := d.Reset(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	defer func() {
		if d.Reset(nil) == nil {
			m.bodies.zstds.Put(d)
		}
	}()
	return m.plain.readAll(d)
}
