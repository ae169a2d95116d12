package wal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs/mem"
)

// follow reads n frames.
func follow(t *testing.T, f *wal.Follower, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out []string
	for len(out) < n {
		x, err := f.Next(ctx)
		if err != nil {
			t.Fatalf("after %v: %v", out, err)
		}
		for _, one := range strings.Split(strings.TrimSuffix(string(x.Payload), ";"), ";") {
			out = append(out, fmt.Sprintf("%d:%s", x.End.Segment, one))
		}
	}
	return out
}

func TestFollowLive(t *testing.T) {
	l := open(t, mem.New(), wal.Options{SegmentSizeMax: 100, SyncInterval: time.Hour})
	f := l.Follow(l.Segment())
	defer closeFollower(t, f)
	var want []string
	got := make(chan []string)
	go func() { got <- follow(t, f, 40) }()
	for i := range 40 {
		payload := fmt.Sprintf("payload %d", i)
		want = append(want, fmt.Sprintf("%d:%s", l.Segment(), payload))
		mustPut(t, l, payload)
	}
	if got := <-got; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("followed\n%v instead of\n%v", got, want)
	}
	closeLog(t, l)
	if _, err := f.Next(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("after the end of a closed log: %v", err)
	}
}

func TestFollowWaits(t *testing.T) {
	l := open(t, mem.New(), wal.Options{SyncInterval: time.Hour})
	defer closeLog(t, l)
	f := l.Follow(l.Segment())
	defer closeFollower(t, f)
	if _, _, err := put(l, "not durable"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if x, err := f.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a frame that is not durable: %q, %v", x.Payload, err)
	}
	if err := l.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := follow(t, f, 1); got[0] != "1:not durable" {
		t.Errorf("got %v", got)
	}
}

func TestFollowEarlierProcesses(t *testing.T) {
	fs := mem.New()
	for _, payload := range []string{"a", "b", "c"} {
		l := open(t, fs, wal.Options{})
		mustPut(t, l, payload)
		closeLog(t, l)
	}
	l := open(t, fs, wal.Options{})
	defer closeLog(t, l)
	mustPut(t, l, "d")
	f := l.Follow(1)
	defer closeFollower(t, f)
	if got := fmt.Sprint(follow(t, f, 4)); got != "[1:a 2:b 3:c 4:d]" {
		t.Errorf("got %s", got)
	}
}

func TestFollowGone(t *testing.T) {
	l := open(t, mem.New(), wal.Options{SegmentSizeMax: 1, SyncInterval: time.Hour})
	defer closeLog(t, l)
	f := l.Follow(l.Segment())
	defer closeFollower(t, f)
	mustPut(t, l, "a", "b", "c", "d")
	if got := fmt.Sprint(follow(t, f, 1)); got != "[1:a]" {
		t.Errorf("got %s", got)
	}
	if err := l.DropBefore(4); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(t.Context()); !errors.Is(err, wal.ErrGone) {
		t.Errorf("behind deleted segments: %v", err)
	}
	first := l.Follow(1)
	defer closeFollower(t, first)
	if _, err := first.Next(t.Context()); !errors.Is(err, wal.ErrGone) {
		t.Errorf("a deleted segment: %v", err)
	}
}

// TestFollowDamage: what is behind a damaged frame is read, and marked.
func TestFollowDamage(t *testing.T) {
	data, ends := segment(t, "first", "second", "third")
	data[ends[0]+9] ^= 1
	l := open(t, withSegment(t, data), wal.Options{})
	defer closeLog(t, l)
	f := l.Follow(1)
	defer closeFollower(t, f)
	var got []string
	for range 2 {
		x, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %v", x.Payload, x.Skipped))
	}
	if fmt.Sprint(got) != "[first; false third; true]" {
		t.Errorf("got %v", got)
	}
}

func closeFollower(t *testing.T, f *wal.Follower) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
