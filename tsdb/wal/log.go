package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/vfs"
)

// Options are the settings of a log. Zero values are the defaults.
type Options struct {
	// SyncInterval bounds how long an appended payload may stay not durable
	// while nobody waits for it. Default 1 s.
	SyncInterval time.Duration
	// SegmentSizeMax is the size in bytes after which a segment ends, unless more
	// than a fourth of it are bases: these are written again in every segment.
	// Default 128 MiB.
	SegmentSizeMax int64
	// BufferSizeMax bounds the bytes that wait for the disk; over it appends are
	// refused with storage.ErrOverloaded. Default 64 MiB.
	BufferSizeMax int
}

func (o Options) withDefaults() Options {
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Second
	}
	if o.SegmentSizeMax == 0 {
		o.SegmentSizeMax = 128 << 20
	}
	if o.BufferSizeMax == 0 {
		o.BufferSizeMax = 64 << 20
	}
	return o
}

// Position is a place in the stream of payloads: bytes appended so far.
type Position uint64

// Log is an open log. It is safe for concurrent use.
type Log struct {
	fs      vfs.FS
	dir     string
	opts    Options
	metrics *Metrics
	old     []uint64 // segments of earlier processes, ascending

	flushing chan struct{} // holds a token while nobody flushes
	rotation sync.RWMutex  // read-held between Enter and Exit; number changes only under it
	number   atomic.Uint64 // of the segment that is written
	durable  atomic.Uint64 // Position

	mu        sync.Mutex // guards the fields below
	pending   []byte     // payloads not handed to the file yet
	ends      []int      // of the payloads in pending
	appended  Position
	basing    int64 // bytes of bases in pending
	failure   error // why the log refuses appends, nil when it does not
	closed    bool
	damaged   []uint64 // segments in which Replay has found damage
	durableAt ends

	// The rest belongs to who holds the token of flushing.
	file     vfs.File
	size     int64
	bases    int64  // of size, about
	unsynced []byte // frames written to a file whose sync has not succeeded
	// What was taken the last time: room for what comes while the next is.
	spare     []byte
	spareEnds []int
	framer    record.Framer
}

// Open opens the log in a directory, which is made when it is missing, and
// begins a new segment. Segments that are there are kept for Replay.
func Open(fsys vfs.FS, dir string, opts Options, metrics *Metrics) (*Log, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	l := &Log{fs: fsys, dir: dir, opts: opts.withDefaults(), metrics: metrics, flushing: make(chan struct{}, 1)}
	var err error
	if l.old, err = segments(fsys, dir); err != nil {
		return nil, err
	}
	if n := len(l.old); n > 0 {
		l.number.Store(l.old[n-1])
	}
	if err := l.begin(nil); err != nil {
		return nil, err
	}
	l.publish()
	l.flushing <- struct{}{}
	return l, nil
}

// segments lists the numbers of the segment files in a directory, ascending.
func segments(fsys vfs.FS, dir string) ([]uint64, error) {
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list log segments: %w", err)
	}
	var out []uint64
	for _, name := range names {
		if strings.HasSuffix(name, damagedSuffix) {
			continue
		}
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil || name != segmentName(n) {
			return nil, fmt.Errorf("%s is no log segment: move the file away", path.Join(dir, name))
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

// damagedSuffix is added to the names of segments that were damaged, in place
// of their deletion: somebody may want to look at them.
const damagedSuffix = ".damaged"

func segmentName(n uint64) string { return fmt.Sprintf("%08d", n) }

func (l *Log) path(n uint64) string { return path.Join(l.dir, segmentName(n)) }

// begin makes the next segment, durable with its first frames, the one that is
// written. A name that a failed attempt left is passed over.
func (l *Log) begin(first []byte) error {
	number := l.number.Load()
	var f vfs.File
	for {
		number++
		var err error
		if f, err = l.fs.Create(l.path(number)); err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("begin log segment %d: %w", number, err)
		}
	}
	head := append(record.AppendSegmentHeader(nil, number), first...)
	_, err := f.Write(head)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.fs.SyncDir(l.dir)
	}
	if err != nil {
		err = errors.Join(err, f.Close())
		// What is left of it would only be read again: numbers are not reused.
		_ = l.fs.Remove(l.path(number))
		return fmt.Errorf("begin log segment %d: %w", number, err)
	}
	l.file, l.size, l.bases = f, int64(len(head)), 0
	l.number.Store(number)
	return nil
}

// Enter holds the segment that is written until Exit, and returns its number.
// It fails when the log refuses appends; Exit must not be called then.
func (l *Log) Enter() (segment uint64, err error) {
	if err := l.Err(); err != nil {
		return 0, err
	}
	l.rotation.RLock()
	return l.number.Load(), nil
}

// Exit lets the segment go.
func (l *Log) Exit() { l.rotation.RUnlock() }

// Err returns why the log refuses appends, or nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errLocked()
}

func (l *Log) errLocked() error {
	switch {
	case l.closed:
		return storage.ErrClosed
	case l.failure != nil:
		return fmt.Errorf("%w: write-ahead log: %w", storage.ErrReadOnly, l.failure)
	case len(l.pending) > l.opts.BufferSizeMax:
		return fmt.Errorf("%w: %d bytes wait for the disk", storage.ErrOverloaded, len(l.pending))
	}
	return nil
}

// Append adds a payload to the segment, between Enter and Exit, of which so many
// bytes are bases. It is in the log, in order; durable after Wait for the
// position returned.
func (l *Log) Append(payload []byte, bases int) (Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, storage.ErrClosed
	}
	l.pending = append(l.pending, payload...)
	l.ends = append(l.ends, len(l.pending))
	l.appended += Position(len(payload))
	l.basing += int64(bases)
	return l.appended, nil
}

// Wait returns nil when everything up to p is durable. On an error of the disk
// that is not known (storage.ErrUncertain); when ctx ends, neither.
func (l *Log) Wait(ctx context.Context, p Position) error {
	for Position(l.durable.Load()) < p {
		select {
		case <-l.flushing:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", storage.ErrUncertain, context.Cause(ctx))
		}
		var err error
		if Position(l.durable.Load()) < p {
			err = l.flush()
		}
		l.flushing <- struct{}{}
		if err != nil {
			return fmt.Errorf("%w: %w", storage.ErrUncertain, err)
		}
	}
	return nil
}

// Sync makes everything appended so far durable.
func (l *Log) Sync(ctx context.Context) error {
	l.mu.Lock()
	p := l.appended
	l.mu.Unlock()
	return l.Wait(ctx, p)
}

// flush writes and syncs what is pending. The caller holds the token.
func (l *Log) flush() error {
	to, failure := l.take()
	if failure != nil {
		return l.recover(to)
	}
	if err := l.write(to); err != nil {
		return err
	}
	if l.size < max(l.opts.SegmentSizeMax, basesShare*l.bases) {
		return nil
	}
	return l.rotate()
}

// take makes frames of what is pending, and returns where it ends. The caller
// holds the token.
func (l *Log) take() (to Position, failure error) {
	l.mu.Lock()
	payloads, ends, basing := l.pending, l.ends, l.basing
	to, failure = l.appended, l.failure
	l.pending, l.ends, l.basing = l.spare[:0], l.spareEnds[:0], 0
	l.spare, l.spareEnds = nil, nil
	l.mu.Unlock()
	before := len(l.unsynced)
	for from, i := 0, 0; i < len(ends); i++ {
		if i+1 < len(ends) && ends[i+1]-from <= frameBytes {
			continue
		}
		l.unsynced = l.framer.Append(l.unsynced, payloads[from:ends[i]], from == 0)
		from = ends[i]
	}
	n := len(l.unsynced) - before
	l.metrics.bytes.Add(float64(n))
	if cap(payloads) <= spareBytesMax {
		l.spare, l.spareEnds = payloads, ends
	}
	if len(payloads) > 0 {
		l.bases += int64(n) * basing / int64(len(payloads))
	}
	return to, failure
}

// spareBytesMax bounds the memory for pending payloads that is used again.
const spareBytesMax = 4 << 20

// frameBytes is how much goes into a frame with others: compression wants much,
// damage is to cost little.
const frameBytes = 32 << 10

// write makes the frames that were taken durable.
func (l *Log) write(to Position) error {
	begin := time.Now()
	_, err := l.file.Write(l.unsynced)
	if err == nil {
		err = l.file.Sync()
	}
	l.metrics.syncs.Observe(time.Since(begin).Seconds())
	if err != nil {
		l.fail(err)
		return err
	}
	l.size += int64(len(l.unsynced))
	l.done(to)
	return nil
}

// basesShare is one by the share of a segment that bases take at most.
const basesShare = 4

func (l *Log) done(to Position) {
	l.unsynced = l.unsynced[:0]
	l.durable.Store(uint64(to))
	l.publish()
}

// fail stops the use of the file (I2).
func (l *Log) fail(err error) {
	l.metrics.failures.Inc()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	l.mu.Lock()
	l.failure = err
	l.mu.Unlock()
}

// rotate ends the segment, with all that was made for it.
func (l *Log) rotate() error {
	l.rotation.Lock()
	defer l.rotation.Unlock()
	to, failure := l.take()
	if failure != nil {
		return nil // closed meanwhile, or about to be: what was waited for is durable
	}
	if len(l.unsynced) > 0 {
		if err := l.write(to); err != nil {
			return nil // likewise
		}
	}
	old := l.file
	if err := l.begin(nil); err != nil {
		l.fail(err)
		return nil // what was waited for is durable
	}
	l.publish()
	return old.Close()
}

// recover tries to go on in a new segment that begins with what is not durable
// (I2). The caller holds the token.
func (l *Log) recover(to Position) error {
	l.rotation.Lock()
	defer l.rotation.Unlock()
	record.Unbegin(l.unsynced) // they go into one write with the header
	if err := l.begin(l.unsynced); err != nil {
		l.mu.Lock()
		l.failure = err
		l.mu.Unlock()
		return err
	}
	l.done(to)
	l.mu.Lock()
	l.failure = nil
	l.mu.Unlock()
	l.metrics.recoveries.Inc()
	return nil
}

// Run syncs at the interval until ctx ends, and tries to go on after a failure.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(l.opts.SyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		l.mu.Lock()
		idle := len(l.pending) == 0 && l.failure == nil
		l.mu.Unlock()
		if idle {
			continue
		}
		select {
		case <-l.flushing:
		case <-ctx.Done():
			return nil
		}
		_ = l.flush() // remembered as failure, and tried again at the next tick
		l.flushing <- struct{}{}
	}
}

// Segment is the number of the segment that is written, or of the one before it
// while that is being made. It never waits, so that it can be asked between
// Enter and Exit: there a read lock taken again would wait for whoever waits for
// Exit.
func (l *Log) Segment() uint64 { return l.number.Load() }

// DropBefore deletes the segments under a number. One in which Replay has found
// damage is kept, with ".damaged" behind its name.
func (l *Log) DropBefore(number uint64) error {
	all, err := segments(l.fs, l.dir)
	if err != nil {
		return err
	}
	current := l.Segment()
	for _, n := range all {
		if n >= number || n >= current {
			break
		}
		err := l.drop(n)
		if err == nil { // no crash brings it back behind a hole
			err = l.fs.SyncDir(l.dir)
		}
		if err != nil {
			return fmt.Errorf("drop log segment %d: %w", n, err)
		}
	}
	return nil
}

func (l *Log) drop(n uint64) error {
	l.mu.Lock()
	aside := slices.Contains(l.damaged, n)
	l.mu.Unlock()
	if aside {
		return l.fs.Rename(l.path(n), l.path(n)+damagedSuffix)
	}
	return l.fs.Remove(l.path(n))
}

// Close syncs and closes the log; later calls fail with storage.ErrClosed.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	<-l.flushing
	err := l.flush()
	l.publish() // who follows finds it closed
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	if err != nil {
		return fmt.Errorf("close write-ahead log: %w", err)
	}
	return nil
}
