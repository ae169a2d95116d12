package querylog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/promql/querylog"
)

// file is a buffer that may break and notes its end.
type file struct {
	bytes.Buffer
	broken error
	closed bool
}

func (f *file) Write(b []byte) (int, error) {
	if f.broken != nil {
		return 0, f.broken
	}
	return f.Buffer.Write(b)
}

func (f *file) Close() error {
	f.closed = true
	return nil
}

func newLog(t *testing.T) (*querylog.Log, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	l, err := querylog.New(reg)
	if err != nil {
		t.Fatal(err)
	}
	return l, reg
}

func finished() promql.Finished {
	arrived := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	return promql.Finished{
		Query: promql.ActiveQuery{
			Expr: `sum(rate(x{a="é<>"}[5m])) < 3`, Start: time.UnixMilli(1500), End: time.UnixMilli(60500), Step: 1500 * time.Millisecond,
			Arrived: arrived, SamplesRead: 1234, MemoryPeakBytes: 16 * 77,
		},
		Queued: 250 * time.Millisecond, Total: 1250 * time.Millisecond,
	}
}

// TestFormat holds the lines against those of Prometheus.
func TestFormat(t *testing.T) {
	const head = `{"time":"2026-03-01T12:00:01.255Z","level":"INFO","msg":"promql query logged",` +
		`"params":{"end":"1970-01-01T00:01:00.500Z","query":"sum(rate(x{a=\"é<>\"}[5m])) < 3","start":"1970-01-01T00:00:01.500Z","step":1},`
	const stats = `"stats":{"timings":{"evalTotalTime":1,"resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":1,"execQueueTime":0.25,"execTotalTime":1.25},` +
		`"samples":{"totalQueryableSamples":1234,"samplesRead":1234,"peakSamples":77}}`
	request, group, failed := finished(), finished(), finished()
	request.Origin = promql.Origin{ClientIP: "127.0.0.1", Method: "GET", Path: "/api/v1/query_range"}
	group.Origin = promql.Origin{File: "/etc/rules.yml", Group: "g"}
	failed.Err = errors.New("query was killed")
	for _, c := range []struct {
		name string
		f    promql.Finished
		want string
	}{
		{"plain", finished(), head + stats + "}\n"},
		{"request", request, head + stats + `,"httpRequest":{"clientIP":"127.0.0.1","method":"GET","path":"/api/v1/query_range"}}` + "\n"},
		{"rule", group, head + stats + `,"ruleGroup":{"file":"/etc/rules.yml","name":"g"}}` + "\n"},
		{"failed", failed, head + `"error":"query was killed",` + stats + "}\n"},
	} {
		l, _ := newLog(t)
		var f file
		if err := l.To(&f); err != nil {
			t.Fatal(err)
		}
		l.Log(c.f)
		if f.String() != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, f.String(), c.want)
		}
	}
}

// TestFiles: I2 and I3, and nothing is written without a file.
func TestFiles(t *testing.T) {
	l, reg := newLog(t)
	l.Log(finished())
	var a, b file
	for _, err := range []error{l.To(&a), l.To(&b)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !a.closed || b.closed || a.Len() != 0 {
		t.Errorf("after the change: %+v and %+v", a, b)
	}
	b.broken = errors.New("full")
	l.Log(finished())
	b.broken = nil
	l.Log(finished())
	if err := l.To(nil); err != nil || !b.closed {
		t.Errorf("at the end: %v, %+v", err, b)
	}
	l.Log(finished())
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, b.String())
	}
	if n, err := testutil.GatherAndCount(reg, "nilometer_query_log_failures_total"); err != nil || n != 1 {
		t.Errorf("%d metrics: %v", n, err)
	}
}

// TestLinesDoNotMix: I1.
func TestLinesDoNotMix(t *testing.T) {
	l, _ := newLog(t)
	var f file
	if err := l.To(&f); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				l.Log(finished())
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(f.String(), "\n"), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Fatalf("no JSON: %s", line)
		}
	}
	if len(lines) != 400 {
		t.Errorf("%d lines, 400 queries", len(lines))
	}
}
