package remotewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func entry(samples []prompb.Sample, nameValues ...string) prompb.TimeSeries {
	ts := prompb.TimeSeries{Samples: samples}
	for i := 0; i < len(nameValues); i += 2 {
		ts.Labels = append(ts.Labels, prompb.Label{Name: nameValues[i], Value: nameValues[i+1]})
	}
	return ts
}

func encode(t testing.TB, series ...prompb.TimeSeries) []byte {
	t.Helper()
	raw, err := (&prompb.WriteRequest{Timeseries: series}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return snappy.Encode(nil, raw)
}

func newHandler(store storage.Writer, o remotewrite.Options) *remotewrite.Handler {
	return remotewrite.New(o, remotewrite.Deps{
		Writer: store, Tenant: tenant.Default, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
}

func post(t *testing.T, h http.Handler, body []byte, header ...string) (status int, text string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	out, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Code, string(out)
}

func stored(t *testing.T, store storage.Reader) string {
	t.Helper()
	m, err := labels.NewMatcher(labels.MatchRegexp, model.MetricNameLabel, ".+")
	if err != nil {
		t.Fatal(err)
	}
	all, err := storagetest.ReadAll(context.Background(), store, tenant.Default, m)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "%s", s.Labels)
		for _, p := range s.Samples {
			fmt.Fprintf(&b, " %d=%x", p.T, math.Float64bits(p.V))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestSamplesAreStoredBitForBit(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	h := newHandler(store, remotewrite.Options{})
	odd := math.Float64frombits(0x7ff8000000000abc)
	body := encode(t,
		entry([]prompb.Sample{{Value: 1, Timestamp: 1000}, {Value: odd, Timestamp: 2000}}, "__name__", "a", "job", "j", "instance", "i"),
		entry([]prompb.Sample{{Value: 5e-324, Timestamp: 1000}}, "__name__", "b", "job", "j", "instance", "i"),
		entry([]prompb.Sample{{Value: math.Inf(1), Timestamp: 1500}}, "__name__", "c", "empty", "", "zone", "z"),
	)
	if status, text := post(t, h, body, "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy"); status != http.StatusNoContent {
		t.Fatalf("status %d: %s", status, text)
	}
	want := `{__name__="a", instance="i", job="j"} 1000=3ff0000000000000 2000=7ff8000000000abc
{__name__="b", instance="i", job="j"} 1000=1
{__name__="c", zone="z"} 1500=7ff0000000000000
`
	if got := stored(t, store); got != want {
		t.Errorf("stored\n%swant\n%s", got, want)
	}
}

func TestRepeatIsSuccessAndConflictIsNot(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	h := newHandler(store, remotewrite.Options{})
	at := func(v float64) prompb.TimeSeries {
		return entry([]prompb.Sample{{Value: v, Timestamp: 1000}}, "__name__", "a", "job", "j", "instance", "i")
	}
	for range 2 {
		if status, text := post(t, h, encode(t, at(1))); status != http.StatusNoContent {
			t.Fatalf("status %d: %s", status, text)
		}
	}
	status, text := post(t, h, encode(t, at(2)))
	if status != http.StatusBadRequest || !strings.Contains(text, "1 conflict") || !strings.Contains(text, `__name__="a"`) {
		t.Errorf("another value: status %d: %s", status, text)
	}
	// Twice in one request: the first stands, the same again is nothing new.
	status, text = post(t, h, encode(t, entry([]prompb.Sample{{Value: 3, Timestamp: 2000}, {Value: 3, Timestamp: 2000}, {Value: 4, Timestamp: 2000}}, "__name__", "a", "job", "j", "instance", "i")))
	if status != http.StatusBadRequest || !strings.HasPrefix(text, "1 samples stored, rejected: 1 conflict") {
		t.Errorf("twice in one request: status %d: %s", status, text)
	}
	want := "{__name__=\"a\", instance=\"i\", job=\"j\"} 1000=3ff0000000000000 2000=4008000000000000\n"
	if got := stored(t, store); got != want {
		t.Errorf("stored\n%swant\n%s", got, want)
	}
}

func TestBadRequests(t *testing.T) {
	good := encode(t, entry([]prompb.Sample{{Value: 1, Timestamp: 1000}}, "__name__", "a"))
	raw, err := snappy.Decode(nil, good)
	if err != nil {
		t.Fatal(err)
	}
	bomb := []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0x00} // claims 4 GiB
	cases := []struct {
		name   string
		body   []byte
		header []string
		status int
		text   string
	}{
		{"not snappy", []byte("hello"), nil, 400, "not a snappy block"},
		{"bomb", bomb, nil, 413, "max_samples_per_send"},
		{"large", bytes.Repeat([]byte{1}, 2000), nil, 413, "over 1000 bytes compressed"},
		{"cut message", snappy.Encode(nil, raw[:len(raw)-3]), nil, 400, "damaged at offset"},
		{"version 3", good, []string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"}, 415, "not supported"},
		{"json", good, []string{"Content-Type", "application/json"}, 415, "application/x-protobuf"},
		{"gzip", good, []string{"Content-Encoding", "gzip"}, 415, "send snappy"},
		{"no name", encode(t, entry([]prompb.Sample{{Value: 1, Timestamp: 1}}, "job", "a")), nil, 400, "1 invalid_labels"},
		{"label twice", encode(t, entry([]prompb.Sample{{Value: 1, Timestamp: 1}}, "__name__", "a", "x", "1", "x", "2")), nil, 400, "1 invalid_labels"},
		{"invalid utf-8", encode(t, entry([]prompb.Sample{{Value: 1, Timestamp: 1}}, "__name__", "a\xff")), nil, 400, "not valid UTF-8"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			store := storagetest.NewMemory(storagetest.MemoryOptions{})
			h := newHandler(store, remotewrite.Options{CompressedBytesMax: 1000, DecompressedBytesMax: 10_000})
			status, text := post(t, h, tc.body, tc.header...)
			if status != tc.status || !strings.Contains(text, tc.text) {
				t.Errorf("status %d: %s\nwant %d with %q", status, text, tc.status, tc.text)
			}
			if got := stored(t, store); got != "" {
				t.Errorf("stored %s", got)
			}
		})
	}
}

func TestOneBadSeriesDoesNotRejectTheOthers(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	h := newHandler(store, remotewrite.Options{})
	status, text := post(t, h, encode(t,
		entry([]prompb.Sample{{Value: 1, Timestamp: 1}}, "job", "nameless"),
		entry([]prompb.Sample{{Value: 1, Timestamp: 1}}, "__name__", "a"),
	))
	if status != http.StatusBadRequest || !strings.HasPrefix(text, "1 samples stored") {
		t.Errorf("status %d: %s", status, text)
	}
	if got := stored(t, store); got != "{__name__=\"a\"} 1=3ff0000000000000\n" {
		t.Errorf("stored %s", got)
	}
}

func FuzzBody(f *testing.F) {
	f.Add(encode(f, entry([]prompb.Sample{{Value: 1, Timestamp: 1000}}, "__name__", "a", "job", "j")))
	f.Add([]byte{})
	h := newHandler(storagetest.NewMemory(storagetest.MemoryOptions{}), remotewrite.Options{DecompressedBytesMax: 1 << 16})
	f.Fuzz(func(t *testing.T, body []byte) {
		// Both as it comes and as the content of a valid block.
		post(t, h, body)
		if status, _ := post(t, h, snappy.Encode(nil, body)); status >= 500 {
			t.Errorf("status %d", status)
		}
	})
}
