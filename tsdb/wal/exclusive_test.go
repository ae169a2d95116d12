package wal_test

import (
	"testing"
	"time"

	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestSegmentBetweenEnterAndExit asks for the segment's number between Enter and
// Exit, while somebody waits for Exit: that neither waits nor changes anything.
func TestSegmentBetweenEnterAndExit(t *testing.T) {
	l := open(t, mem.New(), wal.Options{})
	defer l.Close()
	segment, err := l.Enter()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := l.Exclusive(func() []byte { return []byte("alone") })
		done <- err
	}()
	for range 20 { // it begins to wait at some time in between
		if n := l.Segment(); n != segment {
			t.Errorf("segment %d while %d is held", n, segment)
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-done:
		t.Errorf("somebody is alone between Enter and Exit (%v)", err)
	default:
	}
	l.Exit()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
