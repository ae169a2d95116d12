package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/nilometer/nilometer/format/record"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/tail"
	"github.com/nilometer/nilometer/tsdb/wal"
)

// storedWindowMs is the width of the windows in which a Tailer reads what is
// stored: their samples are in memory, those of one batch of columns at a time.
const storedWindowMs = 15 * 60_000

// Tail implements storage.Reader. Up to 1 GiB of the log is kept for the Tailer
// while it is open: a cursor that is to outlive it is a Hold's.
func (db *DB) Tail(ctx context.Context, id tenant.ID, from storage.Cursor) (storage.Tailer, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	if err := db.memory.wait(ctx); err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	db.holds.mu.Lock()
	defer db.holds.mu.Unlock()
	if from.IsZero() {
		end := db.memory.log.End()
		from = storage.Cursor{Segment: end.Segment, Offset: uint64(end.Offset)}
		var err error
		if from.From, from.Until, err = db.stored(id); err != nil {
			return nil, fmt.Errorf("tail: %w", err)
		}
	}
	h := &Hold{db: db, tenant: id, budget: holdBytes, cursor: from}
	segments, err := db.memory.log.Segments()
	if err == nil && len(segments) > 0 && from.Segment < segments[0].Number {
		err = fmt.Errorf("the log begins with segment %d, the cursor is in segment %d: begin with the zero cursor, and keep one that is to be used again as a Hold: %w",
			segments[0].Number, from.Segment, wal.ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("tail: %w", err)
	}
	db.holds.loose[h] = struct{}{}
	return &tailer{db: db, hold: h, own: true, cursor: from}, nil
}

// Tail reads on from the cursor.
func (h *Hold) Tail(ctx context.Context) (storage.Tailer, error) {
	if err := h.db.memory.wait(ctx); err != nil {
		return nil, fmt.Errorf("tail cursor %q: %w", h.name, err)
	}
	return &tailer{db: h.db, hold: h, cursor: h.Cursor()}, nil
}

// stored bounds the times of what a tenant has, [from, until).
func (db *DB) stored(id tenant.ID) (from, until int64, err error) {
	b, err := db.tenantBlocks(id)
	if b == nil || err != nil {
		return 0, 0, err
	}
	from, until = math.MaxInt64, math.MinInt64
	for _, m := range b.manifest.Current().State.Blocks {
		from, until = min(from, m.MinTime), max(until, m.MaxTime+1)
	}
	h := db.memory.head(id)
	for _, span := range h.Spans(math.MaxInt64) {
		from = min(from, span)
	}
	if newest, ok := h.Newest(); ok {
		until = max(until, newest+1)
	}
	late, _ := h.Late().Spans()
	for _, s := range late {
		from, until = min(from, s.From), max(until, s.To)
	}
	if from >= until {
		return 0, 0, nil
	}
	return from, until, nil
}

// tailer implements storage.Tailer.
type tailer struct {
	db     *DB
	hold   *Hold
	own    bool           // the hold is the tailer's alone
	cursor storage.Cursor // after what was returned

	queue []storage.TailBatch // what was read; their memory is used again
	ready int                 // of queue
	next  int                 // of ready
	after storage.Cursor      // behind the queue

	window   *window // of what is stored, that is read
	follower *wal.Follower
	state    *tail.State
}

// window is what is stored at some times.
type window struct {
	view  storage.View
	scan  storage.Scan
	until int64
}

// Next implements storage.Tailer.
func (t *tailer) Next(ctx context.Context) (storage.TailBatch, storage.Cursor, error) {
	for t.next == t.ready {
		t.next, t.ready = 0, 0
		read := t.readLog
		if t.cursor.From < t.cursor.Until {
			read = t.readStored
		}
		if err := read(ctx); err != nil {
			return storage.TailBatch{}, t.cursor, fmt.Errorf("tail: %w", err)
		}
		if t.ready == 0 {
			t.moveTo(t.after)
		}
	}
	b := t.queue[t.next]
	switch t.next++; {
	case t.next == t.ready:
		t.moveTo(t.after)
	case t.follower != nil:
		c := t.cursor
		c.Skip++
		t.moveTo(c)
	}
	return b, t.cursor, nil
}

// moveTo sets the place after what was returned.
func (t *tailer) moveTo(c storage.Cursor) {
	t.cursor = c
	if t.own {
		t.hold.mu.Lock()
		t.hold.cursor = c
		t.hold.mu.Unlock()
	}
}

// push returns a batch at the end of the queue, empty.
func (t *tailer) push(time int64) *storage.TailBatch {
	if t.ready == len(t.queue) {
		t.queue = append(t.queue, storage.TailBatch{})
	}
	b := &t.queue[t.ready]
	b.Reset(time)
	t.ready++
	return b
}

// readStored reads some of what is stored before the place in the log.
func (t *tailer) readStored(ctx context.Context) error {
	t.after = t.cursor
	if t.window == nil {
		until := min(floor(t.cursor.From, storedWindowMs)+storedWindowMs, t.cursor.Until)
		v, err := t.db.View(ctx, t.hold.tenant)
		if err != nil {
			return err
		}
		scan, err := v.Select(ctx, storage.Selection{MinTime: t.cursor.From, MaxTime: until - 1})
		if err != nil {
			v.Close()
			return err
		}
		t.window = &window{view: v, scan: scan, until: until}
	}
	var cb storage.ColumnBatch
	ok, err := t.window.scan.Next(ctx, &cb)
	if err != nil {
		return err
	}
	if ok {
		return t.pushColumns(&cb)
	}
	for _, w := range t.window.scan.Warnings() {
		t.db.logger.Warn("what is stored cannot all be read for a cursor", "cursor", t.hold.name, "err", w)
	}
	t.after.From = t.window.until
	if t.after.From >= t.after.Until {
		t.after.From, t.after.Until = 0, 0
	}
	t.closeWindow()
	return nil
}

// pushColumns adds a batch for each time of columns that is in the window.
func (t *tailer) pushColumns(cb *storage.ColumnBatch) error {
	first := sort.Search(len(cb.Times), func(i int) bool { return cb.Times[i] >= t.cursor.From })
	last := sort.Search(len(cb.Times), func(i int) bool { return cb.Times[i] >= t.window.until })
	for _, time := range cb.Times[first:last] {
		t.push(time)
	}
	var values storage.Values
	var samples []column.Sample
	for i, rank := range cb.Ranks {
		lset := t.window.scan.Labels(rank)
		for k := range cb.Tiles {
			tile, c := cb.Tiles[k], &cb.Series(i)[k]
			if c.Kind == storage.None {
				continue
			}
			if err := values.Decode(c, tile.Len()); err != nil {
				return fmt.Errorf("series %s: %w", lset, err)
			}
			samples = values.AppendSamples(samples[:0], cb.Times[tile.From:tile.To], c.Runs)
			p := tile.From
			for _, x := range samples {
				for cb.Times[p] < x.T {
					p++
				}
				if first <= p && p < last {
					t.queue[p-first].Add(lset, x)
				}
			}
		}
	}
	kept := 0
	for i := range t.ready { // times without any sample
		if len(t.queue[i].Labels) > 0 {
			t.queue[kept], t.queue[i] = t.queue[i], t.queue[kept]
			kept++
		}
	}
	t.ready = kept
	return nil
}

// readLog waits for the next frame of the log.
func (t *tailer) readLog(ctx context.Context) error {
	if t.follower == nil {
		t.state, t.follower = tail.New(t.hold.tenant), t.db.memory.log.Follow(t.cursor.Segment)
	}
	x, err := t.follower.Next(ctx)
	if errors.Is(err, wal.ErrGone) {
		return t.jump(err)
	}
	if err != nil {
		return err
	}
	t.after = storage.Cursor{Segment: x.End.Segment, Offset: uint64(x.End.Offset)}
	known := !wal.End{Segment: t.cursor.Segment, Offset: int64(t.cursor.Offset)}.Before(x.End)
	lost, skip := t.state.Lost(), t.cursor.Skip
	err = t.state.Apply(x.Payload, func(b *storage.TailBatch) {
		if known {
			return
		}
		if skip > 0 {
			skip--
			return
		}
		q := t.push(b.Time)
		for i := range b.Labels {
			q.Add(b.Labels[i], b.Sample(i))
		}
	})
	if n := t.state.Lost() - lost; n > 0 || err != nil || x.Skipped {
		t.db.metrics.tailLost.Add(float64(max(n, 1)))
		t.db.logger.Warn("a part of the log cannot be read for a cursor: the groups in it go on with their next base", "cursor", t.hold.name,
			"segment", x.End.Segment, "before_offset", x.End.Offset, "groups", n, "err", err)
	}
	if known {
		t.after = t.cursor
	}
	return nil
}

// jump goes on where the hold says, after segments were deleted that the tailer
// has not read.
func (t *tailer) jump(gone error) error {
	c := t.hold.Cursor()
	if c.Segment <= t.cursor.Segment {
		return gone
	}
	err := t.follower.Close()
	t.follower, t.state = nil, nil
	t.after = c
	return err
}

func (t *tailer) closeWindow() {
	if t.window != nil {
		t.window.scan.Close()
		t.window.view.Close()
		t.window = nil
	}
}

// Close implements storage.Tailer.
func (t *tailer) Close() error {
	t.closeWindow()
	var err error
	if t.follower != nil {
		err = t.follower.Close()
		t.follower = nil
	}
	if t.own {
		err = errors.Join(err, t.hold.Delete())
	}
	return err
}

// timesOf bounds the times of the samples in segments [from, to) of the log, of
// all tenants: [least, beyond).
func timesOf(ctx context.Context, log *wal.Log, from, to uint64) (least, beyond int64, err error) {
	least, beyond = math.MaxInt64, math.MinInt64
	note := func(t int64) { least, beyond = min(least, t), max(beyond, t+1) }
	f := log.Follow(from)
	defer f.Close() //nolint:errcheck // read only
	for {
		x, err := f.NextBefore(ctx, to)
		if err != nil || x.Payload == nil {
			return least, beyond, err
		}
		for payload := x.Payload; len(payload) > 0; {
			typ, body, rest, err := record.ReadRecord(payload)
			if err != nil {
				break // damaged: the tailer could not have read it
			}
			payload = rest
			switch typ {
			case record.TypeBatch:
				if b, err := record.ReadBatch(body); err == nil {
					note(b.Time)
				}
			case record.TypeLate:
				if l, err := record.ReadLate(body); err == nil {
					for _, x := range l.Samples {
						note(x.Time)
					}
				}
			}
		}
	}
}
