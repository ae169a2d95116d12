package load_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/bench/load"
)

func TestServer(t *testing.T) {
	l := newLoad(t, load.Options{Targets: 3, Series: 200, Seed: 1})
	now := func() time.Time { return time.Unix(someTick, 0) }
	want := l.AppendBody(nil, 2, someTick)
	gunzip := func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	unzstd := func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }
	plain := func(r io.Reader) (io.Reader, error) { return r, nil }
	for _, c := range []struct {
		encoding         load.Encoding
		accept, answered string
		decode           func(io.Reader) (io.Reader, error)
	}{
		{load.Identity, "gzip, zstd", "", plain},
		{load.Gzip, "zstd, gzip", "gzip", gunzip},
		{load.Gzip, "", "", plain},
		{load.Auto, "zstd;q=1, gzip", "zstd", unzstd},
		{load.Auto, "gzip", "gzip", gunzip},
	} {
		s := load.NewServer(l, c.encoding, now)
		req := httptest.NewRequest(http.MethodGet, "/metrics/someone/2", nil)
		req.Header.Set("Accept-Encoding", c.accept)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		if got := rec.Header().Get("Content-Encoding"); got != c.answered {
			t.Errorf("%s to %q is answered in %q, want %q", c.encoding, c.accept, got, c.answered)
			continue
		}
		r, err := c.decode(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s to %q: the body differs (%v)", c.encoding, c.accept, err)
		}
		if got := s.Served("someone"); got != (load.Served{Scrapes: 1, Samples: 200, Bytes: int64(len(want))}) {
			t.Errorf("served %+v", got)
		}
	}
	for _, path := range []string{"/metrics/someone/3", "/metrics/someone/-1", "/metrics/someone", "/metrics//1", "/x"} {
		rec := httptest.NewRecorder()
		load.NewServer(l, load.Identity, now).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != http.StatusNotFound {
			t.Errorf("%s is answered %d, want 404", path, rec.Code)
		}
	}
}

func TestWriteSD(t *testing.T) {
	l := newLoad(t, load.Options{Targets: 5, Series: 10, Jobs: 2})
	var buf bytes.Buffer
	if err := l.WriteSD(&buf, "127.0.0.1:1", "me"); err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := json.Unmarshal(buf.Bytes(), &groups); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 5 {
		t.Fatalf("%d groups, want 5", len(groups))
	}
	instances := map[string]bool{}
	for _, g := range groups {
		instances[g.Labels["instance"]] = true
		if g.Targets[0] != "127.0.0.1:1" || g.Labels["job"] == "" {
			t.Errorf("group %+v", g)
		}
	}
	if len(instances) != 5 || groups[4].Labels["__metrics_path__"] != "/metrics/me/4" {
		t.Errorf("instances %v, last path %q", instances, groups[4].Labels["__metrics_path__"])
	}
}

// TestPush takes pushes with Prometheus' own message and compares every sample
// with what the load says; every third request is refused at first.
func TestPush(t *testing.T) {
	l := newLoad(t, load.Options{Targets: 3, Series: 2100, Seed: 4, Tick: 5 * time.Second})
	type key struct {
		series string
		unixMs int64
	}
	got := map[key]uint64{}
	var mu sync.Mutex
	requests := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests%3 == 0 {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		raw, err := snappy.Decode(nil, body)
		if err != nil {
			t.Error(err)
		}
		var req prompb.WriteRequest
		if err := req.Unmarshal(raw); err != nil {
			t.Error(err)
		}
		for _, ts := range req.Timeseries {
			var lset []labels.Label
			for i, label := range ts.Labels {
				lset = append(lset, labels.Label{Name: label.Name, Value: label.Value})
				if i > 0 && label.Name <= ts.Labels[i-1].Name {
					t.Errorf("labels of %v are not sorted", ts.Labels)
				}
			}
			for _, s := range ts.Samples {
				got[key{labels.New(lset...).String(), s.Timestamp}] = math.Float64bits(s.Value)
			}
		}
	}))
	defer receiver.Close()
	pushed, err := l.Push(t.Context(), receiver.Client(), load.Push{URL: receiver.URL, From: 1000, To: 1003, Step: 2})
	if err != nil {
		t.Fatal(err)
	}
	if pushed.Samples != 3*2100*2 || pushed.Requests != 3*2*2 || pushed.Retries == 0 || len(got) != 3*2100*2 {
		t.Errorf("pushed %+v, received %d samples", pushed, len(got))
	}
	for _, target := range l.Targets() {
		for _, tick := range []int64{1000, 1002} {
			l.Samples(target.Index, tick, func(s load.Sample) bool {
				k := key{labels.New(append(append([]labels.Label{}, s.Labels...), target.Labels...)...).String(), tick * 5000}
				if v, ok := got[k]; !ok || v != math.Float64bits(s.Value) {
					t.Fatalf("%v: received %x (%t), want %x", k, v, ok, math.Float64bits(s.Value))
				}
				return true
			})
		}
	}
}

func TestPushEndsAtARefusal(t *testing.T) {
	l := newLoad(t, load.Options{Targets: 1, Series: 10})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusBadRequest)
	}))
	defer receiver.Close()
	if pushed, err := l.Push(t.Context(), receiver.Client(), load.Push{URL: receiver.URL, To: 5, Step: 1}); err == nil || pushed.Samples != 0 {
		t.Errorf("pushed %+v with error %v", pushed, err)
	}
}
