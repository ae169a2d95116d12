package wal

import (
	"context"
	"errors"
	"fmt"

	"github.com/nilometer/nilometer/format/record"
)

// Damage is something in a segment that could not be read.
type Damage struct {
	Segment uint64
	Offset  int64
	Err     error
}

// String names segment, offset and fault.
func (d Damage) String() string {
	return fmt.Sprintf("log segment %d at offset %d: %v", d.Segment, d.Offset, d.Err)
}

// Report is what Replay met.
type Report struct {
	Segments int
	Frames   int
	Bytes    int64
	Damage   []Damage // at most damageMax
}

// damageMax bounds the faults that are kept.
const damageMax = 1000

// Replay calls fn with the payload of every frame of earlier processes'
// segments, in order. A payload is valid during the call. Damaged frames are
// left out and reported; the end that a crash has cut off is no damage.
func (l *Log) Replay(ctx context.Context, fn func(segment uint64, payload []byte) error) (Report, error) {
	var rep Report
	var buf []byte
	for _, n := range l.old {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		var err error
		if buf, err = l.replaySegment(n, buf, &rep, fn); err != nil {
			return rep, fmt.Errorf("replay log segment %d: %w", n, err)
		}
	}
	return rep, nil
}

func (l *Log) replaySegment(n uint64, buf []byte, rep *Report, fn func(uint64, []byte) error) ([]byte, error) {
	m, err := l.fs.Map(l.path(n))
	if err != nil {
		return buf, err
	}
	defer m.Close() //nolint:errcheck // read only
	data := m.Bytes()
	rep.Segments++
	rep.Bytes += int64(len(data))
	number, err := record.ReadSegmentHeader(data)
	if errors.Is(err, record.ErrTorn) {
		return buf, nil // a crash during its making: nothing was ever in it
	}
	if err == nil && number != n {
		err = &record.CorruptError{What: fmt.Sprintf("the header says segment %d", number), Offset: 8}
	}
	if err != nil {
		rep.damaged(n, 0, err)
		return buf, nil
	}
	for pos := record.SegmentHeaderSize; pos < len(data); {
		payload, size, err := record.ReadFrame(data[pos:], buf)
		switch {
		case errors.Is(err, record.ErrTorn):
			return buf, nil
		case err != nil && size == 0:
			rep.damaged(n, pos, err)
			return buf, nil // no way to find the next frame
		case err != nil:
			rep.damaged(n, pos, err)
			pos += size
			continue
		}
		if cap(payload) > cap(buf) && size < len(payload) {
			buf = payload[:0]
		}
		rep.Frames++
		if err := fn(n, payload); err != nil {
			return buf, err
		}
		pos += size
	}
	return buf, nil
}

func (r *Report) damaged(n uint64, pos int, err error) {
	if len(r.Damage) < damageMax {
		r.Damage = append(r.Damage, Damage{Segment: n, Offset: int64(pos), Err: err})
	}
}
