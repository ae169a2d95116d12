// Package planner decides which blocks are merged, rewritten or dropped next.
// It is pure: a state of the manifest, a time and options go in, jobs come
// out. tsdb/compact executes them.
//
// Invariants:
//
//   - I1: the jobs of one plan share no block: they can run in any order, and
//     at the same time.
//   - I2: a plan over the state after all its jobs ran gets shorter until it is
//     empty: compaction ends when nothing is written.
//   - I3: the order of acceptance is kept where blocks overlap: the result of a
//     job stands to each block that is not among its sources, and may be set
//     aside or of another retention, as every source does that overlaps it.
package planner

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/format/manifest"
)

// Kind says what a job does.
type Kind uint8

// The kinds of jobs, in order of urgency.
const (
	// Drop removes blocks that are older than the retention, or too many.
	Drop Kind = iota + 1
	// Overlap merges blocks whose ranges overlap.
	Overlap
	// Rewrite writes a block without what tombstones hide.
	Rewrite
	// Level merges the blocks of a closed range into one of the next level.
	Level
)

// String returns the kind as a metric's label value.
func (k Kind) String() string {
	switch k {
	case Drop:
		return "drop"
	case Overlap:
		return "overlap"
	case Rewrite:
		return "rewrite"
	case Level:
		return "level"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Job is one unit of work.
type Job struct {
	Kind Kind
	// Blocks are its sources, in order of acceptance.
	Blocks []manifest.Block
	// Tombstones are those that the result must not show.
	Tombstones []manifest.Tombstone
	// TombstoneSeq is the newest tombstone that was planned with: the result has
	// applied everything up to it.
	TombstoneSeq uint64
	// Cause says why a Drop is made, as a metric's label value: "time" or "size".
	Cause string
	// Reason says why, for logs: "older than 720h0m0s".
	Reason string
}

// IDs returns the ids of the sources.
func (j Job) IDs() []ulid.ULID {
	ids := make([]ulid.ULID, len(j.Blocks))
	for i, b := range j.Blocks {
		ids[i] = b.ID
	}
	return ids
}

// Options are settings; the zero value means defaults.
type Options struct {
	// BlockRangeMs is the range of a block of level 1; default 2 h.
	BlockRangeMs int64
	// RetentionMs is the age after which blocks are dropped whole; 0 keeps all.
	RetentionMs int64
	// RetentionBytes is the size over which the oldest blocks are dropped; 0
	// does not bound it.
	RetentionBytes uint64
	// RewriteMaxMs is how long a deletion may wait for its blocks to be written
	// without its samples, if no merge does so before; 0: not at all. A block of
	// which HiddenMax is hidden does not wait.
	RewriteMaxMs int64
	// Hidden is the share of a block's samples that are not to be seen, 0 to 1,
	// as far as somebody knows.
	Hidden map[ulid.ULID]float64
	// DropsOnly plans what gives room, and nothing that takes it.
	DropsOnly bool
	// Expired is the share of a block's samples that are older than rules allow
	// for their series, 0 to 1. From HiddenMax on the block is written anew.
	Expired map[ulid.ULID]float64
	// RangeMaxMs bounds the range of a merged block; default a tenth of the
	// retention, at most 27 block ranges (54 h).
	RangeMaxMs int64
	// JobBytesMax bounds the sources of one level merge; default 64 GiB.
	JobBytesMax uint64
	// JobBlocksMax bounds the number of sources of one job; default 64.
	JobBlocksMax int
	// SetAside are blocks that cannot be read: they are dropped with their time,
	// and no job reads them. As their files may be restored, they keep their place
	// in the order of acceptance (I3).
	SetAside map[ulid.ULID]bool
	// Final takes every range for closed, merges into the largest at once, and
	// rewrites what was cut and never compacted: no more data is to come soon.
	Final bool
}

// HiddenMax is the share of a block's samples from which on it is written anew
// without waiting: so what is written is at most nine times what is gained.
const HiddenMax = 0.1

// levelFactor is the ratio of one range to the next.
const levelFactor = 3

func (o Options) withDefaults() Options {
	if o.BlockRangeMs <= 0 {
		o.BlockRangeMs = (2 * time.Hour).Milliseconds()
	}
	if o.RangeMaxMs <= 0 {
		o.RangeMaxMs = 27 * o.BlockRangeMs
		if o.RetentionMs > 0 {
			o.RangeMaxMs = min(o.RangeMaxMs, o.RetentionMs/10)
		}
	}
	if o.JobBytesMax == 0 {
		o.JobBytesMax = 64 << 30
	}
	if o.JobBlocksMax <= 1 {
		o.JobBlocksMax = 64
	}
	return o
}

// Ranges returns the ranges of levels, ms: the block range, then three times
// the one before while RangeMaxMs allows.
func (o Options) Ranges() []int64 {
	o = o.withDefaults()
	ranges := []int64{o.BlockRangeMs}
	for r := o.BlockRangeMs * levelFactor; r <= o.RangeMaxMs; r *= levelFactor {
		ranges = append(ranges, r)
	}
	return ranges
}

// Plan returns the next jobs at now (ms). Callers run them, or some of them,
// and plan again.
func Plan(s manifest.State, nowMs int64, o Options) []Job {
	o = o.withDefaults()
	p := plan{options: o, now: nowMs, tombstones: s.Tombstones, taken: map[ulid.ULID]bool{}}
	p.retention(s.Blocks)
	if o.DropsOnly {
		return p.jobs
	}
	left := slices.DeleteFunc(slices.Clone(s.Blocks), func(b manifest.Block) bool { return p.taken[b.ID] })
	for _, blocks := range byResolution(left) {
		p.order = blocks
		free := slices.DeleteFunc(slices.Clone(blocks), func(b manifest.Block) bool { return o.SetAside[b.ID] })
		alike := byExemption(free)
		p.overlaps(alike[0])
		p.overlaps(alike[1])
		p.rewrites(free)
		p.levels(alike[0])
		p.levels(alike[1])
	}
	return p.jobs
}

type plan struct {
	options    Options
	now        int64
	tombstones []manifest.Tombstone
	taken      map[ulid.ULID]bool
	order      []manifest.Block // all that stay, of the resolution at hand
	jobs       []Job
}

func (p *plan) add(k Kind, reason string, blocks []manifest.Block) {
	blocks = slices.Clone(blocks)
	slices.SortFunc(blocks, CompareAcceptance)
	j := Job{Kind: k, Blocks: blocks, Reason: reason}
	for _, b := range blocks {
		p.taken[b.ID] = true
	}
	if k != Drop {
		for _, t := range p.tombstones {
			j.TombstoneSeq = max(j.TombstoneSeq, t.Seq)
			if slices.ContainsFunc(blocks, func(b manifest.Block) bool { return Hides(t, b) }) {
				j.Tombstones = append(j.Tombstones, t)
			}
		}
	}
	p.jobs = append(p.jobs, j)
}

// CompareAcceptance orders blocks by when their samples were accepted: of two
// values for one timestamp that of the smaller block wins (N1).
func CompareAcceptance(a, b manifest.Block) int {
	return cmp.Or(cmp.Compare(a.LowestSeq, b.LowestSeq), cmp.Compare(a.HighestSeq, b.HighestSeq), a.ID.Compare(b.ID))
}

// Hides reports whether a tombstone may hide samples that are still in a
// block.
func Hides(t manifest.Tombstone, b manifest.Block) bool {
	return t.Seq > b.TombstonesApplied && b.LowestSeq < t.Seq && t.MinTime <= b.MaxTime && t.MaxTime >= b.MinTime
}

// Waits tells whether a tombstone may hide samples in any block of a state.
func Waits(s manifest.State, t manifest.Tombstone) bool {
	return slices.ContainsFunc(s.Blocks, func(b manifest.Block) bool { return Hides(t, b) })
}

// byResolution splits blocks, in order of time.
func byResolution(blocks []manifest.Block) [][]manifest.Block {
	var out [][]manifest.Block
	at := map[int64]int{}
	for _, b := range blocks {
		i, ok := at[b.ResolutionMs]
		if !ok {
			i = len(out)
			at[b.ResolutionMs] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], b)
	}
	return out
}

// byExemption splits blocks by what retention they have.
func byExemption(blocks []manifest.Block) (alike [2][]manifest.Block) {
	for _, b := range blocks {
		i := 0
		if b.Exempt {
			i = 1
		}
		alike[i] = append(alike[i], b)
	}
	return alike
}

// overlapping is the number of blocks at the front that are connected by
// overlaps.
func overlapping(blocks []manifest.Block) int {
	n, end := 1, blocks[0].MaxTime
	for n < len(blocks) && blocks[n].MinTime <= end {
		end = max(end, blocks[n].MaxTime)
		n++
	}
	return n
}

// retention drops what is wholly too old, then the oldest while there is too
// much.
func (p *plan) retention(blocks []manifest.Block) {
	o := p.options
	var old []manifest.Block
	var total uint64
	for _, b := range blocks {
		if o.RetentionMs > 0 && b.MaxTime < p.now-o.RetentionMs && !b.Exempt {
			old = append(old, b)
			continue
		}
		total += b.Stats.Bytes()
	}
	if len(old) > 0 {
		p.add(Drop, fmt.Sprintf("older than the retention of %s", time.Duration(o.RetentionMs)*time.Millisecond), old)
		p.jobs[len(p.jobs)-1].Cause = "time"
	}
	if o.RetentionBytes == 0 || total <= o.RetentionBytes {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(blocks), func(b manifest.Block) bool { return p.taken[b.ID] })
	slices.SortStableFunc(rest, func(a, b manifest.Block) int { return cmp.Compare(a.MaxTime, b.MaxTime) })
	n := 0
	for n < len(rest) && total > o.RetentionBytes {
		total -= rest[n].Stats.Bytes()
		n++
	}
	p.add(Drop, fmt.Sprintf("over the retention of %d bytes", o.RetentionBytes), rest[:n])
	p.jobs[len(p.jobs)-1].Cause = "size"
}

// overlaps merges each set of blocks that is connected by overlaps.
func (p *plan) overlaps(blocks []manifest.Block) {
	for len(blocks) > 0 {
		n := overlapping(blocks)
		for _, run := range p.runs(blocks[:n]) {
			if len(run) > 1 {
				p.add(Overlap, fmt.Sprintf("%d blocks overlap", n), run)
			}
		}
		blocks = blocks[n:]
	}
}

// rewrites takes the blocks that a tombstone or a rule waits for.
func (p *plan) rewrites(blocks []manifest.Block) {
	for _, b := range blocks {
		if share := p.options.Expired[b.ID]; !p.taken[b.ID] && share >= HiddenMax {
			p.add(Rewrite, fmt.Sprintf("%.0f %% of it is older than the rules of the retention allow", 100*share), []manifest.Block{b})
		}
		for _, t := range p.tombstones {
			if !p.taken[b.ID] && Hides(t, b) && p.due(t, b) {
				p.add(Rewrite, fmt.Sprintf("deletion %d is not applied", t.Seq), []manifest.Block{b})
			}
		}
	}
}

// due tells whether a block is written anew for a deletion.
func (p *plan) due(t manifest.Tombstone, b manifest.Block) bool {
	return p.options.Final || p.now-t.Time >= p.options.RewriteMaxMs || p.options.Hidden[b.ID] >= HiddenMax
}

// levels merges, from the shortest range up, the blocks inside one aligned
// range that is closed: later data has been cut, or must have been. A range in
// which another job is at work waits for its result.
func (p *plan) levels(blocks []manifest.Block) {
	if len(blocks) == 0 {
		return
	}
	o := p.options
	newest := slices.MaxFunc(blocks, func(a, b manifest.Block) int { return cmp.Compare(a.MinTime, b.MinTime) })
	closed := max(floor(newest.MinTime, o.BlockRangeMs), p.now-2*o.BlockRangeMs)
	ranges := o.Ranges()[1:]
	if o.Final {
		closed, ranges = math.MaxInt64, o.Ranges()[len(ranges):]
	}
	for _, r := range ranges {
		for i := 0; i < len(blocks); {
			from := floor(blocks[i].MinTime, r)
			n := 0
			var bytes uint64
			for i+n < len(blocks) && blocks[i+n].MaxTime < from+r && blocks[i+n].MinTime >= from && n < o.JobBlocksMax {
				bytes += blocks[i+n].Stats.Bytes()
				n++
			}
			n = max(1, n) // a block that no range holds stands alone
			group := blocks[i : i+n]
			free := !slices.ContainsFunc(group, func(b manifest.Block) bool { return p.taken[b.ID] })
			switch {
			case !free || n > 1 && (from+r > closed || bytes > o.JobBytesMax):
			default:
				p.level(p.runs(group), r)
			}
			i += n
		}
	}
}

// level merges what one range has.
func (p *plan) level(runs [][]manifest.Block, rangeMs int64) {
	for _, run := range runs {
		switch {
		case len(run) > 1:
			p.add(Level, fmt.Sprintf("%d blocks of a range of %s", len(run), time.Duration(rangeMs)*time.Millisecond), run)
		case p.options.Final && run[0].Level <= 1:
			p.add(Level, "it was never compacted", run)
		}
	}
}

// floor rounds t down to a multiple of r.
func floor(t, r int64) int64 {
	q := t / r
	if t%r < 0 {
		q--
	}
	return q * r
}
