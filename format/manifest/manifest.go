// Package manifest is the format of a manifest version: which blocks of one
// tenant and shard exist, which tombstones hide samples in them, and up to
// where the head's data is in blocks. FORMAT.md draws it.
//
// It owns the types of an edit and of the state that edits add up to, the
// rules by which an edit applies, and their bytes. It reads and writes no
// object: tsdb/manifest does.
//
// Invariants:
//
//   - I1: a state's blocks are sorted by (MinTime, ID) and have distinct ids;
//     its tombstones are sorted by Seq.
//   - I2: an edit applies whole or not at all: it adds no block that is live,
//     and removes none that is not.
//   - I3: Apply shares nothing that it changes: older states stay as they were.
package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/oklog/ulid/v2"
)

// SnapshotEvery is the distance of versions that carry the whole state beside
// their edit: a reader applies at most SnapshotEvery-1 edits to one.
const SnapshotEvery = 64

// Block describes one live block. It is also the content of its meta.json.
type Block struct {
	ID ulid.ULID `json:"id"`
	// FormatVersion is the version of the block's files.
	FormatVersion int `json:"format_version"`
	// MinTime and MaxTime are the first and last time of any sample, ms.
	MinTime int64 `json:"min_time"`
	MaxTime int64 `json:"max_time"`
	// Level is 1 for a block cut from the head, and one more than the highest
	// of its sources for a compacted one.
	Level int `json:"level"`
	// ResolutionMs is 0 for raw samples, else the interval of downsampling.
	ResolutionMs int64 `json:"resolution_ms,omitempty"`
	Stats        Stats `json:"stats"`
	// Sources are the level 1 blocks that went into this one, itself for level
	// 1, in order of acceptance.
	Sources []ulid.ULID `json:"sources,omitempty"`
	// LowestSeq and HighestSeq bound the acceptance sequences of the samples.
	LowestSeq  uint64 `json:"lowest_seq"`
	HighestSeq uint64 `json:"highest_seq"`
	// TombstonesApplied is the sequence of the newest tombstone whose samples
	// are physically gone.
	TombstonesApplied uint64 `json:"tombstones_applied,omitempty"`
	// Exempt blocks are not dropped for their age: somebody asked to keep them.
	// They are merged with their like alone.
	Exempt bool `json:"exempt,omitempty"`
	// ExpiredAt is the time, ms, at which the samples that rules of the retention
	// had made too old were left out; 0: never.
	ExpiredAt int64 `json:"expired_at,omitempty"`
}

// Stats counts what is in a block.
type Stats struct {
	Series  uint64 `json:"series"`
	Columns uint64 `json:"columns"`
	Chunks  uint64 `json:"chunks"`
	Samples uint64 `json:"samples"`
	// IndexBytes and ChunkBytes are the sizes of the index and of all files
	// under chunks/.
	IndexBytes uint64 `json:"index_bytes"`
	ChunkBytes uint64 `json:"chunk_bytes"`
}

// Bytes is the size of the block without its meta.json.
func (s Stats) Bytes() uint64 { return s.IndexBytes + s.ChunkBytes }

// Tombstone hides the samples of the series that match every matcher, between
// MinTime and MaxTime (ms, both included), that were accepted before Seq.
type Tombstone struct {
	Seq uint64 `json:"seq"`
	// ID names the deletion in the files of a head; empty when no head had
	// samples of it.
	ID string `json:"id,omitempty"`
	// Time is when the deletion was accepted, ms: planners wait from there on.
	Time     int64     `json:"time,omitempty"`
	MinTime  int64     `json:"min_time"`
	MaxTime  int64     `json:"max_time"`
	Matchers []Matcher `json:"matchers"`
}

// Matcher is one matcher of a tombstone; Op is "=", "!=", "=~" or "!~".
type Matcher struct {
	Name  string `json:"name"`
	Op    string `json:"op"`
	Value string `json:"value"`
}

// Mark is a point in one group's history: samples in order before Time and
// late records up to LateSeq are in blocks.
type Mark struct {
	Time    int64  `json:"time"`
	LateSeq uint64 `json:"late_seq"`
}

// State is what all edits up to a version add up to.
type State struct {
	Blocks     []Block     `json:"blocks,omitempty"`
	Tombstones []Tombstone `json:"tombstones,omitempty"`
	// Horizon is the head horizon, by a key that the head chooses.
	Horizon map[string]Mark `json:"horizon,omitempty"`
}

// Edit is the difference between two versions.
type Edit struct {
	// ID names the attempt: who lost the answer to a put finds out by it
	// whether the version that exists is its own.
	ID                string          `json:"id"`
	Added             []Block         `json:"added,omitempty"`
	Removed           []ulid.ULID     `json:"removed,omitempty"`
	Tombstones        []Tombstone     `json:"tombstones,omitempty"`
	RemovedTombstones []uint64        `json:"removed_tombstones,omitempty"`
	Horizon           map[string]Mark `json:"horizon,omitempty"`
	RemovedHorizons   []string        `json:"removed_horizons,omitempty"`
}

// Empty reports whether the edit changes nothing.
func (e Edit) Empty() bool {
	return len(e.Added) == 0 && len(e.Removed) == 0 && len(e.Tombstones) == 0 &&
		len(e.RemovedTombstones) == 0 && len(e.Horizon) == 0 && len(e.RemovedHorizons) == 0
}

// ConflictError says why an edit does not apply to a state.
type ConflictError struct {
	Reason string
}

// Error returns the reason.
func (e *ConflictError) Error() string { return "the edit does not apply: " + e.Reason }

// Block returns the live block with an id.
func (s State) Block(id ulid.ULID) (Block, bool) {
	i := slices.IndexFunc(s.Blocks, func(b Block) bool { return b.ID == id })
	if i < 0 {
		return Block{}, false
	}
	return s.Blocks[i], true
}

// Apply returns the state after an edit, or a *ConflictError. s stays as it is
// (I3).
func (s State) Apply(e Edit) (State, error) {
	blocks, err := s.applyBlocks(e)
	if err != nil {
		return State{}, err
	}
	tombstones, err := s.applyTombstones(e)
	if err != nil {
		return State{}, err
	}
	return State{Blocks: blocks, Tombstones: tombstones, Horizon: s.applyHorizon(e)}, nil
}

func (s State) applyBlocks(e Edit) ([]Block, error) {
	if len(e.Added) == 0 && len(e.Removed) == 0 {
		return s.Blocks, nil
	}
	live := make(map[ulid.ULID]Block, len(s.Blocks)+len(e.Added))
	for _, b := range s.Blocks {
		live[b.ID] = b
	}
	for _, id := range e.Removed {
		if _, ok := live[id]; !ok {
			return nil, &ConflictError{Reason: fmt.Sprintf("it removes block %s, which is not live", id)}
		}
		delete(live, id)
	}
	for _, b := range e.Added {
		if _, ok := s.Block(b.ID); ok {
			return nil, &ConflictError{Reason: fmt.Sprintf("it adds block %s, which is live", b.ID)}
		}
		if _, ok := live[b.ID]; ok {
			return nil, &ConflictError{Reason: fmt.Sprintf("it adds block %s twice", b.ID)}
		}
		if b.MinTime > b.MaxTime {
			return nil, &ConflictError{Reason: fmt.Sprintf("block %s ends at %d, before its begin %d", b.ID, b.MaxTime, b.MinTime)}
		}
		live[b.ID] = b
	}
	return slices.SortedFunc(maps.Values(live), compareBlocks), nil
}

func compareBlocks(a, b Block) int {
	return cmp.Or(cmp.Compare(a.MinTime, b.MinTime), a.ID.Compare(b.ID))
}

func (s State) applyTombstones(e Edit) ([]Tombstone, error) {
	if len(e.Tombstones) == 0 && len(e.RemovedTombstones) == 0 {
		return s.Tombstones, nil
	}
	live := make(map[uint64]Tombstone, len(s.Tombstones)+len(e.Tombstones))
	for _, t := range s.Tombstones {
		live[t.Seq] = t
	}
	for _, seq := range e.RemovedTombstones {
		if _, ok := live[seq]; !ok {
			return nil, &ConflictError{Reason: fmt.Sprintf("it removes tombstone %d, which does not exist", seq)}
		}
		delete(live, seq)
	}
	for _, t := range e.Tombstones {
		if _, ok := live[t.Seq]; ok {
			return nil, &ConflictError{Reason: fmt.Sprintf("it adds tombstone %d, which exists", t.Seq)}
		}
		live[t.Seq] = t
	}
	return slices.SortedFunc(maps.Values(live), func(a, b Tombstone) int { return cmp.Compare(a.Seq, b.Seq) }), nil
}

func (s State) applyHorizon(e Edit) map[string]Mark {
	if len(e.Horizon) == 0 && len(e.RemovedHorizons) == 0 {
		return s.Horizon
	}
	out := make(map[string]Mark, len(s.Horizon)+len(e.Horizon))
	maps.Copy(out, s.Horizon)
	for _, key := range e.RemovedHorizons {
		delete(out, key)
	}
	maps.Copy(out, e.Horizon)
	return out
}
