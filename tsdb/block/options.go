package block

import (
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/model/tenant"
)

// Options are the settings of writing a block. The zero value means defaults.
type Options struct {
	// PageBytes is the size at which a page ends, before compression, 4 KiB to
	// 1 MiB; default 32 KiB, 64 KiB when compressed: chunks refer to others of
	// their page.
	PageBytes int
	// FileBytes is the size at which a chunks' file ends, 1 MiB to 1 GiB;
	// default 32 MiB. A writer keeps one file in memory until it is put.
	FileBytes int
	// RowMs is the width of a row of pages: chunks of one series that begin in
	// the same row lie together; default 2 h.
	RowMs int64
	// Compress lets chunks refer to others of their page, and compresses pages
	// (zstd) where that saves a sixteenth or more: for blocks that are
	// compacted, and read less often.
	Compress bool
	// CompressMost takes four times the time to compress a page, and saves
	// another 0.4 to 1.3 %: for what is not written again.
	CompressMost bool
}

func (o Options) withDefaults() Options {
	if o.PageBytes == 0 {
		o.PageBytes = 32 << 10
		if o.Compress {
			o.PageBytes = 64 << 10
		}
	}
	if o.FileBytes == 0 {
		o.FileBytes = 32 << 20
	}
	if o.RowMs == 0 {
		o.RowMs = (2 * time.Hour).Milliseconds()
	}
	return o
}

// Validate reports the first setting outside its range, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.PageBytes < 4<<10 || o.PageBytes > 1<<20:
		return fmt.Errorf("block option PageBytes is %d, 4 KiB to 1 MiB are allowed", o.PageBytes)
	case o.FileBytes < 1<<20 || o.FileBytes > 1<<30:
		return fmt.Errorf("block option FileBytes is %d, 1 MiB to 1 GiB are allowed", o.FileBytes)
	case o.RowMs < 1:
		return fmt.Errorf("block option RowMs is %d, it must be positive", o.RowMs)
	}
	return nil
}

// Prefix is where the files of a block lie.
func Prefix(id tenant.ID, block ulid.ULID) string {
	return "block/" + string(id) + "/" + block.String() + "/"
}

// Names of a block's files below its prefix.
const (
	metaName  = "meta.json"
	indexName = "index"
)

func fileName(n int) string { return fmt.Sprintf("chunks/%06d", n) }
