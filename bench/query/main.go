// Command query answers one PromQL expression again and again from a data
// directory, in this process, and prints how long that took: with a profile,
// the way to see where a query's time goes.
//
//	go run ./bench/query -data.dir DATA -span 1h -step 15s -profile cpu.out 'sum(rate(x[5m]))'
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

type settings struct {
	dir, profile, expr string
	at                 time.Time
	span, step         time.Duration
	rounds, workers    int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "query:", err)
		os.Exit(1)
	}
}

func parse(args []string) (settings, error) {
	var s settings
	var at string
	f := flag.NewFlagSet("query", flag.ContinueOnError)
	f.StringVar(&s.dir, "data.dir", "", "data directory; no server may use it")
	f.StringVar(&s.profile, "profile", "", "write a CPU profile of the rounds here")
	f.StringVar(&at, "at", "", "end of the query in RFC 3339 (default: now)")
	f.DurationVar(&s.span, "span", 0, "length of a range query; 0 asks for one instant")
	f.DurationVar(&s.step, "step", 15*time.Second, "step of a range query")
	f.IntVar(&s.rounds, "rounds", 20, "how often to ask")
	f.IntVar(&s.workers, "workers", runtime.GOMAXPROCS(0), "goroutines of a query")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() != 1 || s.dir == "" {
		return s, errors.New("usage: query -data.dir DATA [flags] EXPRESSION")
	}
	s.expr, s.at = f.Arg(0), time.Now()
	if at != "" {
		var err error
		if s.at, err = time.Parse(time.RFC3339, at); err != nil {
			return s, fmt.Errorf("-at: %w", err)
		}
	}
	return s, nil
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	db, err := tsdb.Open(ctx, tsdb.Options{Retention: -1}, tsdb.Deps{Dir: s.dir, Note: "bench/query"})
	if err != nil {
		return err
	}
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- db.Run(running) }()
	defer func() {
		end()
		err = errors.Join(err, <-ended, db.Close())
	}()
	e, err := promql.NewEngine(promql.Options{Workers: s.workers, CacheMaxBytes: -1, SplitInterval: -1}, promql.Deps{})
	if err != nil {
		return err
	}
	first, err := s.ask(ctx, e, db)
	for errors.Is(err, storage.ErrReplaying) {
		time.Sleep(10 * time.Millisecond)
		first, err = s.ask(ctx, e, db)
	}
	if err != nil {
		return err
	}
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); err = errors.Join(err, f.Close()) }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	times := make([]time.Duration, s.rounds)
	for i := range times {
		began := time.Now()
		if _, err := s.ask(ctx, e, db); err != nil {
			return err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	fmt.Printf("%d series selected, %d samples read, %d series in the answer; median %s, best %s, peak %d KiB\n",
		first.Stats.SeriesSelected, first.Stats.SamplesRead, len(first.Matrix)+len(first.Vector),
		times[len(times)/2], times[0], first.Stats.MemoryPeakBytes>>10)
	return nil
}

func (s settings) ask(ctx context.Context, e *promql.Engine, db *tsdb.DB) (*promql.Result, error) {
	if s.span == 0 {
		return e.Instant(ctx, db, tenant.Default, promql.Query{Expr: s.expr, Time: s.at})
	}
	return e.Range(ctx, db, tenant.Default, promql.Query{Expr: s.expr, Start: s.at.Add(-s.span), End: s.at, Step: s.step})
}
