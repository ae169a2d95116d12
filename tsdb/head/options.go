package head

import (
	"errors"
	"fmt"
	"time"

	"github.com/nilometer/nilometer/model/column"
)

// Options are the settings of all heads. Zero values are the defaults.
type Options struct {
	// BlockRange is the length of a span. Default 2 h.
	BlockRange time.Duration
	// SealEvery is the number of positions after which the streams of an open
	// tile are encoded, to bound what they take; 1 to 480, default 120.
	SealEvery int
	// SealFileBytes and SealFileAge say when what was sealed becomes a file: when
	// there is as much, or the oldest is as old. Default 8 MiB and 5 min.
	SealFileBytes int
	SealFileAge   time.Duration
	// AheadMax is how far in the future a sample may lie. Default 10 min.
	AheadMax time.Duration
	// LateScrapes and LatePushes are how far behind the tenant's newest sample a
	// late one may lie: in closed groups and those of scrapes (default: none is
	// taken), and in other open groups (default 2 h; negative: none).
	LateScrapes, LatePushes time.Duration
	// Backfill takes every late sample, whatever its time.
	Backfill bool
	// LateBytesMax bounds the late samples that one tenant has in memory, in
	// bytes. Default 64 MiB.
	LateBytesMax int64
	// Retention is the age over which late samples are refused; 0 refuses none.
	Retention time.Duration
}

func (o Options) withDefaults() Options {
	if o.BlockRange == 0 {
		o.BlockRange = 2 * time.Hour
	}
	if o.SealEvery == 0 {
		o.SealEvery = 120
	}
	if o.SealFileBytes == 0 {
		o.SealFileBytes = 8 << 20
	}
	if o.SealFileAge == 0 {
		o.SealFileAge = 5 * time.Minute
	}
	if o.AheadMax == 0 {
		o.AheadMax = 10 * time.Minute
	}
	if o.LatePushes == 0 {
		o.LatePushes = 2 * time.Hour
	}
	return o
}

// Validate reports every problem at once.
func (o Options) Validate() error {
	var errs []error
	if o.BlockRange < 0 || o.BlockRange != 0 && o.BlockRange < time.Second {
		errs = append(errs, fmt.Errorf("block range %s is under the smallest, 1s", o.BlockRange))
	}
	if o.AheadMax < 0 {
		errs = append(errs, fmt.Errorf("the allowance for the future is %s: it must not be negative", o.AheadMax))
	}
	if o.SealEvery < 0 || o.SealEvery > column.TilePositions {
		errs = append(errs, fmt.Errorf("streams are to be sealed every %d positions: 1 to %d are allowed", o.SealEvery, column.TilePositions))
	}
	if o.LateBytesMax < 0 || o.LateBytesMax > 0 && o.LateBytesMax < 16<<10 {
		errs = append(errs, fmt.Errorf("the buffer of late samples has %d bytes: 16 KiB is the least", o.LateBytesMax))
	}
	if o.SealFileBytes < 0 || o.SealFileAge < 0 {
		errs = append(errs, fmt.Errorf("files of seals of %d bytes every %s: neither may be negative", o.SealFileBytes, o.SealFileAge))
	}
	return errors.Join(errs...)
}
