package compact_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nilometer/nilometer/tsdb/compact"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := compact.Pace{Share: 0.25}
		begun := time.Now()
		for range 1000 {
			if err := p.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Millisecond) // the work
		}
		if took := time.Since(begun); took < 11*time.Second || took > 13*time.Second {
			t.Errorf("three seconds of work took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(time.Second)
		if err := p.Pause(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a pause of who has ended: %v", err)
		}
	})
}
