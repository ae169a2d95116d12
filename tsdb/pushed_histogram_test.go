package tsdb_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestPushedHistograms sends native histograms by remote write, and finds them
// bit for bit in the head, after a restart, in blocks and compacted, beside
// floats of the same series.
func TestPushedHistograms(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(10*time.Minute), tsdb.Deps{Admitter: storage.AdmitAll{}})
	want := []storagetest.Series{{Labels: storagetest.Named("h")}}
	send := func(db *running, i int64) {
		t.Helper()
		ts := prompb.TimeSeries{Labels: prompb.FromLabels(storagetest.Named("h"), nil)}
		x := column.Sample{T: at(30 * i)}
		switch i % 9 {
		case 6:
			x.V = float64(i)
			ts.Samples = []prompb.Sample{{Value: x.V, Timestamp: x.T}}
		case 7:
			x.H = storagetest.FloatHistogram(i)
			ts.Histograms = []prompb.Histogram{prompb.FromFloatHistogram(x.T, x.H.Float)}
		case 8:
			x.H = storagetest.CustomHistogram(i)
			ts.Histograms = []prompb.Histogram{prompb.FromIntHistogram(x.T, x.H.Int)}
		default:
			x.H = storagetest.IntHistogram(i)
			ts.Histograms = []prompb.Histogram{prompb.FromIntHistogram(x.T, x.H.Int)}
		}
		want[0].Samples = append(want[0].Samples, x)
		raw, err := (&prompb.WriteRequest{Timeseries: []prompb.TimeSeries{ts}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		h := remotewrite.New(remotewrite.Options{}, remotewrite.Deps{
			Writer: db, Tenant: tenant.Default, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		})
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, raw))))
		if rec.Code != http.StatusNoContent {
			t.Fatalf("status %d: %s", rec.Code, rec.Body)
		}
	}
	check := func(s storage.Reader, when string) {
		t.Helper()
		got, err := storagetest.ReadAll(t.Context(), s, tenant.Default)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if d := storagetest.Diff(want, got); d != "" {
			t.Fatalf("%s: %s", when, d)
		}
	}
	for i := range int64(90) {
		send(db, i)
	}
	check(db, "in the head")
	db = reopened(t, db).(*running)
	check(db, "after a restart")
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(db, "after a cut")
	for i := int64(90); i < 180; i++ {
		send(db, i)
	}
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(db, "compacted")
	check(reopened(t, db), "at the end")
}
