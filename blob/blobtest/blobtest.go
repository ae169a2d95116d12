// Package blobtest tests object stores and what stands on them: Run is the
// conformance suite of blob; Bucket wraps one and makes calls fail, before or
// after they have had their effect.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/nilometer/nilometer/blob"
)

// Run runs the conformance suite of blob, each test on an empty bucket.
func Run(t *testing.T, fresh func(t *testing.T) blob.Bucket) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b blob.Bucket)
	}{
		{"put, get, stat, delete", roundTrip},
		{"sizes", sizes},
		{"racing puts: one wins (I1)", racingPuts},
		{"a put with another size than announced creates nothing", wrongSize},
		{"a reader that fails creates nothing", failingReader},
		{"ranges", ranges},
		{"list: order, prefix, after", listing},
		{"list: the callback stops it and may call the bucket", listCallback},
		{"an open object stays readable after its delete", openObjects},
		{"missing objects", missing},
		{"invalid names", invalidNames},
		{"cancelled calls", cancelled},
		{"puts and deletes beside each other", churn},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got the error %v, want %v", err, want)
	}
}

func put(ctx context.Context, b blob.Bucket, name, content string) error {
	return b.PutIfAbsent(ctx, name, strings.NewReader(content), int64(len(content)))
}

func wantContent(t *testing.T, b blob.Bucket, name, content string) {
	t.Helper()
	got, err := b.Get(t.Context(), name)
	noError(t, err)
	if string(got) != content {
		t.Fatalf("object %s holds %.100q, want %.100q", name, got, content)
	}
}

func names(t *testing.T, b blob.Bucket, prefix, after string) []string {
	t.Helper()
	var got []string
	noError(t, b.List(t.Context(), prefix, after, func(info blob.Info) error {
		got = append(got, info.Name)
		return nil
	}))
	return got
}

func roundTrip(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	const name, content = "block/tenant/01H/meta.json", `{"a":1}`
	noError(t, put(ctx, b, name, content))
	wantContent(t, b, name, content)
	wantError(t, put(ctx, b, name, "other"), blob.ErrExists)
	wantContent(t, b, name, content)
	info, err := b.Stat(ctx, name)
	noError(t, err)
	if info.Name != name || info.SizeBytes != int64(len(content)) || info.Modified.IsZero() {
		t.Errorf("the object is described as %+v", info)
	}
	noError(t, b.Delete(ctx, name))
	_, err = b.Get(ctx, name)
	wantError(t, err, blob.ErrNotFound)
	noError(t, b.Delete(ctx, name))
	noError(t, put(ctx, b, name, "again"))
	wantContent(t, b, name, "again")
}

func sizes(t *testing.T, b blob.Bucket) {
	for _, size := range []int{0, 1, 511, 4096, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1<<20 + 7} {
		content := bytes.Repeat([]byte("0123456789abcdef!"), size/17+1)[:size]
		name := fmt.Sprint("size/", size)
		// Readers may return less than asked for.
		noError(t, b.PutIfAbsent(t.Context(), name, iotest.HalfReader(bytes.NewReader(content)), int64(size)))
		wantContent(t, b, name, string(content))
		object, err := b.Open(t.Context(), name)
		noError(t, err)
		if object.Size() != int64(size) || object.Bytes() != nil && !bytes.Equal(object.Bytes(), content) {
			t.Errorf("the open object of %d bytes has %d", size, object.Size())
		}
		noError(t, object.Close())
	}
}

func racingPuts(t *testing.T, b blob.Bucket) {
	const rounds, racers = 100, 8
	for round := range rounds {
		name := fmt.Sprintf("manifest/t/0/%08d", round)
		var winner atomic.Int64
		var group sync.WaitGroup
		begin := make(chan struct{})
		for r := range racers {
			group.Go(func() {
				<-begin
				err := put(t.Context(), b, name, strings.Repeat(fmt.Sprint(r+1), 1000))
				switch {
				case err == nil:
					if !winner.CompareAndSwap(0, int64(r+1)) {
						t.Errorf("round %d has two winners", round)
					}
				case !errors.Is(err, blob.ErrExists):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		close(begin)
		group.Wait()
		if winner.Load() == 0 {
			t.Fatalf("round %d has no winner", round)
		}
		wantContent(t, b, name, strings.Repeat(fmt.Sprint(winner.Load()), 1000))
	}
	if got := names(t, b, "", ""); len(got) != rounds {
		t.Errorf("%d objects are there, want %d", len(got), rounds)
	}
}

func wrongSize(t *testing.T, b blob.Bucket) {
	for _, announced := range []int64{-1, 0, 4, 6, 1 << 20} {
		err := b.PutIfAbsent(t.Context(), "a", strings.NewReader("12345"), announced)
		if err == nil || errors.Is(err, blob.ErrExists) {
			t.Errorf("5 bytes, announced as %d: %v", announced, err)
		}
	}
	if got := names(t, b, "", ""); len(got) != 0 {
		t.Errorf("objects %q are there", got)
	}
	noError(t, put(t.Context(), b, "a", "12345"))
}

func failingReader(t *testing.T, b blob.Bucket) {
	broken := errors.New("broken")
	err := b.PutIfAbsent(t.Context(), "a", io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), 10)
	wantError(t, err, broken)
	if got := names(t, b, "", ""); len(got) != 0 {
		t.Errorf("objects %q are there", got)
	}
}

func ranges(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	noError(t, put(ctx, b, "a", "0123456789"))
	noError(t, put(ctx, b, "empty", ""))
	object, err := b.Open(ctx, "a")
	noError(t, err)
	for _, r := range []struct {
		offset, length int64
		want           string
	}{
		{0, 10, "0123456789"}, {0, 0, ""}, {0, 1, "0"}, {9, 1, "9"}, {3, 4, "3456"},
		{5, 99, "56789"}, {10, 1, ""}, {11, 5, ""}, {math.MaxInt64, 1, ""}, {1, math.MaxInt64, "123456789"},
	} {
		got, err := b.GetRange(ctx, "a", r.offset, r.length)
		noError(t, err)
		if string(got) != r.want {
			t.Errorf("%d bytes at %d: %q, want %q", r.length, r.offset, got, r.want)
		}
		if r.length > 100 {
			continue
		}
		buf := make([]byte, r.length)
		n, err := object.ReadAt(buf, r.offset)
		if string(buf[:n]) != r.want || n < len(buf) && err != io.EOF || n == len(buf) && err != nil && err != io.EOF {
			t.Errorf("ReadAt of %d bytes at %d: %q, %v", r.length, r.offset, buf[:n], err)
		}
	}
	if _, err := object.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read at a negative offset")
	}
	noError(t, object.Close())
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {math.MinInt64, math.MaxInt64}} {
		if got, err := b.GetRange(ctx, "a", r[0], r[1]); err == nil {
			t.Errorf("%d bytes at %d: %q", r[1], r[0], got)
		}
	}
	got, err := b.GetRange(ctx, "empty", 0, 5)
	noError(t, err)
	if len(got) != 0 {
		t.Errorf("an empty object holds %q", got)
	}
}

func listing(t *testing.T, b blob.Bucket) {
	// "-" and "." are less than "/", "0" is greater: the order is that of whole
	// names, not of directories.
	all := []string{"a-b", "a.b/x", "a/0", "a/b-c", "a/b/c", "a/b/d", "a/b0", "a0", "b/z", "c"}
	for _, i := range []int{5, 0, 9, 3, 7, 1, 8, 2, 6, 4} {
		noError(t, put(t.Context(), b, all[i], "x"))
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "a/b/c", "a.b", "b", "b/z", "c/", "d", "a//", "/", "../"} {
		for _, after := range append([]string{"", "0", "a", "a/", "a/b", "a/b/", "a/b/zzz", "zz"}, all...) {
			var want []string
			for _, name := range all {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			if got := names(t, b, prefix, after); !slices.Equal(got, want) {
				t.Errorf("prefix %q after %q: %q, want %q", prefix, after, got, want)
			}
		}
	}
	noError(t, b.Delete(t.Context(), "a/b/c"))
	noError(t, b.Delete(t.Context(), "a/b/d"))
	if got := names(t, b, "a/b", ""); !slices.Equal(got, []string{"a/b-c", "a/b0"}) {
		t.Errorf("after deletes: %q", got)
	}
}

func listCallback(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	for i := range 5 {
		noError(t, put(ctx, b, fmt.Sprint("d/", i), "content"))
	}
	stop := errors.New("enough")
	var seen []string
	err := b.List(ctx, "d/", "", func(info blob.Info) error {
		seen = append(seen, info.Name)
		if info.SizeBytes != 7 || info.Modified.IsZero() {
			t.Errorf("an object is described as %+v", info)
		}
		if err := b.Delete(ctx, info.Name); err != nil {
			return err
		}
		if len(seen) == 3 {
			return stop
		}
		return nil
	})
	if err != stop {
		t.Errorf("List returned %v", err)
	}
	if !slices.Equal(seen, []string{"d/0", "d/1", "d/2"}) {
		t.Errorf("seen %q", seen)
	}
	if got := names(t, b, "", ""); !slices.Equal(got, []string{"d/3", "d/4"}) {
		t.Errorf("left are %q", got)
	}
}

func openObjects(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	content := strings.Repeat("content", 1000)
	noError(t, put(ctx, b, "d/a", content))
	object, err := b.Open(ctx, "d/a")
	noError(t, err)
	noError(t, b.Delete(ctx, "d/a"))
	noError(t, put(ctx, b, "d/a", "other"))
	got, err := io.ReadAll(io.NewSectionReader(object, 0, object.Size()))
	noError(t, err)
	if string(got) != content || object.Bytes() != nil && string(object.Bytes()) != content {
		t.Error("an open object changed when its name was deleted")
	}
	noError(t, object.Close())
	if _, err := object.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a closed object was read")
	}
}

func missing(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	noError(t, put(ctx, b, "d/a", "x"))
	for _, name := range []string{"a", "d", "d/b", "d/a/b", "d/a/b/c", "e/f"} {
		_, err := b.Get(ctx, name)
		wantError(t, err, blob.ErrNotFound)
		_, err = b.GetRange(ctx, name, 0, 1)
		wantError(t, err, blob.ErrNotFound)
		_, err = b.Open(ctx, name)
		wantError(t, err, blob.ErrNotFound)
		_, err = b.Stat(ctx, name)
		wantError(t, err, blob.ErrNotFound)
		noError(t, b.Delete(ctx, name))
	}
	wantContent(t, b, "d/a", "x")
}

func invalidNames(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	for _, name := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.tmp-1", ".tmp-1/a", "a\x00b", "a\nb", `a\b`, strings.Repeat("x", 901)} {
		wantError(t, put(ctx, b, name, "x"), blob.ErrInvalidName)
		_, err := b.Get(ctx, name)
		wantError(t, err, blob.ErrInvalidName)
		_, err = b.GetRange(ctx, name, 0, 1)
		wantError(t, err, blob.ErrInvalidName)
		_, err = b.Open(ctx, name)
		wantError(t, err, blob.ErrInvalidName)
		_, err = b.Stat(ctx, name)
		wantError(t, err, blob.ErrInvalidName)
		wantError(t, b.Delete(ctx, name), blob.ErrInvalidName)
	}
	noError(t, put(ctx, b, "Ünïcode (1)/a b'*!", "x"))
	wantContent(t, b, "Ünïcode (1)/a b'*!", "x")
}

func cancelled(t *testing.T, b blob.Bucket) {
	noError(t, put(t.Context(), b, "a", "x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, put(ctx, b, "b", "x"), context.Canceled)
	_, err := b.Get(ctx, "a")
	wantError(t, err, context.Canceled)
	_, err = b.Stat(ctx, "a")
	wantError(t, err, context.Canceled)
	_, err = b.Open(ctx, "a")
	wantError(t, err, context.Canceled)
	wantError(t, b.Delete(ctx, "a"), context.Canceled)
	wantError(t, b.List(ctx, "", "", func(blob.Info) error { return nil }), context.Canceled)

	// In the middle of a put.
	ctx, cancel = context.WithCancel(t.Context())
	const size = 4 << 20
	read := 0
	r := readerFunc(func(p []byte) (int, error) {
		if read += len(p); read > size/2 {
			cancel()
		}
		clear(p)
		return len(p), nil
	})
	wantError(t, b.PutIfAbsent(ctx, "big", io.LimitReader(r, size), size), context.Canceled)
	if got := names(t, b, "", ""); !slices.Equal(got, []string{"a"}) {
		t.Errorf("objects %q are there", got)
	}

	// In the middle of a list.
	ctx, cancel = context.WithCancel(t.Context())
	noError(t, put(ctx, b, "b", "x"))
	wantError(t, b.List(ctx, "", "", func(blob.Info) error {
		cancel()
		return nil
	}), context.Canceled)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// churn puts and deletes in one directory from several sides: a delete that
// leaves a directory empty must not fail the put that needs it.
func churn(t *testing.T, b blob.Bucket) {
	ctx := t.Context()
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("block/t/%d/%d", i%3, w)
				if err := errors.Join(put(ctx, b, name, "x"), b.Delete(ctx, name)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Go(func() {
		for range 20 {
			if err := b.List(ctx, "block/", "", func(blob.Info) error { return nil }); err != nil {
				t.Error(err)
				return
			}
		}
	})
	group.Wait()
	if got := names(t, b, "", ""); len(got) != 0 {
		t.Errorf("objects %q are left", got)
	}
}
