package blobtest_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/blobtest"
	"github.com/nilometer/nilometer/blob/mem"
)

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Bucket { return blobtest.New(mem.New()) })
}

func TestFaults(t *testing.T) {
	ctx := t.Context()
	inner := mem.New()
	b := blobtest.New(inner)
	lost := errors.New("lost")
	put := func(name string) error { return b.PutIfAbsent(ctx, name, strings.NewReader("x"), 1) }
	for n, ambiguous := range []bool{false, true} {
		b.FailPut(b.Count(blobtest.Put)+2, lost, ambiguous)
		name := string(rune('a' + n))
		if err := put(name + "/1"); err != nil {
			t.Fatal(err)
		}
		if err := put(name + "/2"); !errors.Is(err, lost) {
			t.Fatalf("got %v", err)
		}
		_, err := inner.Stat(ctx, name+"/2")
		if (err == nil) != ambiguous {
			t.Errorf("ambiguous %v: the object's stat says %v", ambiguous, err)
		}
	}
	b.FailName(blobtest.Get, "a/", io.ErrUnexpectedEOF)
	if _, err := b.Get(ctx, "a/1"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if _, err := b.GetRange(ctx, "b/1", 0, 1); err != nil {
		t.Error(err)
	}
	b.Fail(nil)
	if _, err := b.Get(ctx, "a/1"); err != nil {
		t.Error(err)
	}
	if calls := b.Calls(); len(calls) != 7 || calls[0].String() != "1 put a/1" {
		t.Errorf("calls %v", calls)
	}
}
