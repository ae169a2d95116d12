package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nilometer/nilometer/format/record"
)

// Damage is something in a segment that could not be read.
type Damage struct {
	Segment uint64
	Offset  int64 // -1: a record inside a frame that is whole
	Err     error
}

// String names segment, offset and fault.
func (d Damage) String() string {
	if d.Offset < 0 {
		return fmt.Sprintf("log segment %d: %v", d.Segment, d.Err)
	}
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
	var frames record.Unframer
	for _, n := range l.old {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		if err := l.replaySegment(n, &frames, &rep, fn); err != nil {
			return rep, fmt.Errorf("replay log segment %d: %w", n, err)
		}
	}
	return rep, nil
}

func (l *Log) replaySegment(n uint64, frames *record.Unframer, rep *Report, fn func(uint64, []byte) error) error {
	m, err := l.fs.Map(l.path(n))
	if err != nil {
		return err
	}
	defer m.Close() //nolint:errcheck // read only
	data := m.Bytes()
	rep.Segments++
	rep.Bytes += int64(len(data))
	number, err := record.ReadSegmentHeader(data)
	switch {
	case errors.Is(err, record.ErrTorn):
		return nil // a crash during its making: nothing was ever in it
	case errors.Is(err, record.ErrFuture):
		return err
	case err == nil && number != n:
		err = &record.CorruptError{What: fmt.Sprintf("the header says segment %d", number), Offset: 8}
	}
	pos := record.SegmentHeaderSize
	if err != nil { // the frames have checksums of their own
		if pos = resume(data, 0); pos < 0 {
			return nil // a crash during its making, too
		}
		l.damage(rep, n, 0, err)
	}
	for pos < len(data) {
		payload, size, err := frames.Read(data[pos:])
		if errors.Is(err, record.ErrFuture) {
			return fmt.Errorf("at offset %d: %w", pos, err)
		}
		if err != nil {
			next := resume(data, pos)
			if next < 0 {
				return nil
			}
			l.damage(rep, n, pos, err)
			pos = next
			continue
		}
		rep.Frames++
		if err := fn(n, payload); err != nil {
			return err
		}
		pos += size
	}
	return nil
}

// resume returns where reading goes on after a frame at pos that cannot be
// read: at the next whole frame, if that or a later one proves that all of this
// was durable once. Without proof it is the end that a crash has left, and
// resume returns -1: nothing from pos on was acknowledged.
func resume(data []byte, pos int) int {
	first := -1
	var frames record.Unframer
	for {
		step := record.FindFrame(data[pos:])
		if step < 0 {
			return -1
		}
		pos += step
		if first < 0 {
			first = pos
		}
		for pos < len(data) {
			_, size, err := frames.Read(data[pos:])
			if err != nil {
				break
			}
			if record.Begins(data[pos:]) {
				return first
			}
			pos += size
		}
		if pos >= len(data) {
			return -1
		}
	}
}

// damage notes a fault, and that the segment is to be kept aside when it is no
// longer needed.
func (l *Log) damage(rep *Report, n uint64, pos int, err error) {
	l.mu.Lock()
	if !slices.Contains(l.damaged, n) {
		l.damaged = append(l.damaged, n)
	}
	l.mu.Unlock()
	rep.damaged(n, pos, err)
}

func (r *Report) damaged(n uint64, pos int, err error) {
	if len(r.Damage) < damageMax {
		r.Damage = append(r.Damage, Damage{Segment: n, Offset: int64(pos), Err: err})
	}
}
