package planner_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nilometer/nilometer/tsdb/planner"
)

func TestBackoff(t *testing.T) {
	failed := errors.New("disk full")
	now := time.Unix(0, 0)
	var b planner.Backoff
	if b.Pauses(now) {
		t.Error("it pauses before anything failed")
	}
	for _, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		b.Ended(now, time.Minute, failed)
		if !b.Pauses(now.Add(want-1)) || b.Pauses(now.Add(want)) {
			t.Fatalf("the pause is not %s", want)
		}
		now = now.Add(want)
	}
	if b.Ended(now, time.Minute, nil); b.Pauses(now) {
		t.Error("it pauses after a success")
	}
}
