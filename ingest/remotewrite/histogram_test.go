package remotewrite_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func histograms(hs []prompb.Histogram, nameValues ...string) prompb.TimeSeries {
	ts := entry(nil, nameValues...)
	ts.Histograms = hs
	return ts
}

func proto(t int64, h storage.Histogram) prompb.Histogram {
	if h.Int != nil {
		return prompb.FromIntHistogram(t, h.Int)
	}
	return prompb.FromFloatHistogram(t, h.Float)
}

func TestHistogramsAreStored(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	h := newHandler(store, remotewrite.Options{})
	ints, floats, custom, gauge := storagetest.IntHistogram(3), storagetest.FloatHistogram(4), storagetest.CustomHistogram(5), storagetest.GaugeHistogram(6)
	stale := storage.Histogram{Int: &histogram.Histogram{Sum: column.StaleNaN()}}
	mixed := histograms([]prompb.Histogram{proto(2000, custom)}, "__name__", "b", "job", "j", "instance", "i")
	mixed.Samples = []prompb.Sample{{Value: 7, Timestamp: 1000}}
	body := encode(t,
		histograms([]prompb.Histogram{proto(1000, ints), proto(2000, floats), proto(3000, stale)}, "__name__", "a", "job", "j", "instance", "i"),
		mixed,
		histograms([]prompb.Histogram{proto(1500, gauge)}, "__name__", "c", "zone", "z"))
	for range 2 {
		if status, text := post(t, h, body); status != http.StatusNoContent {
			t.Fatalf("status %d: %s", status, text)
		}
	}
	got, err := storagetest.ReadAll(t.Context(), store, tenant.Default)
	if err != nil {
		t.Fatal(err)
	}
	name := func(name string) labels.Labels {
		return labels.FromStrings("__name__", name, "instance", "i", "job", "j")
	}
	want := []storagetest.Series{
		{Labels: name("a"), Samples: []storagetest.Sample{{T: 1000, H: ints}, {T: 2000, H: floats}, {T: 3000, V: column.StaleNaN()}}},
		{Labels: name("b"), Samples: []storagetest.Sample{{T: 1000, V: 7}, {T: 2000, H: custom}}},
		{Labels: labels.FromStrings("__name__", "c", "zone", "z"), Samples: []storagetest.Sample{{T: 1500, H: gauge}}},
	}
	if d := storagetest.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestBadHistograms(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	h := newHandler(store, remotewrite.Options{})
	good, bad := proto(1000, storagetest.IntHistogram(3)), proto(1000, storagetest.IntHistogram(3))
	bad.PositiveDeltas = bad.PositiveDeltas[1:]
	status, text := post(t, h, encode(t,
		histograms([]prompb.Histogram{bad}, "__name__", "a", "job", "j", "instance", "i"),
		histograms([]prompb.Histogram{good}, "__name__", "b", "job", "j", "instance", "i")))
	if status != http.StatusBadRequest || !strings.HasPrefix(text, "1 samples stored, rejected: 1 invalid_histogram") || !strings.Contains(text, `__name__="a"`) {
		t.Errorf("one that contradicts itself: status %d: %s", status, text)
	}
	// A float and a histogram at one time: the first stands.
	mixed := histograms([]prompb.Histogram{proto(2000, storagetest.IntHistogram(3))}, "__name__", "b", "job", "j", "instance", "i")
	mixed.Samples = []prompb.Sample{{Value: 7, Timestamp: 2000}}
	if status, text = post(t, h, encode(t, mixed)); status != http.StatusBadRequest || !strings.HasPrefix(text, "1 samples stored, rejected: 1 conflict") {
		t.Errorf("two types at one time: status %d: %s", status, text)
	}
	// A message that is damaged: WriteRequest{timeseries: {histograms: "\xff"}}.
	if status, text = post(t, h, snappy.Encode(nil, []byte{0x0a, 3, 0x22, 1, 0xff})); status != http.StatusBadRequest || !strings.Contains(text, "histogram at offset 4") {
		t.Errorf("a damaged histogram: status %d: %s", status, text)
	}
}
