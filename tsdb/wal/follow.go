package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/vfs"
)

// ErrGone: a segment that is to be followed was deleted.
var ErrGone = errors.New("the segment of the log was deleted")

// End is a place in the log: all frames before it are durable.
type End struct {
	Segment uint64
	Offset  int64 // in the segment's file, bytes
}

// Before reports whether e is before o.
func (e End) Before(o End) bool {
	return e.Segment < o.Segment || e.Segment == o.Segment && e.Offset < o.Offset
}

// ends is the durable end of the log and a channel that is closed when it moves.
type ends struct {
	at    End
	moved chan struct{}
}

// publish moves the durable end to that of the segment that is written. The
// caller holds the token of flushing, or is alone.
func (l *Log) publish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.durableAt.moved != nil {
		close(l.durableAt.moved)
	}
	l.durableAt = ends{End{l.number.Load(), l.size}, make(chan struct{})}
}

func (l *Log) durableEnd() (ends, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durableAt, l.closed
}

// End returns the end of what is durable.
func (l *Log) End() End {
	e, _ := l.durableEnd()
	return e.at
}

// Segment of the log with its size in bytes, as far as it is written.
type SegmentSize struct {
	Number uint64
	Bytes  int64
}

// Segments lists the segments there are, ascending.
func (l *Log) Segments() ([]SegmentSize, error) {
	numbers, err := segments(l.fs, l.dir)
	if err != nil {
		return nil, err
	}
	out := make([]SegmentSize, 0, len(numbers))
	for _, n := range numbers {
		info, err := l.fs.Stat(l.path(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped since
		}
		if err != nil {
			return nil, fmt.Errorf("log segment %d: %w", n, err)
		}
		out = append(out, SegmentSize{n, info.Size()})
	}
	return out, nil
}

// Frame is what a Follower hands out.
type Frame struct {
	// Payload is valid until the next call of Next.
	Payload []byte
	// End is the place after the frame.
	End End
	// Skipped: something before the frame could not be read.
	Skipped bool
}

// Follower reads the log from the beginning of a segment on, and goes on with
// what is appended, as soon as it is durable. One goroutine uses it.
type Follower struct {
	log     *Log
	at      End
	mapping vfs.Mapping // of at's segment, nil before it is needed
	whole   bool        // mapping has all that will ever be in the segment
	frames  record.Unframer
	skipped bool
}

// Follow returns a Follower that begins with a segment.
func (l *Log) Follow(segment uint64) *Follower { return &Follower{log: l, at: End{Segment: segment}} }

// Next waits for the next frame. It fails with ErrGone when the segment was
// deleted before it was reached, with storage.ErrClosed when the log is closed
// and has nothing more, and with ctx's cause.
func (f *Follower) Next(ctx context.Context) (Frame, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Frame{}, context.Cause(ctx)
		}
		e, closed := f.log.durableEnd()
		if x, ok, err := f.read(e.at); ok || err != nil {
			return x, err
		}
		if f.at.Segment < e.at.Segment {
			if err := f.following(); err != nil {
				return Frame{}, err
			}
			continue
		}
		if closed {
			return Frame{}, f.log.Err()
		}
		select {
		case <-e.moved:
		case <-ctx.Done():
		}
	}
}

// NextBefore returns the next frame of the segments before one, which are
// complete: of those that there are. Without another its Payload is nil.
func (f *Follower) NextBefore(ctx context.Context, segment uint64) (Frame, error) {
	for f.at.Segment < segment {
		if err := ctx.Err(); err != nil {
			return Frame{}, context.Cause(ctx)
		}
		if x, ok, err := f.read(End{Segment: segment}); ok || err != nil && !errors.Is(err, ErrGone) {
			return x, err
		}
		if err := f.following(); err != nil && !errors.Is(err, ErrGone) {
			return Frame{}, err
		}
	}
	return Frame{}, nil
}

// read returns the next frame of the segment, if there is one before its end:
// that of the file, or what is durable of the segment that is written.
func (f *Follower) read(end End) (Frame, bool, error) {
	if err := f.cover(end); err != nil {
		return Frame{}, false, err
	}
	data := f.mapping.Bytes()
	if f.at.Segment == end.Segment {
		data = data[:min(end.Offset, int64(len(data)))]
	}
	if f.at.Offset == 0 {
		n, err := record.ReadSegmentHeader(data)
		switch {
		case errors.Is(err, record.ErrTorn):
			return Frame{}, false, nil // nothing was ever in it
		case errors.Is(err, record.ErrFuture):
			return Frame{}, false, fmt.Errorf("log segment %d: %w", f.at.Segment, err)
		case err == nil && n == f.at.Segment:
			f.at.Offset = int64(record.SegmentHeaderSize)
		default:
			f.skip(data)
		}
	}
	for f.at.Offset < int64(len(data)) {
		payload, size, err := f.frames.Read(data[f.at.Offset:])
		if errors.Is(err, record.ErrFuture) {
			return Frame{}, false, fmt.Errorf("log segment %d at offset %d: %w", f.at.Segment, f.at.Offset, err)
		}
		if err != nil {
			f.skip(data)
			continue
		}
		f.at.Offset += int64(size)
		x := Frame{Payload: payload, End: f.at, Skipped: f.skipped}
		f.skipped = false
		return x, true, nil
	}
	return Frame{}, false, nil
}

// skip goes on at the next whole frame, or at the end.
func (f *Follower) skip(data []byte) {
	if next := resume(data, int(f.at.Offset)); next >= 0 {
		f.at.Offset, f.skipped = int64(next), true
		return
	}
	f.at.Offset = int64(len(data))
}

// cover maps the segment as far as it is needed.
func (f *Follower) cover(end End) error {
	ended := f.at.Segment != end.Segment
	if f.mapping != nil && (f.whole || !ended && int64(len(f.mapping.Bytes())) >= end.Offset) {
		return nil
	}
	m, err := f.log.fs.Map(f.log.path(f.at.Segment))
	if errors.Is(err, fs.ErrNotExist) {
		if f.mapping != nil {
			f.whole = true // deleted, and what was durable of it is mapped
			return nil
		}
		return fmt.Errorf("log segment %d: %w", f.at.Segment, ErrGone)
	}
	if err != nil {
		return fmt.Errorf("follow log segment %d: %w", f.at.Segment, err)
	}
	if f.mapping != nil {
		err = f.mapping.Close()
	}
	f.mapping, f.whole = m, ended
	return err
}

// following goes on to the next segment that there is.
func (f *Follower) following() error {
	numbers, err := segments(f.log.fs, f.log.dir)
	if err != nil {
		return err
	}
	next := f.log.Segment()
	gone := len(numbers) > 0 && numbers[0] > f.at.Segment+1
	for i := len(numbers) - 1; i >= 0 && numbers[i] > f.at.Segment; i-- {
		next = min(next, numbers[i])
	}
	err = f.Close()
	f.at, f.whole = End{Segment: next}, false
	if gone { // the one that followed, unless its number was never used
		return errors.Join(fmt.Errorf("log segment %d: %w", f.at.Segment, ErrGone), err)
	}
	return err
}

// Close lets go of the segment.
func (f *Follower) Close() error {
	if f.mapping == nil {
		return nil
	}
	m := f.mapping
	f.mapping = nil
	return m.Close()
}
