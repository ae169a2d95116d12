package wal_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestBasesLengthenSegments: what is written again in every segment does not
// make up more than a fourth of the log.
func TestBasesLengthenSegments(t *testing.T) {
	payload := make([]byte, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	for _, c := range []struct{ bases, frames int }{{0, 1}, {1, 4}, {2, 8}} {
		l := open(t, mem.New(), wal.Options{SegmentSizeMax: 1000, SyncInterval: time.Hour})
		frames := map[uint64]int{}
		for range 3 * c.frames {
			segment, err := l.Enter()
			if err != nil {
				t.Fatal(err)
			}
			bases := 0
			if frames[segment]++; frames[segment] <= c.bases {
				bases = len(payload)
			}
			at, err := l.Append(payload, bases)
			l.Exit()
			if err == nil {
				err = l.Wait(t.Context(), at)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for segment, n := range frames {
			if n != c.frames {
				t.Errorf("with %d frames of bases segment %d has %d frames, want %d", c.bases, segment, n, c.frames)
			}
		}
		closeLog(t, l)
	}
}
