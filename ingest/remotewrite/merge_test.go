package remotewrite_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
)

// shaping gives every series with a user the user "other", where samples are
// merged.
type shaping struct{ storage.AdmitAll }

func (shaping) Shape(_ tenant.ID, _ series.Key, lset labels.Labels, o storage.Offer) (labels.Labels, bool, storage.Reason) {
	if u := lset.Get("user"); u == "" || u == "other" {
		return lset, false, storage.ReasonNone
	}
	if !o.Merges {
		return lset, false, storage.ReasonCardinality
	}
	return labels.NewBuilder(lset).Set("user", "other").Labels(), true, storage.ReasonNone
}

// TestMergedSeries: series of a request that were given one make one sample of
// each time; what comes in another request is not added.
func TestMergedSeries(t *testing.T) {
	deps := tsdb.Deps{Dir: t.TempDir(), Admitter: shaping{}}
	db, err := tsdb.Open(t.Context(), tsdb.Options{}, deps)
	if err == nil {
		err = db.Close() // it has made the directory
	}
	if err == nil {
		db, err = tsdb.OpenIdle(t.Context(), tsdb.Options{}, deps)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is asked of it any more
	for what, store := range map[string]storage.Store{
		"memory": storagetest.NewMemory(storagetest.MemoryOptions{Admitter: shaping{}}), "database": db,
	} {
		t.Run(what, func(t *testing.T) { testMerged(t, store) })
	}
}

func testMerged(t *testing.T, store storage.Store) {
	h := newHandler(store, remotewrite.Options{})
	base := time.Now().UnixMilli()
	at := func(pairs ...float64) (out []prompb.Sample) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, prompb.Sample{Timestamp: base + int64(pairs[i]), Value: pairs[i+1]})
		}
		return out
	}
	of := func(name, user string, samples []prompb.Sample) prompb.TimeSeries {
		return entry(samples, "__name__", name, "instance", "i", "job", "j", "user", user)
	}
	stale := math.Float64frombits(value.StaleNaN)
	first := encode(t,
		of("hits_total", "a", at(1000, 1, 2000, 2)), of("hits_total", "b", at(1000, 10, 2000, stale)), of("hits_total", "c", at(1000, 100)),
		of("hits_total", "a", at(1000, 1)), // the same once more
		of("temp", "a", at(1000, 5)), of("temp", "b", at(1000, 6)), of("temp", "c", at(1000, stale)),
		of("gone", "a", at(1000, stale)), of("gone", "b", at(1000, stale)),
		of("alone_total", "other", at(1000, 7)), of("alone_total", "a", at(1000, 8)),
	)
	want := map[string]string{"hits_total": "1000=111 2000=2", "temp": "1000=6", "gone": "1000=stale", "alone_total": "1000=15"}
	check := func(when string) {
		t.Helper()
		all, err := storagetest.ReadAll(t.Context(), store, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, "user", "other"))
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != len(want) {
			t.Errorf("%s: %d series", when, len(all))
		}
		for _, s := range all {
			if got := samplesText(s.Samples, base); got != want[s.Labels.Get("__name__")] {
				t.Errorf("%s: %s has %s, want %s", when, s.Labels, got, want[s.Labels.Get("__name__")])
			}
		}
	}
	for _, when := range []string{"first", "sent again"} {
		if status, text := post(t, h, first); status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", when, status, text)
		}
		check(when)
	}
	if status, text := post(t, h, encode(t, of("hits_total", "d", at(2000, 40)))); status != http.StatusBadRequest || !strings.Contains(text, storage.ReasonConflict.String()) {
		t.Errorf("another request with the time: %d %s", status, text)
	}
	if status, text := post(t, h, encode(t, of("hits_total", "e", at(3000, 1)), of("hits_total", "e", at(3000, 2)))); status != http.StatusBadRequest || !strings.Contains(text, storage.ReasonConflict.String()) {
		t.Errorf("two values of one series: %d %s", status, text)
	}
	want["hits_total"] += " 3000=1"
	check("after conflicts")
}

func samplesText(samples []storagetest.Sample, base int64) string {
	var out []string
	for _, s := range samples {
		v := fmt.Sprint(s.V)
		if value.IsStaleNaN(s.V) {
			v = "stale"
		}
		out = append(out, fmt.Sprintf("%d=%s", s.T-base, v))
	}
	return strings.Join(out, " ")
}
