package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/blobtest"
	"github.com/nilometer/nilometer/blob/s3"
	"github.com/nilometer/nilometer/blob/s3/s3test"
)

// server starts an object store and returns a bucket in it.
func server(t *testing.T, change func(*s3.Options)) (*s3test.Server, *s3.Bucket) {
	t.Helper()
	srv := s3test.New("metrics")
	t.Cleanup(srv.Close)
	o := s3.Options{
		Endpoint: strings.TrimPrefix(srv.URL, "http://"), Insecure: true, Bucket: "metrics", AccessKey: "key", SecretKey: "secret",
		PauseMin: time.Millisecond, PauseMax: 5 * time.Millisecond, AttemptsMax: 4,
	}
	if change != nil {
		change(&o)
	}
	b, err := s3.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return srv, b
}

func TestConformance(t *testing.T) {
	for name, change := range map[string]func(*s3.Options){
		"whole bucket": nil,
		"prefix":       func(o *s3.Options) { o.Prefix = "a/b c" },
	} {
		t.Run(name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Bucket {
				srv, b := server(t, change)
				srv.PageMax = 3
				t.Cleanup(func() {
					if n := srv.Uploads(); n > 0 {
						t.Errorf("%d uploads are left", n)
					}
				})
				return b
			})
		})
	}
}

func put(ctx context.Context, b blob.Bucket, name string, content []byte) error {
	return b.PutIfAbsent(ctx, name, bytes.NewReader(content), int64(len(content)))
}

// large is content of several parts.
func large(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(i * i >> 8)
	}
	return out
}

func TestLargeObjects(t *testing.T) {
	srv, b := server(t, func(o *s3.Options) { o.PartBytes = 5 << 20 })
	content := large(12<<20 + 3)
	if err := put(t.Context(), b, "big", content); err != nil {
		t.Fatal(err)
	}
	got, err := b.Get(t.Context(), "big")
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	o, err := b.Open(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	if o.Bytes() != nil || o.Size() != int64(len(content)) {
		t.Errorf("opened with %d bytes", o.Size())
	}
	if got, err := io.ReadAll(io.NewSectionReader(o, 0, o.Size())); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	// Deleted and put again: its bytes are gone, and no others come.
	if err := errors.Join(b.Delete(t.Context(), "big"), put(t.Context(), b, "big", large(12<<20))); err != nil {
		t.Fatal(err)
	}
	if _, err := o.ReadAt(make([]byte, 10), 9<<20); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("read another object: %v", err)
	}
	before := srv.Requests()
	if err := put(t.Context(), b, "big", content); !errors.Is(err, blob.ErrExists) {
		t.Errorf("put again: %v", err)
	}
	if n := srv.Requests() - before; n != 1 {
		t.Errorf("%d requests for what is there", n)
	}
	if srv.Uploads() != 0 {
		t.Error("an upload is left")
	}
}

// TestFaults: whatever one request meets, each call succeeds, and its effect is
// there once.
func TestFaults(t *testing.T) {
	faults := map[string]s3test.Fault{
		"500 before":     {Status: 500},
		"503 before":     {Status: 503, Code: "SlowDown"},
		"429":            {Status: 429, Code: "TooManyRequests"},
		"409":            {Status: 409, Code: "ConditionalRequestConflict"},
		"500 after":      {Status: 500, After: true},
		"hung up before": {HangUp: true},
		"hung up after":  {HangUp: true, After: true},
		"no answer":      {Delay: time.Hour},
		"none after":     {Delay: time.Hour, After: true},
	}
	content := large(11 << 20)
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			every := 3 // so many requests one fails
			srv, b := server(t, func(o *s3.Options) {
				o.PartBytes = 5 << 20
				if fault.Delay > 0 {
					o.TryTimeout, every = time.Second, 6
				}
			})
			hit := 0
			srv.Fail(func(_ int, r *http.Request) s3test.Fault {
				// A part is given the time that its bytes take.
				if hit++; hit%every == 1 && (fault.Delay == 0 || !r.URL.Query().Has("partNumber")) {
					return fault
				}
				return s3test.Fault{}
			})
			ctx := t.Context()
			check := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			check(put(ctx, b, "small", []byte("small")))
			check(put(ctx, b, "d/large", content))
			if err := put(ctx, b, "small", []byte("other")); !errors.Is(err, blob.ErrExists) {
				t.Errorf("put again: %v", err)
			}
			if err := put(ctx, b, "d/large", content[1:]); !errors.Is(err, blob.ErrExists) {
				t.Errorf("put the large one again: %v", err)
			}
			got, err := b.Get(ctx, "d/large")
			check(err)
			if !bytes.Equal(got, content) {
				t.Errorf("got %d bytes", len(got))
			}
			info, err := b.Stat(ctx, "small")
			check(err)
			if info.SizeBytes != 5 {
				t.Errorf("it has %d bytes", info.SizeBytes)
			}
			var names []string
			check(b.List(ctx, "", "", func(i blob.Info) error { names = append(names, i.Name); return nil }))
			if !slices.Equal(names, []string{"d/large", "small"}) {
				t.Errorf("listed %q", names)
			}
			check(b.Delete(ctx, "small"))
			if got := srv.Keys(); !slices.Equal(got, []string{"d/large"}) || srv.Uploads() > 1 { // a begin whose answer was lost is nobody's
				t.Errorf("left are %q and %d uploads", got, srv.Uploads())
			}
		})
	}
}

// TestLostAnswers: a put whose answer was lost is not taken for another's, and
// another's not for its own.
func TestLostAnswers(t *testing.T) {
	srv, b := server(t, nil)
	srv.Fail(func(n int, r *http.Request) s3test.Fault {
		if n == 1 {
			return s3test.Fault{Status: 500, After: true}
		}
		return s3test.Fault{}
	})
	if err := put(t.Context(), b, "a", []byte("mine")); err != nil {
		t.Errorf("its own object: %v", err)
	}
	n := srv.Requests()
	srv.Fail(func(i int, r *http.Request) s3test.Fault {
		if i == n+1 {
			return s3test.Fault{Status: 500}
		}
		return s3test.Fault{}
	})
	if err := put(t.Context(), b, "a", []byte("yours")); !errors.Is(err, blob.ErrExists) {
		t.Errorf("another's object: %v", err)
	}
}

func TestGivingUp(t *testing.T) {
	srv, b := server(t, nil)
	srv.Fail(func(int, *http.Request) s3test.Fault { return s3test.Fault{Status: 503, Code: "SlowDown"} })
	if _, err := b.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "after 4 attempts") || srv.Requests() != 4 {
		t.Errorf("%d requests: %v", srv.Requests(), err)
	}
	srv.Fail(func(int, *http.Request) s3test.Fault { return s3test.Fault{Status: 403, Code: "AccessDenied"} })
	before := srv.Requests()
	if err := put(t.Context(), b, "a", nil); err == nil || !strings.Contains(err.Error(), "refuses access") || srv.Requests() != before+1 {
		t.Errorf("%d requests: %v", srv.Requests()-before, err)
	}
	srv.Fail(nil)
	srv.Bucket = "other"
	if _, err := b.Get(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), "does not exist") || errors.Is(err, blob.ErrNotFound) {
		t.Errorf("without a bucket: %v", err)
	}
}

func TestCheck(t *testing.T) {
	srv, b := server(t, nil)
	if err := b.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if left := srv.Keys(); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	srv.Fail(func(_ int, r *http.Request) s3test.Fault {
		r.Header.Del("If-None-Match")
		return s3test.Fault{}
	})
	if err := b.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "If-None-Match") {
		t.Errorf("a store without conditions: %v", err)
	}
}

// TestManyNames lists more than one page of names.
func TestManyNames(t *testing.T) {
	srv, b := server(t, nil)
	srv.PageMax = 700
	const n = 2500
	for i := range n {
		if err := put(t.Context(), b, fmt.Sprintf("d/%05d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	err := b.List(t.Context(), "d/", "d/00009", func(i blob.Info) error {
		if want := fmt.Sprintf("d/%05d", next+10); i.Name != want {
			return fmt.Errorf("got %s, want %s", i.Name, want)
		}
		next++
		return nil
	})
	if err != nil || next != n-10 {
		t.Errorf("%d names, %v", next, err)
	}
}

func TestParseURL(t *testing.T) {
	env := map[string]string{"AWS_ENDPOINT_URL": "http://store:9000", "AWS_REGION": "eu-west-1"}
	for text, want := range map[string]s3.Options{
		"s3://b":             {Bucket: "b", Endpoint: "store:9000", Insecure: true, Region: "eu-west-1"},
		"s3://k:s%2F@b/p/q/": {Bucket: "b", Prefix: "p/q", AccessKey: "k", SecretKey: "s/", Endpoint: "store:9000", Insecure: true, Region: "eu-west-1"},
		"s3://b/p?endpoint=https://h&region=r&profile=x&virtual_host=true": {Bucket: "b", Prefix: "p", Endpoint: "h", Region: "r", Profile: "x", VirtualHost: true},
	} {
		got, err := s3.ParseURL(text, func(name string) string { return env[name] })
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"s3://", "http://b", "s3://b?x=y", "s3://b?virtual_host=2", "s3://k@b", "s3://b?endpoint=h/p", "s3://k:top%zz@b", "s3://b/" + strings.Repeat("x", 101), "s3://b/../c"} {
		got, err := s3.ParseURL(text, func(string) string { return "" })
		if err == nil {
			t.Errorf("%s: %+v", text, got)
		} else if strings.Contains(err.Error(), "top") {
			t.Errorf("%v shows a secret", err)
		}
	}
}
