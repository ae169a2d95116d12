// Package block writes and reads blocks: immutable sets of columns of one
// tenant over a range of time, in a bucket.
//
// A block is block/<tenant>/<ULID>/{meta.json, index, chunks/000001 …}. The
// chunks' files are sequences of pages (format/page); the index (format/index)
// has the series, the postings, the time columns and the table of pages;
// meta.json is put last: without it there is no block.
//
// Write streams a part.Part into a block, page by page. Open gives a *Block,
// which is a part.Part again, served from mapped files or by ranged reads.
//
// Callers keep a block's files until no *Block of it is open. Everything that
// a Block handed out is valid until its last reference is released.
//
// Invariants:
//
//   - I1: a series' reference is its ordinal in the order of labels.Compare.
//   - I2: every chunk lies on exactly one tile of its time column: all series
//     of a column are cut at the same positions.
//   - I3: a page's checksum is verified before the first byte of it is used.
//   - I4: a damaged page takes nothing away but its own chunks.
//   - I5: a block whose index is damaged can be set aside: it answers with the
//     damage, and with nothing else.
package block

import (
	"github.com/nilometer/nilometer/format/manifest"
)

// Meta describes a block: its range, statistics and history.
type Meta = manifest.Block

// FormatVersion is the version of the files that Write makes, and the newest
// that Open reads.
const FormatVersion = 1
