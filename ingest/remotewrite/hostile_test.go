package remotewrite_test

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/prompb"

	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
)

// dubious are series that a sender should not have sent beside one that is
// fine: what is said about them, and what of them is stored all the same.
func dubious(now int64) []dubiousCase {
	one := func(v float64, t int64, nameValues ...string) prompb.TimeSeries {
		return entry([]prompb.Sample{{Value: v, Timestamp: t}}, append([]string{"__name__", "odd"}, nameValues...)...)
	}
	many := []string{}
	for i := range 200 {
		many = append(many, fmt.Sprintf("l%03d", i), "v")
	}
	bits := math.Float64frombits
	return []dubiousCase{
		{"pushed an hour ahead", one(1, now+3_600_000), "1 too_far_ahead", ""},
		{"pushed at the end of time", one(1, math.MaxInt64), "1 too_far_ahead", ""},
		{"pushed a year late", one(1, now-365*86_400_000), "1 too_old", ""},
		{"pushed at the beginning of time", one(1, math.MinInt64), "1 too_old", ""},
		{"pushed out of order", entry([]prompb.Sample{{Value: 2, Timestamp: now}, {Value: 1, Timestamp: now - 1000}}, "__name__", "odd"), "", fmt.Sprintf("%d=3ff0000000000000 %d=4000000000000000", now-1000, now)},
		{"pushed with two values at a time", entry([]prompb.Sample{{Value: 1, Timestamp: now}, {Value: 2, Timestamp: now}}, "__name__", "odd"), "1 conflict", fmt.Sprintf("%d=3ff0000000000000", now)},
		{"pushed with 200 labels", one(1, now, many...), "1 invalid_labels", ""},
		{"pushed with a label of 2 MiB", one(1, now, "a", strings.Repeat("v", 2<<20)), "1 invalid_labels", ""},
		{"pushed with a label twice", one(1, now, "a", "1", "a", "2"), "1 invalid_labels", ""},
		{"pushed without a name", entry([]prompb.Sample{{Value: 1, Timestamp: now}}, "a", "b"), "1 invalid_labels", ""},
		{"pushed NaN", one(bits(0x7ff8dead0000beef), now), "", fmt.Sprintf("%d=7ff8dead0000beef", now)},
		{"pushed signaling NaN", one(bits(0x7ff0000000000001), now), "", fmt.Sprintf("%d=7ff0000000000001", now)},
		{"pushed stale marker", one(bits(value.StaleNaN), now), "", fmt.Sprintf("%d=7ff0000000000002", now)},
	}
}

type dubiousCase struct {
	name   string
	series prompb.TimeSeries
	says   string // in an answer of 400; empty: 204
	stored string // behind the labels of the series
}

// TestDubiousSeries: what can be stored of a request is stored, and the answer
// counts the rest by reason.
func TestDubiousSeries(t *testing.T) {
	now := time.Now().UnixMilli()
	for _, c := range dubious(now) {
		t.Run(c.name, func(t *testing.T) {
			admitter, err := limits.New(limits.Options{}, limits.Deps{})
			if err != nil {
				t.Fatal(err)
			}
			deps := tsdb.Deps{Dir: t.TempDir(), Admitter: admitter}
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
			defer func() { _ = db.Close() }()
			h := newHandler(db, remotewrite.Options{})
			status, text := post(t, h, encode(t, c.series, entry([]prompb.Sample{{Value: 1, Timestamp: now}}, "__name__", "zfine")))
			if want := http.StatusNoContent; c.says == "" && status != want || c.says != "" && (status != http.StatusBadRequest || !strings.Contains(text, c.says)) {
				t.Errorf("%d: %.300s", status, text)
			}
			want := fmt.Sprintf("{__name__=\"zfine\"} %d=3ff0000000000000\n", now)
			if c.stored != "" {
				want = "{__name__=\"odd\"} " + c.stored + "\n" + want
			}
			if got := stored(t, db); got != want {
				t.Errorf("stored\n%.500swant\n%s", got, want)
			}
		})
	}
}

// TestSlowBody: a sender whose body does not come gives its place back.
func TestSlowBody(t *testing.T) {
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	srv := httptest.NewServer(newHandler(store, remotewrite.Options{BodyTimeout: 50 * time.Millisecond, ConcurrencyMax: 1}))
	defer srv.Close()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d", res.StatusCode)
	}
	good := encode(t, entry([]prompb.Sample{{Value: 1, Timestamp: 1000}}, "__name__", "a"))
	for range 2 { // over one connection: the deadline is gone
		res, err := http.Post(srv.URL, "application/x-protobuf", strings.NewReader(string(good)))
		if err != nil || res.StatusCode != http.StatusNoContent {
			t.Fatalf("behind it: %v, %v", res, err)
		}
		_ = res.Body.Close()
		time.Sleep(60 * time.Millisecond)
	}
}

// TestDocumented compares the part about pushes of docs/bad-input.md with the
// cases here, as the tests of scraping do.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/bad-input.md")
	if err != nil {
		t.Fatal(err)
	}
	_, pushes, _ := strings.Cut(string(page), "\n## Pushes")
	var documented []string
	for line := range strings.Lines(pushes) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if last := strings.TrimSpace(cells[len(cells)-1]); strings.HasPrefix(last, "pushed ") {
			documented = append(documented, strings.Split(last, ", ")...)
		}
	}
	var cases []string
	for _, c := range dubious(0) {
		cases = append(cases, c.name)
	}
	slices.Sort(cases)
	slices.Sort(documented)
	if !slices.Equal(cases, documented) {
		t.Errorf("the cases are %q,\nthe rows have %q", cases, documented)
	}
}
