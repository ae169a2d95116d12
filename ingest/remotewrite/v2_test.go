package remotewrite_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

const contentV2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

// postV2 sends a message of version 2.0, and returns how many floats,
// histograms and exemplars are said to be written.
func postV2(t testing.TB, h http.Handler, raw []byte) (status int, text, written string) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, raw)))
	req.Header.Set("Content-Type", contentV2)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var out []string
	for _, kind := range []string{"Samples", "Histograms", "Exemplars"} {
		out = append(out, rec.Header().Get("X-Prometheus-Remote-Write-"+kind+"-Written"))
	}
	return rec.Code, rec.Body.String(), strings.Join(out, " ")
}

func protoV2(x column.Sample) writev2.Histogram {
	if x.H.Int != nil {
		return writev2.FromIntHistogram(x.Start, x.T, x.H.Int)
	}
	return writev2.FromFloatHistogram(x.Start, x.T, x.H.Float)
}

func encodeV2(t testing.TB, all ...storagetest.Series) []byte {
	t.Helper()
	table := writev2.NewSymbolTable()
	var req writev2.Request
	for _, s := range all {
		ts := writev2.TimeSeries{LabelsRefs: table.SymbolizeLabels(s.Labels, nil)}
		for _, x := range s.Samples {
			if x.H.IsZero() {
				ts.Samples = append(ts.Samples, writev2.Sample{Value: x.V, Timestamp: x.T, StartTimestamp: x.Start})
			} else {
				ts.Histograms = append(ts.Histograms, protoV2(x))
			}
		}
		req.Timeseries = append(req.Timeseries, ts)
	}
	req.Symbols = table.Symbols()
	raw, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVersion2(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	h := newHandler(store, remotewrite.Options{})
	name := func(name string) labels.Labels {
		return labels.FromStrings("__name__", name, "instance", "i", "job", "j")
	}
	want := []storagetest.Series{
		{Labels: name("a"), Samples: []column.Sample{{T: 1000, V: 1}, {T: 2000, V: 2, Start: 500}, {T: 3000, V: column.StaleNaN()}}},
		{Labels: name("b"), Samples: []column.Sample{
			{T: 1000, H: storagetest.IntHistogram(3), Start: 900}, {T: 2000, H: storagetest.FloatHistogram(4)}, {T: 3000, H: storagetest.CustomHistogram(5), Start: 2500},
		}},
		{Labels: name("c"), Samples: []column.Sample{{T: 2000, V: 7, Start: 2000}}},
	}
	sent := append([]storagetest.Series{}, want...)
	sent[0].Samples = append([]column.Sample{}, want[0].Samples...)
	sent[0].Samples[0].Start = 1001 // after its sample: none
	for range 2 {                   // what is there already is written
		if status, text, written := postV2(t, h, encodeV2(t, sent...)); status != http.StatusNoContent || written != "4 3 0" {
			t.Fatalf("status %d: %s; written %s", status, text, written)
		}
	}
	got, err := storagetest.ReadAll(t.Context(), store, tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	if d := storagetest.Diff(want, got); d != "" {
		t.Error(d)
	}
	sent[0].Samples[1].V = 99
	sent[1].Samples = []column.Sample{{T: 2000, H: storagetest.IntHistogram(77)}, {T: 9000, H: storagetest.IntHistogram(78)}}
	sent[2].Labels = labels.FromStrings("job", "j")
	if status, text, written := postV2(t, h, encodeV2(t, sent...)); status != http.StatusBadRequest || written != "2 1 0" {
		t.Errorf("conflicts: status %d: %s; written %s", status, text, written)
	}
}

// TestVersion2Refused sends messages that are none.
func TestVersion2Refused(t *testing.T) {
	good := encodeV2(t, storagetest.Series{Labels: labels.FromStrings("__name__", "a", "job", strings.Repeat("x", 400)), Samples: []column.Sample{{T: 1, V: 1}}})
	marshal := func(r writev2.Request) []byte {
		raw, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	series := func(refs ...uint32) []writev2.TimeSeries { return []writev2.TimeSeries{{LabelsRefs: refs}} }
	many := make([]uint32, 2000)
	for i := range many {
		many[i] = 1
	}
	for name, c := range map[string]struct {
		raw    []byte
		status int
		text   string
	}{
		"cut off":        {good[:len(good)-3], 400, "damaged at offset"},
		"no such symbol": {marshal(writev2.Request{Symbols: []string{"", "a"}, Timeseries: series(1, 2)}), 400, "refers to symbol 2, there are 2"},
		"half a label":   {marshal(writev2.Request{Symbols: []string{"", "a"}, Timeseries: series(1, 1, 1)}), 400, "has no value"},
		"no UTF-8":       {marshal(writev2.Request{Symbols: []string{"", "\xff"}}), 400, "not valid UTF-8"},
		"a bomb":         {marshal(writev2.Request{Symbols: []string{"", strings.Repeat("x", 1000)}, Timeseries: series(many...)}), 413, "its labels have more than"},
	} {
		store := storagetest.NewMemory(storagetest.MemoryOptions{})
		h := newHandler(store, remotewrite.Options{DecompressedBytesMax: 64 << 10})
		status, text, written := postV2(t, h, c.raw)
		if status != c.status || !strings.Contains(text, c.text) || written != "0 0 0" || stored(t, store) != "" {
			t.Errorf("%s: status %d: %s; written %q", name, status, text, written)
		}
	}
}

// FuzzVersion2: no message makes the handler fail other than by refusing it.
func FuzzVersion2(f *testing.F) {
	f.Add(encodeV2(f, storagetest.Series{Labels: labels.FromStrings("__name__", "a"), Samples: []column.Sample{
		{T: 1, V: 1, Start: 1}, {T: 2, H: storagetest.IntHistogram(1)}, {T: 3, H: storagetest.FloatHistogram(1)},
	}}))
	table := writev2.NewSymbolTable()
	refs := table.SymbolizeLabels(labels.FromStrings("__name__", "a"), nil)
	raw, err := (&writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{{
		LabelsRefs: refs, Exemplars: []writev2.Exemplar{{LabelsRefs: refs, Value: 1, Timestamp: 2}},
	}}}).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var store storage.Writer = storagetest.NewMemory(storagetest.MemoryOptions{})
		status, text, written := postV2(t, newHandler(store, remotewrite.Options{DecompressedBytesMax: 1 << 20}), raw)
		if status >= 500 || written == "" {
			t.Errorf("status %d: %s; written %q", status, text, written)
		}
	})
}
