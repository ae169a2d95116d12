package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/compact"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// lateKeyPrefix and the start of a span are the key of the mark that says which
// late samples of that span are in blocks, beyond the LateSeq of horizonKey;
// the mark's time is the span's end.
const lateKeyPrefix = "late/"

// marksOf returns which late samples a state has in blocks.
func marksOf(s format.State) late.Marks {
	m := late.Marks{All: s.Horizon[horizonKey].LateSeq}
	for key, mark := range s.Horizon {
		start, ok := strings.CutPrefix(key, lateKeyPrefix)
		if !ok {
			continue
		}
		from, err := strconv.ParseInt(start, 10, 64)
		if err != nil {
			continue // a newer program's: samples are seen twice at worst, with one value
		}
		m.Spans = append(m.Spans, late.SpanMark{From: from, To: mark.Time, Seq: mark.LateSeq})
	}
	slices.SortFunc(m.Spans, func(a, b late.SpanMark) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	return m
}

// mark makes an edit set the head's horizon and which late samples are in
// blocks.
func mark(edit *format.Edit, s format.State, horizon int64, m late.Marks) {
	edit.Horizon = map[string]format.Mark{horizonKey: {Time: horizon, LateSeq: m.All}}
	for _, x := range m.Spans {
		edit.Horizon[lateKeyPrefix+strconv.FormatInt(x.From, 10)] = format.Mark{Time: x.To, LateSeq: x.Seq}
	}
	for key := range s.Horizon {
		if _, kept := edit.Horizon[key]; !kept && strings.HasPrefix(key, lateKeyPrefix) {
			edit.RemovedHorizons = append(edit.RemovedHorizons, key)
		}
	}
	slices.Sort(edit.RemovedHorizons)
}

// lateBounds are those of the late samples that a view of a generation shows.
func (db *DB) lateBounds(g *generation) late.Bounds {
	b := late.Bounds{Marks: g.late(), MinTime: math.MinInt64}
	if keep := db.retention.Load().Time; keep > 0 {
		// What a dropped block had there was accepted first.
		b.MinTime = db.now() - keep.Milliseconds()
	}
	return b
}

// lateSamples are what a buffer has at one moment, and what of it is written.
type lateSamples struct {
	buffer  *late.Buffer
	bounds  late.Bounds
	spans   []late.Span
	last    uint64
	written map[int64]bool // by late.Span.From
}

// takeLate is called with work and edits held.
func (db *DB) takeLate(b *blocks, h *head.Head) *lateSamples {
	l := &lateSamples{buffer: h.Late(), bounds: db.lateBounds(b.newest.Load()), written: map[int64]bool{}}
	l.bounds.Hidden = h.HiddenLate()
	l.spans, l.last = l.buffer.Spans()
	return l
}

// part returns the samples of the span that begins at from, nil without any. It
// is written as soon as the block is that is made of it.
func (l *lateSamples) part(from int64) *late.Part {
	l.written[from] = true
	if p := l.buffer.PartOf(from, l.last, l.bounds); !p.Empty() {
		return p
	}
	return nil
}

// marks returns the marks with which l.written is in blocks.
func (l *lateSamples) marks(old late.Marks) late.Marks {
	next := late.Marks{All: max(old.All, l.last)}
	spans := slices.Clone(old.Spans)
	for _, s := range l.spans {
		if !l.written[s.From] {
			next.All = min(next.All, s.Lowest-1)
			continue
		}
		spans = slices.DeleteFunc(spans, func(x late.SpanMark) bool { return x.From == s.From && x.To == s.To })
		spans = append(spans, late.SpanMark{From: s.From, To: s.To, Seq: l.last})
	}
	next.All = max(next.All, old.All)
	for _, s := range spans {
		if s.Seq > next.All {
			next.Spans = append(next.Spans, s)
		}
	}
	return next
}

// spillDue writes late samples to blocks: all when the buffer is half full, and
// what has waited for a block range beside a span that is cut.
func (db *DB) spillDue(ctx context.Context, b *blocks, h *head.Head) error {
	if db.lateBlocks(b) > db.opts.LateBlocksMax {
		return nil // compaction first
	}
	full, oldest := h.Late().Full(), db.now()-db.opts.BlockRange.Milliseconds()
	return db.spill(ctx, b, h, func(s late.Span) bool { return full || s.To <= h.Horizon() && s.Since <= oldest })
}

// spillFull is spillDue for every tenant.
func (db *DB) spillFull(ctx context.Context) error {
	db.cutting.Lock()
	defer db.cutting.Unlock()
	var errs []error
	for _, b := range db.opened() {
		if err := db.spillDue(ctx, b, db.memory.head(b.id)); err != nil {
			errs = append(errs, fmt.Errorf("tenant %s: %w", b.id, err))
		}
		b.sweep()
	}
	return errors.Join(errs...)
}

// lateBlocks is the number of a tenant's blocks that overlap others.
func (db *DB) lateBlocks(b *blocks) int {
	return planner.Overlapping(b.newest.Load().current.State.Blocks)
}

// spill writes the late samples of each span that is due as a block of its own,
// and adds these blocks in one version.
func (db *DB) spill(ctx context.Context, b *blocks, h *head.Head, due func(late.Span) bool) (err error) {
	if spans, _ := h.Late().Spans(); !slices.ContainsFunc(spans, due) {
		return nil
	}
	b.cuts.Lock()
	defer b.cuts.Unlock()
	if err := b.resume(ctx); err != nil {
		return err
	}
	start := time.Now()
	b.edits.Lock()
	l, seq := db.takeLate(b, h), b.manifest.Current().Number // as in cutSpan
	b.edits.Unlock()
	// What a block has is durable: so must be all that came before it.
	if err := db.memory.log.Sync(ctx); err != nil {
		return fmt.Errorf("write late samples: %w", err)
	}
	var edit format.Edit
	committed := false
	defer func() {
		if !committed {
			for _, m := range edit.Added {
				b.deleteFiles(ctx, m.ID)
			}
		}
	}()
	var samples uint64
	for _, s := range l.spans {
		if !due(s) {
			continue
		}
		p := l.part(s.From)
		if p == nil {
			continue
		}
		meta, err := block.Write(ctx, b.bucket, b.id, ulid.Make(), blockOptions(db.plannerOptions(), false),
			block.Meta{Level: 1, LowestSeq: seq, HighestSeq: seq}, p)
		if errors.Is(err, block.ErrEmpty) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write late samples: %w", err)
		}
		edit.Added = append(edit.Added, meta)
		samples += meta.Stats.Samples
	}
	g := b.newest.Load()
	mark(&edit, g.current.State, g.horizon(), l.marks(g.late()))
	if committed, err = b.commit(ctx, edit); err != nil {
		return fmt.Errorf("add %d blocks of late samples: %w", len(edit.Added), err)
	}
	db.metrics.spilled.Add(float64(samples))
	db.logger.Info("late samples written", "tenant", string(b.id), "blocks", len(edit.Added), "samples", samples,
		"duration_ms", time.Since(start).Milliseconds())
	return nil
}

// writeSpan makes the block of a span: what the head has of it and, where there
// are any, its late samples.
func (db *DB) writeSpan(ctx context.Context, b *blocks, source *head.Snapshot, l *lateSamples, span int64, seq uint64) (block.Meta, error) {
	opts := blockOptions(db.plannerOptions(), false)
	meta := block.Meta{Level: 1, LowestSeq: seq, HighestSeq: seq}
	p := l.part(span)
	if p == nil {
		return block.Write(ctx, b.bucket, b.id, ulid.Make(), opts, meta, visible(source))
	}
	return compact.Write(ctx, b.bucket, b.id, ulid.Make(), opts, meta, visible(source), p)
}

// lateAdopted tells the buffer of late samples what a new version has in
// blocks, and returns what is to be done when no view of an older one is left.
func (b *blocks) lateAdopted(old *generation, c manifest.Current) []func() {
	if old == nil {
		return nil // at the start: see DB.replay
	}
	buffer := b.head().Late()
	m := marksOf(c.State)
	buffer.SetMarks(m)
	buffer.Refuse(planner.Overlapping(c.State.Blocks) > b.lateBlocksMax)
	if m.Last() == old.late().Last() {
		return nil
	}
	return []func(){func() {
		buffer.Drop(m)
		b.head().ForgetDeletions((&generation{current: c}).horizon())
	}}
}

// lateStats counts what there is of late samples, of all tenants.
type lateStats struct {
	bytes           int64
	samples, blocks int
}

func (db *DB) lateStats() (s lateStats) {
	for _, b := range db.opened() {
		buffer := db.memory.head(b.id).Late()
		s.bytes += buffer.UsedBytes()
		s.samples += buffer.Samples()
		s.blocks += db.lateBlocks(b)
	}
	return s
}
