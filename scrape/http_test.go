package scrape_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// wait polls until ok answers true; the limit only ends a test that hangs.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(limit) {
			t.Fatalf("%s did not happen", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// web is a pool of one HTTP target, scraped often.
func web(t *testing.T, h http.Handler) scrape.PoolOptions {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return scrape.PoolOptions{
		Job: "w", Interval: 200 * time.Millisecond,
		Discovery: discovery.Options{Static: []discovery.Group{
			discovery.StaticGroup([]string{srv.Listener.Addr().String()}, labels.FromStrings("instance", "a:1", "job", "j")),
		}},
	}
}

// outcome scrapes until a target has an outcome.
func outcome(t *testing.T, o scrape.PoolOptions) (*bench, scrape.Target) {
	t.Helper()
	b := start(t, storagetest.MemoryOptions{}, nil)
	t.Cleanup(b.stop)
	b.apply(o)
	var target scrape.Target
	wait(t, "a scrape", func() bool {
		all := b.Targets().Active
		if len(all) == 1 {
			target = all[0]
		}
		return target.Status != metadb.TargetUnknown && target.Status != ""
	})
	return b, target
}

const plain = "# TYPE x gauge\nx 1\ny{a=\"b\"} 2\n"

func TestBodiesAndHeaders(t *testing.T) {
	zip := func(body string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, body)
		_ = w.Close()
		return b.Bytes()
	}
	zst := func(body string) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll([]byte(body), nil)
	}
	bomb := strings.Repeat("# "+strings.Repeat("x", 98)+"\n", 100_000)
	for _, c := range []struct {
		name, contentType, encoding string
		status                      int
		body                        []byte
		want                        metadb.TargetStatus
		text                        string
	}{
		{"plain", "text/plain; version=0.0.4", "", 200, []byte(plain), metadb.TargetUp, ""},
		{"no type", "", "", 200, []byte(plain), metadb.TargetDown, "fallback_scrape_protocol"},
		{"gzip", "text/plain", "gzip", 200, zip(plain), metadb.TargetUp, ""},
		{"zstd", "text/plain", "zstd", 200, zst(plain), metadb.TargetUp, ""},
		{"openmetrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "", 200, []byte(plain + "# EOF\n"), metadb.TargetUp, ""},
		{"openmetrics cut short", "application/openmetrics-text", "", 200, []byte(plain), metadb.TargetParseError, "# EOF"},
		{"html", "text/html", "", 200, []byte("<html>"), metadb.TargetDown, "text/html"},
		{"not found", "text/plain", "", 404, nil, metadb.TargetDown, "404 Not Found"},
		{"broken gzip", "text/plain", "gzip", 200, []byte("no gzip at all"), metadb.TargetDown, "gzip"},
		{"cut gzip", "text/plain", "gzip", 200, zip(plain)[:20], metadb.TargetDown, "unexpected EOF"},
		{"broken zstd", "text/plain", "zstd", 200, []byte("no zstd at all"), metadb.TargetDown, "magic"},
		{"gzip bomb", "text/plain", "gzip", 200, zip(bomb), metadb.TargetOverlimit, "body_size_limit"},
		{"zstd bomb", "text/plain", "zstd", 200, zst(bomb), metadb.TargetOverlimit, "body_size_limit"},
		{"unasked encoding", "text/plain", "br", 200, []byte("x"), metadb.TargetDown, `"br"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := web(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if a := r.Header.Get("Accept-Encoding"); !strings.HasPrefix(a, "zstd, gzip") {
					t.Errorf("Accept-Encoding %q", a)
				}
				if !strings.HasPrefix(r.Header.Get("Accept"), "application/openmetrics-text;version=1.0.0") || r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds") != "0.2" {
					t.Errorf("headers %v", r.Header)
				}
				w.Header()["Content-Type"] = []string{c.contentType}
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write(c.body)
			}))
			o.BodySizeMax = 1 << 20
			b, target := outcome(t, o)
			if target.Status != c.want || !strings.Contains(target.LastError, c.text) {
				t.Errorf("%s: %q", target.Status, target.LastError)
			}
			b.stop()
			if c.want == metadb.TargetUp && !strings.Contains(b.dump(time.Time{}), `{__name__="y", a="b", instance="a:1", job="j"}: 2`) {
				t.Errorf("stored:\n%s", b.dump(time.Time{}))
			}
		})
	}
}

func TestSlowTargets(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for name, h := range map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		},
		"drips": func(w http.ResponseWriter, r *http.Request) {
			for i := 0; r.Context().Err() == nil; i++ {
				_, _ = fmt.Fprintf(w, "x%d 1\n", i)
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, target := outcome(t, web(t, h))
			if target.Status != metadb.TargetTimeout || !strings.Contains(target.LastError, "no whole answer within 190ms") {
				t.Errorf("%s: %q", target.Status, target.LastError)
			}
		})
	}
}

func TestEndlessBodyAndRefusedConnection(t *testing.T) {
	o := web(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := bytes.Repeat([]byte("x 1\n"), 1000)
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	o.BodySizeMax, o.Interval = 100_000, time.Second
	if _, target := outcome(t, o); target.Status != metadb.TargetOverlimit {
		t.Errorf("%s: %q", target.Status, target.LastError)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	o = web(t, http.NotFoundHandler())
	o.Discovery.Static = []discovery.Group{discovery.StaticGroup([]string{address}, labels.EmptyLabels())}
	if _, target := outcome(t, o); target.Status != metadb.TargetDown || !strings.Contains(target.LastError, "refused") {
		t.Errorf("%s: %q", target.Status, target.LastError)
	}
}

func TestHTTPOptions(t *testing.T) {
	var seen atomic.Pointer[http.Request]
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/there?"+r.URL.RawQuery, http.StatusFound)
			return
		}
		seen.Store(r)
		_, _ = io.WriteString(w, plain)
	})
	o := web(t, h)
	o.Path, o.Params, o.DisableCompression = "/moved", url.Values{"a": {"1", "2"}, "b": {"x"}}, true
	client := commonconfig.DefaultHTTPClientConfig
	client.BasicAuth = &commonconfig.BasicAuth{Username: "u", Password: "p"}
	o.HTTPClient = &client
	o.Discovery.Static[0].Labels = labels.FromStrings("__param_b", "y")
	if _, target := outcome(t, o); target.Status != metadb.TargetUp || !strings.HasSuffix(target.URL, "/moved?a=1&a=2&b=y") {
		t.Errorf("%s %q at %s", target.Status, target.LastError, target.URL)
	}
	r := seen.Load()
	if user, password, _ := r.BasicAuth(); user != "u" || password != "p" || r.URL.RawQuery != "a=1&a=2&b=y" {
		t.Errorf("request %s as %s:%s", r.URL, user, password)
	}
	if e := r.Header.Get("Accept-Encoding"); e != "identity" {
		t.Errorf("Accept-Encoding %q", e)
	}

	o.HTTPClient.FollowRedirects = false
	if _, target := outcome(t, o); !strings.Contains(target.LastError, "302 Found") {
		t.Errorf("without following: %q", target.LastError)
	}
	bad := o
	bad.HTTPClient = &commonconfig.HTTPClientConfig{TLSConfig: commonconfig.TLSConfig{CAFile: "/does/not/exist"}}
	b := start(t, storagetest.MemoryOptions{}, nil)
	if err := b.Apply([]scrape.PoolOptions{bad}); err == nil || !strings.Contains(err.Error(), `job "w"`) {
		t.Errorf("a missing CA file gives %v", err)
	}
}

// TestBodyMemory: two large bodies at once are more than the budget, one is not.
func TestBodyMemory(t *testing.T) {
	release := make(chan struct{})
	large := bytes.Repeat([]byte("# x\n"), 100_000)
	o := web(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(large)
		w.(http.Flusher).Flush()
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	o.Interval = 2 * time.Second
	address := o.Discovery.Static[0].Targets[0].Get("__address__")
	for i := range 2 {
		o.Discovery.Static = append(o.Discovery.Static, discovery.StaticGroup([]string{address}, labels.FromStrings("n", fmt.Sprint(i))))
	}
	b := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) { d.BodyMemoryMax = 800_000 })
	b.apply(o)
	over := func() (n int) {
		for _, target := range b.Targets().Active {
			if strings.Contains(target.LastError, "memory for bodies") {
				n++
			}
		}
		return n
	}
	wait(t, "a refusal", func() bool { return over() > 0 })
	close(release)
	wait(t, "all being up", func() bool {
		up := 0
		for _, target := range b.Targets().Active {
			if target.Status == metadb.TargetUp {
				up++
			}
		}
		return up == 3
	})
}

func TestConcurrencyLimit(t *testing.T) {
	var now, most atomic.Int64
	o := web(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(2 * time.Millisecond)
		now.Add(-1)
		_, _ = io.WriteString(w, plain)
	}))
	address := o.Discovery.Static[0].Targets[0].Get("__address__")
	o.Discovery.Static = nil
	for i := range 30 {
		o.Discovery.Static = append(o.Discovery.Static, discovery.StaticGroup([]string{address}, labels.FromStrings("n", fmt.Sprint(i))))
	}
	o.ConcurrencyMax, o.Interval = 3, time.Second
	up := map[string]bool{}
	b := start(t, storagetest.MemoryOptions{}, nil)
	b.apply(o)
	wait(t, "all targets' scrapes", func() bool {
		for _, target := range b.Targets().Active {
			if target.Status == metadb.TargetUp {
				up[target.Labels.Get("n")] = true
			}
		}
		return len(up) == 30
	})
	if most.Load() > 3 {
		t.Errorf("%d scrapes at a time", most.Load())
	}
}

// TestWorkBytes: what a large body takes is told while its target is there.
func TestWorkBytes(t *testing.T) {
	large := bytes.Repeat([]byte("# a comment of thirty-one bytes\n"), 200_000) // 6.4 MB
	o := web(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) }))
	o.Interval = 100 * time.Millisecond
	b := start(t, storagetest.MemoryOptions{}, nil)
	if n := b.WorkBytes(); n != 0 {
		t.Errorf("%d bytes without targets", n)
	}
	b.apply(o)
	wait(t, "a body that is known", func() bool { n := b.WorkBytes(); return n > 2<<20 && n < 30<<20 })
	b.apply()
	wait(t, "the end of the target", func() bool { return b.WorkBytes() == 0 })
}

// TestNoPlace: a target that other targets of its job leave no place says so, and
// how to mend it; the one that hangs says what it did.
func TestNoPlace(t *testing.T) {
	o := web(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	address := o.Discovery.Static[0].Targets[0].Get("__address__")
	o.Discovery.Static = []discovery.Group{
		discovery.StaticGroup([]string{address}, labels.FromStrings("n", "long", "__scrape_interval__", "1050ms", "__scrape_timeout__", "1s")),
		discovery.StaticGroup([]string{address}, labels.FromStrings("n", "short")),
	}
	// Not a multiple of the other interval: they meet at every phase.
	o.ConcurrencyMax, o.Interval, o.Timeout = 1, 200*time.Millisecond, 200*time.Millisecond
	b := start(t, storagetest.MemoryOptions{}, nil)
	b.apply(o)
	told := func(n string, parts ...string) {
		t.Helper()
		wait(t, n+" telling "+parts[0], func() bool {
			for _, target := range b.Targets().Active {
				if target.Labels.Get("n") != n || !strings.Contains(target.LastError, parts[0]) {
					continue
				}
				for _, part := range parts {
					if !strings.Contains(target.LastError, part) {
						t.Errorf("%q does not say %q", target.LastError, part)
					}
				}
				return target.Status == metadb.TargetTimeout
			}
			return false
		})
	}
	told("short", "no request was sent", "190ms", "all of its 1 places", "nilometer.scrape.job_concurrency_max", "deadline exceeded")
	told("long", "no whole answer within 997.5ms")
	told("short", "of waiting for one of the 1 places", "no whole answer within 190ms", "nilometer.scrape.job_concurrency_max")
}

// TestUnixSockets: targets that differ by their socket alone are two targets.
func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	o := web(t, http.NotFoundHandler())
	o.Discovery.Static = nil
	for _, name := range []string{"a", "b"} {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, "x{at=%q,host=%q} 1\n", name, r.Host)
		})}
		go func() { _ = srv.Serve(l) }() // ends with Close
		t.Cleanup(func() { _ = srv.Close() })
		o.Discovery.Static = append(o.Discovery.Static, discovery.StaticGroup([]string{"local"}, labels.FromStrings("__unix_socket__", filepath.Join(dir, name), "job", "j", "instance", name)))
	}
	b := start(t, storagetest.MemoryOptions{}, nil)
	b.apply(o)
	wait(t, "scrapes of both", func() bool {
		up := 0
		for _, target := range b.Targets().Active {
			if target.Status == metadb.TargetUp && target.URL == "http://local/metrics" {
				up++
			}
		}
		return up == 2
	})
	o.Discovery.Static = o.Discovery.Static[:1]
	b.apply(o)
	b.stop()
	for _, name := range []string{"a", "b"} {
		if want := fmt.Sprintf(`{__name__="x", at=%q, host="local", instance=%q, job="j"}: 1`, name, name); !strings.Contains(b.dump(time.Time{}), want) {
			t.Errorf("stored:\n%s\nwithout %s", b.dump(time.Time{}), want)
		}
	}
}
