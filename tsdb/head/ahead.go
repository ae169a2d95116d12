package head

import (
	"context"

	"github.com/nilometer/nilometer/tsdb/wal"
)

// ahead reads the log while something else is still to be done before its frames
// can be: decompression and checksums take about as long as all the rest.
type ahead struct {
	slabs  chan []frame
	cancel context.CancelFunc
	// Set before slabs is closed.
	report wal.Report
	err    error
}

// frame is the payload of one frame of a segment.
type frame struct {
	segment uint64
	payload []byte
}

// The frames that are read ahead: at most aheadSlabs slabs of aheadBytes wait,
// one frame more in each.
const (
	aheadBytes = 1 << 20
	aheadSlabs = 128
)

func readAhead(ctx context.Context, log *wal.Log) *ahead {
	a := &ahead{slabs: make(chan []frame, aheadSlabs)}
	ctx, a.cancel = context.WithCancel(ctx)
	go func() {
		defer close(a.slabs)
		var slab []frame
		var room []byte
		send := func() error {
			select {
			case a.slabs <- slab:
				slab = nil
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		a.report, a.err = log.Replay(ctx, func(segment uint64, payload []byte) error {
			if len(payload) > cap(room)-len(room) {
				if len(slab) > 0 {
					if err := send(); err != nil {
						return err
					}
				}
				room = make([]byte, 0, max(aheadBytes, len(payload)))
			}
			at := len(room)
			room = append(room, payload...)
			slab = append(slab, frame{segment, room[at:len(room):len(room)]})
			return nil
		})
		if a.err == nil {
			a.err = send()
		}
	}()
	return a
}

// each calls fn with all frames, in order. They are not used again.
func (a *ahead) each(fn func(segment uint64, payload []byte) error) (wal.Report, error) {
	for slab := range a.slabs {
		for _, f := range slab {
			if err := fn(f.segment, f.payload); err != nil {
				a.stop()
				return a.report, err
			}
		}
	}
	return a.report, a.err
}

// stop ends the reading, and returns when it has ended.
func (a *ahead) stop() {
	a.cancel()
	for range a.slabs { //nolint:revive // until it is closed
	}
}
