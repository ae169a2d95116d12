package promql_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestLog: every query that could be parsed is told, with what it took and how
// it ended, and slow ones in the log.
func TestLog(t *testing.T) {
	var out strings.Builder
	e, err := promql.NewEngine(promql.Options{SlowLog: time.Nanosecond, SamplesMax: 5000}, promql.Deps{Logger: slog.New(slog.NewTextHandler(&out, nil))})
	if err != nil {
		t.Fatal(err)
	}
	var told []promql.Finished
	e.SetLog(func(f promql.Finished) { told = append(told, f) })
	store := memory(t, generate(3, 10, 200), storagetest.MemoryOptions{})
	ctx := promql.WithOrigin(context.Background(), promql.Origin{ClientIP: "10.0.0.1", Path: "/x"})
	ask := func(expr string) {
		_, _ = e.Range(ctx, store, tenant.Default, span(expr))
	}
	long := "sum(up) + " + strings.Repeat(" ", 10000) + "1"
	ask(long)
	ask(`{__name__=~".+"}`)
	ask(`sum(`)
	if len(told) != 2 {
		t.Fatalf("%d queries are told: %+v", len(told), told)
	}
	good, bad := told[0], told[1]
	var limit *promql.LimitError
	if good.Err != nil || good.Query.Expr != long || good.Query.SamplesRead == 0 || good.Query.MemoryPeakBytes == 0 || good.Total <= 0 || good.Total < good.Queued || good.Origin.Path != "/x" {
		t.Errorf("told: %+v", good)
	}
	if !errors.As(bad.Err, &limit) || bad.Query.SeriesSelected == 0 {
		t.Errorf("told: %+v", bad)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || len(lines[0]) > 5000 || !strings.Contains(lines[0], `msg="slow query"`) || !strings.Contains(lines[0], "client=10.0.0.1") || !strings.Contains(lines[1], "err=") {
		t.Errorf("the log says %s", out.String())
	}
	e.SetLog(nil)
	ask("up")
	if len(told) != 2 {
		t.Error("told after the end")
	}
}
