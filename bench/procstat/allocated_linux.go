package procstat

import (
	"io/fs"
	"math"
	"syscall"
)

// allocated is the bytes that a file takes of the disk: less than its size
// when it has holes.
func allocated(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Blocks > 0 {
		return s.Blocks * 512
	}
	return math.MaxInt64
}
