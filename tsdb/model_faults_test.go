package tsdb_test

import (
	"context"
	"sync"
	"syscall"

	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/vfstest"
)

// hook decides about operations of the disk, and ends contexts at them.
type hook struct {
	mu       sync.Mutex // guards what follows
	fault    string
	from, to int // the operations that fail, counted from set; to 0: from then on
	seen     int // operations since set
	left     int // operations until cancel; 0: there is none
	cancel   context.CancelFunc
}

func (h *hook) see(op vfstest.Op) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left > 0 {
		if h.left--; h.left == 0 {
			h.cancel()
		}
	}
	h.seen++
	if h.seen < h.from || h.to > 0 && h.seen >= h.to {
		return nil
	}
	switch {
	case h.fault == "full" && op.Kind != vfstest.Remove && op.Kind != vfstest.Sync && op.Kind != vfstest.SyncDir && op.Kind != vfstest.Lock:
		return vfs.ErrFull
	case h.fault == "sync" && (op.Kind == vfstest.Sync || op.Kind == vfstest.SyncDir):
		return syscall.EIO
	case h.fault == "write" && op.Kind == vfstest.Write, h.fault == "link" && (op.Kind == vfstest.Link || op.Kind == vfstest.Rename):
		return syscall.EIO
	}
	return nil
}

// set makes operations fail: count of them from the at-th on, all when count is
// 0. "" ends that.
func (h *hook) set(fault string, at, count int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fault, h.from, h.to, h.seen = fault, at, 0, 0
	if count > 0 {
		h.to = max(at, 1) + count
	}
}

func (h *hook) arm(left int, cancel context.CancelFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.left, h.cancel = left, cancel
}
