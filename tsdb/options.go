package tsdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/late"
	"github.com/nilometer/nilometer/tsdb/pressure"
	"github.com/nilometer/nilometer/vfs"
)

// Options are the settings of a database; zero values are defaults.
type Options struct {
	// BlockRange is the range of a span of the head and of the block cut from
	// it; 1 s to 24 h, default 2 h. Shorter ones are for tests: each cut costs
	// a few files.
	BlockRange time.Duration
	// Retention is the age after which blocks are dropped whole; default 30 d.
	// Negative keeps all.
	Retention time.Duration
	// RetentionBytes, RetentionDiskPercent and RetentionRules are more bounds of
	// what is kept: see Retention.
	RetentionBytes       uint64
	RetentionDiskPercent float64
	RetentionRules       []RetentionRule
	// DeleteRewriteMax is how long deleted samples may stay in files of blocks:
	// then a block is written anew for them alone. Queries do not see them at
	// once. Default 24 h; negative: not at all.
	DeleteRewriteMax time.Duration
	// CompactionShare is the share of one core's time that compactions in the
	// background take while there is something to do, over 0 to 1; default 0.5.
	CompactionShare float64
	// SyncInterval is the longest time for which a sample that was appended as
	// storage.Logged is not durable; 1 ms to 1 min, default 1 s.
	SyncInterval time.Duration
	// CacheBytes bounds what is kept decoded of blocks: directories of pages,
	// labels, time columns; default 128 MiB.
	CacheBytes int64
	// MemoryLimit is how much memory the process may have, in bytes; 0: there is
	// no limit. As it comes near, the database gives up one thing after the other
	// (tsdb/pressure).
	MemoryLimit int64
	// LateScrapes and LatePushes are how far behind a tenant's newest sample one
	// that is older than its series' last may lie: a scraped one (default: none
	// is taken), and a pushed one (default 2 h; negative: none). A late sample
	// costs about 30 bytes of memory until its span is cut, and overlapping
	// blocks that are merged when it was cut already.
	LateScrapes, LatePushes time.Duration
	// Backfill takes every late sample that is younger than the retention,
	// whatever LateScrapes and LatePushes say.
	Backfill bool
	// LateBytes bounds the late samples that each tenant has in memory; 16 KiB
	// at least, default 64 MiB. At half of it blocks are written.
	LateBytes int64
	// LateBlocksMax is the number of overlapping blocks of a tenant over which
	// late samples are refused until compaction has merged some; default 32.
	LateBlocksMax int
	// SealEvery is the number of positions of a group after which the head encodes
	// its streams; 1 to 480, default 120. Smaller ones cost bytes, larger ones
	// memory and a longer start.
	SealEvery int
	// SegmentBytes is the size after which a segment of the log ends; 1 KiB at
	// least, default 128 MiB. The log has about eight segments at most: what is
	// in no block when it has more is sealed before its time.
	SegmentBytes int64
	// MaintenanceInterval is the time between two looks at what is to be cut,
	// compacted or dropped; 10 ms to 1 h, default a sixtieth of the block
	// range, at least 1 s and at most 1 min.
	MaintenanceInterval time.Duration
}

// The defaults of Options.
const (
	defaultBlockRange       = 2 * time.Hour
	defaultRetention        = 30 * 24 * time.Hour
	defaultDeleteRewriteMax = 24 * time.Hour
	defaultSyncInterval     = time.Second
	defaultCompactionShare  = 0.5
	defaultCacheBytes       = 128 << 20

	defaultLatePushes    = 2 * time.Hour
	defaultLateBlocksMax = 32
)

func (o Options) withDefaults() Options {
	o.BlockRange = cmp.Or(o.BlockRange, defaultBlockRange)
	o.Retention = cmp.Or(o.Retention, defaultRetention)
	o.CompactionShare = cmp.Or(o.CompactionShare, defaultCompactionShare)
	o.SyncInterval = cmp.Or(o.SyncInterval, defaultSyncInterval)
	o.DeleteRewriteMax = cmp.Or(o.DeleteRewriteMax, defaultDeleteRewriteMax)
	o.CacheBytes = cmp.Or(o.CacheBytes, defaultCacheBytes)
	o.LatePushes = cmp.Or(o.LatePushes, defaultLatePushes)
	o.LateBytes = cmp.Or(o.LateBytes, late.BytesMax)
	o.LateBlocksMax = cmp.Or(o.LateBlocksMax, defaultLateBlocksMax)
	o.MaintenanceInterval = cmp.Or(o.MaintenanceInterval, min(max(o.BlockRange/60, time.Second), time.Minute))
	return o
}

// Validate reports every setting that is out of range, or nil.
func (o Options) Validate() error {
	o = o.withDefaults()
	var problems []error
	bound := func(name string, d, low, high time.Duration) {
		if d < low || d > high {
			problems = append(problems, fmt.Errorf("%s is %s: %s to %s are allowed", name, d, low, high))
		}
	}
	bound("the block range", o.BlockRange, time.Second, 24*time.Hour)
	bound("the sync interval", o.SyncInterval, time.Millisecond, time.Minute)
	bound("the maintenance interval", o.MaintenanceInterval, 10*time.Millisecond, time.Hour)
	if o.BlockRange%time.Millisecond != 0 {
		problems = append(problems, fmt.Errorf("the block range is %s: it must be whole milliseconds", o.BlockRange))
	}
	keep := Retention{Time: o.Retention, Bytes: o.RetentionBytes, DiskPercent: o.RetentionDiskPercent, Rules: o.RetentionRules}
	if err := keep.Validate(o.BlockRange); err != nil {
		problems = append(problems, err)
	}
	if !(o.CompactionShare > 0 && o.CompactionShare <= 1) {
		problems = append(problems, fmt.Errorf("compactions take %v of a core: over 0, and at most 1 is allowed", o.CompactionShare))
	}
	if o.MemoryLimit < 0 {
		problems = append(problems, fmt.Errorf("the memory limit is %d bytes: it must not be negative", o.MemoryLimit))
	}
	if o.CacheBytes < 1<<20 {
		problems = append(problems, fmt.Errorf("the cache has %d bytes: 1 MiB is the least", o.CacheBytes))
	}
	if o.LateBytes < 16<<10 {
		problems = append(problems, fmt.Errorf("the buffer of late samples has %d bytes: 16 KiB is the least", o.LateBytes))
	}
	if o.SealEvery < 0 || o.SealEvery > column.TilePositions {
		problems = append(problems, fmt.Errorf("streams are to be sealed every %d positions: 1 to %d are allowed", o.SealEvery, column.TilePositions))
	}
	if o.SegmentBytes != 0 && o.SegmentBytes < 1<<10 {
		problems = append(problems, fmt.Errorf("segments of the log have %d bytes: 1 KiB is the least", o.SegmentBytes))
	}
	if o.LateBlocksMax < 0 {
		problems = append(problems, fmt.Errorf("the number of overlapping blocks is bounded by %d: it must not be negative", o.LateBlocksMax))
	}
	return errors.Join(problems...)
}

// Deps are the components that a database stands on.
type Deps struct {
	// Dir is the data directory: it names the database in messages, and FS
	// stands for the file system of the machine below it when FS is nil.
	Dir string
	FS  vfs.FS
	// Bucket holds blocks and manifests; nil: the directory store/ of FS.
	Bucket blob.Bucket
	// Note says in the lock file who holds it, as in "nilometer on
	// 127.0.0.1:9090"; empty: the process's number and command.
	Note string
	// Beside opens what others keep in the directory. It is called when the
	// directory is locked and its blocks are open, before the log is touched: its
	// error refuses the directory (I4). nil: there is nothing else.
	Beside func(context.Context) error
	// Logger is nil for silence.
	Logger *slog.Logger
	// Registerer takes the metrics; nil: nobody sees them.
	Registerer prometheus.Registerer
	// Admitter decides about new series; nil admits all.
	Admitter storage.Admitter
	// Clock tells the time; nil: time.Now.
	Clock func() time.Time
	// MemoryUsage tells what the process has of memory; nil: of this process.
	MemoryUsage func() pressure.Usage
	// MemoryAside tells what others will take for the series that there are and
	// have not now, in bytes; no new series gets it. nil: nothing.
	MemoryAside func() int64
	// SetHeapLimit gives the Go runtime what the memory outside of its heap
	// leaves of Options.MemoryLimit; nil: its limit is somebody else's.
	SetHeapLimit func(bytes int64)
	// CaughtUp is called by Run when nothing of the log waits in memory to be
	// worked up any more; nil: nobody wants to know.
	CaughtUp func()
}

func (d Deps) withDefaults() Deps {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Registerer == nil {
		d.Registerer = prometheus.NewRegistry()
	}
	if d.Admitter == nil {
		d.Admitter = storage.AdmitAll{}
	}
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Dir == "" {
		d.Dir = "the data directory"
	}
	return d
}
