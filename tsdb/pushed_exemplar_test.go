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
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestPushedExemplars sends exemplars by both versions of remote write: beside
// samples, in entries of their own, and some that cannot be kept.
func TestPushedExemplars(t *testing.T) {
	var db storage.Store = mustStart(t, mem.New(), quiet(time.Hour), tsdb.Deps{Admitter: storage.AdmitAll{}})
	send := func(raw []byte, contentType, written string) {
		t.Helper()
		h := remotewrite.New(remotewrite.Options{}, remotewrite.Deps{
			Writer: db, Tenant: tenant.Default, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
		})
		req := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(snappy.Encode(nil, raw)))
		req.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if got := rec.Header().Get("X-Prometheus-Remote-Write-Exemplars-Written"); rec.Code != http.StatusNoContent || got != written {
			t.Fatalf("status %d: %s; written %q, want %q", rec.Code, rec.Body, got, written)
		}
	}
	trace := labels.FromStrings("trace_id", "1")
	one := func(name string, seconds int64, sample bool) prompb.TimeSeries {
		ts := prompb.TimeSeries{
			Labels:    prompb.FromLabels(storagetest.Named(name), nil),
			Exemplars: []prompb.Exemplar{{Labels: prompb.FromLabels(trace, nil), Value: 2, Timestamp: at(seconds)}},
		}
		if sample {
			ts.Samples = []prompb.Sample{{Value: 1, Timestamp: at(seconds)}}
		}
		return ts
	}
	v1 := func(all ...prompb.TimeSeries) {
		t.Helper()
		raw, err := (&prompb.WriteRequest{Timeseries: all}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		send(raw, "application/x-protobuf", "")
	}
	v1(one("a", 10, true), one("a", 20, false), one("b", 10, false))
	v1(one("a", 30, false), one("a", 5, false)) // the last one is out of order
	v1(one("a", 30, false))                     // sent again
	table := writev2.NewSymbolTable()
	lset, refs := table.SymbolizeLabels(storagetest.Named("c"), nil), table.SymbolizeLabels(trace, nil)
	request := writev2.Request{Symbols: table.Symbols(), Timeseries: []writev2.TimeSeries{{
		LabelsRefs: lset, Samples: []writev2.Sample{{Value: 1, Timestamp: at(60), StartTimestamp: at(1)}},
		Exemplars: []writev2.Exemplar{
			{LabelsRefs: refs, Value: 1, Timestamp: at(40)}, {LabelsRefs: refs, Value: 1, Timestamp: at(60)}, {LabelsRefs: refs, Value: 1, Timestamp: at(50)},
		},
	}}}
	raw, err := request.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	send(raw, "application/x-protobuf;proto=io.prometheus.write.v2.Request", "2")
	const want = "a@10 a@20 a@30 b@10 c@40 c@60"
	if got := exemplarsOf(t, db); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	db = reopened(t, db)
	if got := exemplarsOf(t, db); got != want {
		t.Errorf("after a restart %q, want %q", got, want)
	}
	wantSeries(t, "samples", db, []storagetest.Series{
		{Labels: storagetest.Named("a"), Samples: []storagetest.Sample{{T: at(10), V: 1}}},
		{Labels: storagetest.Named("c"), Samples: []storagetest.Sample{{T: at(60), V: 1, Start: at(1)}}},
	})
}
