package promql_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestLimits: each limit refuses what is over it by name, and with the setting
// that raises it.
func TestLimits(t *testing.T) {
	store := memory(t, generate(3, 10, 200), storagetest.MemoryOptions{})
	const all = `{__name__=~".+"}`
	for _, c := range []struct {
		name    string
		options promql.Options
		expr    string
		limit   string
		setting string
	}{
		{"text", promql.Options{ExprBytesMax: 100}, strings.Repeat(" ", 100) + "1", "bytes of text", "nilometer.query.expression_size_max"},
		{"series", promql.Options{SeriesMax: 50}, all, "series", "nilometer.query.series_max"},
		{"series of several selections", promql.Options{SeriesMax: 250}, "count(" + all + ` or {__name__=~".+.*"} or {__name__=~".*.+"})`, "series", "nilometer.query.series_max"},
		{"samples", promql.Options{SamplesMax: 1000}, all, "samples in memory", "nilometer.query.samples_max"},
		{"memory of one query", promql.Options{QueryMemoryMaxBytes: 100_000}, all, "bytes of memory", "nilometer.query.query_memory_max"},
		{"memory of all", promql.Options{MemoryMaxBytes: 400_000, QueryMemoryMaxBytes: 400_000, RulesMemoryBytes: 300_000}, all, "bytes of memory of all queries", "nilometer.query.memory_max"},
		{"result", promql.Options{ResultMaxBytes: 10_000}, all, "bytes", "nilometer.query.result_size_max"},
		{"labels that grow", promql.Options{}, strings.Repeat("label_replace(", 60) + "up" + strings.Repeat(`, "x", "a$1$1$1$1", "x", "(.*)")`, 60), "bytes of a label's value", "shorter"},
		{"labels joined", promql.Options{QueryMemoryMaxBytes: 10 << 20}, strings.Repeat("label_join(", 60) + "up" + strings.Repeat(`, "job", "-", "job", "job", "job")`, 60), "bytes of memory", "nilometer.query.query_memory_max"},
		{"steps", promql.Options{StepsMax: 10}, all, "steps", "longer"},
	} {
		reg := prometheus.NewRegistry()
		e, err := promql.NewEngine(c.options, promql.Deps{Registerer: reg})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Range(context.Background(), store, tenant.Default, span(c.expr))
		var limit *promql.LimitError
		if !errors.As(err, &limit) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if limit.Limit != c.limit || limit.Seen <= limit.Max || !strings.Contains(limit.Error(), c.setting) || limit.Transient != (c.name == "memory of all") {
			t.Errorf("%s: %+v", c.name, limit)
		}
		if n := testutil.ToFloat64(gauge1(t, reg, "nilometer_query_memory_bytes")); n != 0 {
			t.Errorf("%s: %v bytes are still counted", c.name, n)
		}
	}
}

// TestAnswersHoldMemory: an answer counts until it is closed or forgotten, and
// when answers have taken all of the memory, rules still have their own.
func TestAnswersHoldMemory(t *testing.T) {
	reg := prometheus.NewRegistry()
	e, err := promql.NewEngine(promql.Options{MemoryMaxBytes: 4 << 20, QueryMemoryMaxBytes: 3 << 20, RulesMemoryBytes: 3 << 20}, promql.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	store := memory(t, generate(3, 10, 200), storagetest.MemoryOptions{})
	held := func() float64 { return testutil.ToFloat64(gauge1(t, reg, "nilometer_query_memory_bytes")) }
	q := span(`{__name__=~".+"}`)
	var answers []*promql.Result
	var limit *promql.LimitError
	for err == nil && len(answers) < 100 {
		var res *promql.Result
		if res, err = e.Range(context.Background(), store, tenant.Default, q); err == nil {
			answers = append(answers, res)
		}
	}
	if !errors.As(err, &limit) || limit.Max != 1<<20 || !limit.Transient || len(answers) == 0 {
		t.Fatalf("after %d answers: %v", len(answers), err)
	}
	full := held()
	points := 0
	for _, s := range answers[0].Matrix {
		points += s.Points.Len()
	}
	if full < float64(len(answers)*points*8) {
		t.Errorf("%d answers of %d points count %v bytes", len(answers), points, full)
	}
	rule, err := e.Range(storage.Essential(context.Background()), store, tenant.Default, q)
	if err != nil {
		t.Errorf("a rule beside full memory: %v", err)
	}
	if held() != full || testutil.ToFloat64(gauge1(t, reg, "nilometer_query_rules_memory_bytes")) == 0 {
		t.Errorf("the answer of a rule counts in the wrong place: %v bytes of others, before %v", held(), full)
	}
	rule.Close()
	if n := testutil.ToFloat64(gauge1(t, reg, "nilometer_query_rules_memory_bytes")); n != 0 {
		t.Errorf("%v bytes of a closed answer are counted", n)
	}

	answers[0].Close()
	answers[0].Close()
	if one := full / float64(len(answers)); held() > full-one+1 {
		t.Errorf("%v bytes are counted, before one of %d was closed %v", held(), len(answers), full)
	}
	answers = nil
	for held() > 0 { // until the collector has found them
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
}

// TestMemoryIsBounded: many queries at once never have more than the limit, and
// each is answered or refused by it.
func TestMemoryIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	const most = 1 << 20
	e, err := promql.NewEngine(promql.Options{MemoryMaxBytes: most, QueryMemoryMaxBytes: most, ConcurrentMax: 8, Workers: 2}, promql.Deps{Registerer: reg})
	if err != nil {
		t.Fatal(err)
	}
	store := memory(t, generate(3, 10, 200), storagetest.MemoryOptions{BatchSeries: 3})
	const clients = 16
	done, ended := make(chan int), make(chan struct{})
	exprs := append(expressions()[:10], `{__name__=~".+"}`, `{__name__=~".+"} + 1`)
	for i := range clients {
		go func() {
			// Each client keeps its answers until it is refused, so together
			// they come to more than the limit however they are scheduled.
			refused, kept := 0, []*promql.Result{}
			drop := func() {
				for _, res := range kept {
					res.Close()
				}
				kept = kept[:0]
			}
			for j := range 40 {
				res, err := e.Range(context.Background(), store, tenant.Default, span(exprs[(i*20+j)%len(exprs)]))
				var limit *promql.LimitError
				switch {
				case err == nil:
					kept = append(kept, res)
				case errors.As(err, &limit) && limit.Transient:
					refused++
					drop()
				}
			}
			done <- refused
			<-ended // what it kept until here stays in the others' way
			drop()
			done <- 0
		}()
	}
	refused := 0
	for n := 0; n < 2*clients; {
		select {
		case some := <-done:
			if n++; n == clients {
				close(ended)
			}
			refused += some
		default:
			if n := testutil.ToFloat64(gauge1(t, reg, "nilometer_query_memory_bytes")); n > most {
				t.Fatalf("%v bytes are out, the limit is %d", n, most)
			}
			time.Sleep(time.Millisecond)
		}
	}
	if n := testutil.ToFloat64(gauge1(t, reg, "nilometer_query_memory_bytes")); n != 0 {
		t.Errorf("%v bytes are counted at the end", n)
	}
	if refused == 0 {
		t.Error("the limit was never reached: the test shows nothing")
	}
}
