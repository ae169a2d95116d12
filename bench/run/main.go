// Command run measures Nilometer beside its peers, interleaved in one run, and
// appends what it found to bench/RESULTS.md: CPU seconds per million samples,
// resident bytes per series, bytes per sample on disk and query latencies.
//
// Five scenarios:
//
//   - scrape: each system scrapes the same simulated targets (bench/load, served
//     by this process). The systems take turns: while one has its phase the
//     others are paused with SIGSTOP, A B C A B C. Then all run, and queries go
//     round.
//   - push: two hours of the same series are pushed by remote write into each
//     empty system, one after the other; then queries over the two hours, whose
//     results are compared with those of Prometheus.
//   - corpus: the recorded scrapes of bench/testdata/corpus are pushed with
//     their times shifted to end now. This gives honest bytes per sample.
//   - dashboards: a day of 10,000 series of one counter and some others is
//     pushed, and 50 queries of dashboards and alerts go round: wall time, CPU
//     time and peak of memory, answers compared with those of Prometheus.
//   - load: one system at a time scrapes many targets for long, some of which
//     never answer; what counts is that no scrape is missed, how regular they
//     are, and memory.
//
// Everything listens on loopback and lives in a temporary directory; the
// processes are ended on every way out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nilometer/nilometer/bench/load"
)

// settings are the flags.
type settings struct {
	nilometer, peers, results string
	scenarios, only           string
	quick, keep               bool
	load                      load.Options
	encoding                  load.Encoding
	interval, duration        time.Duration
	phases, rounds            int
	hanging                   float64
	pushTargets, pushSamples  int
	pushInterval              time.Duration
}

func parse(args []string) (settings, error) {
	var s settings
	var encoding string
	f := flag.NewFlagSet("run", flag.ContinueOnError)
	f.StringVar(&s.nilometer, "nilometer", "bin/nilometer", "binary of nilometer; empty: measure the peers alone")
	f.StringVar(&s.peers, "peers", os.Getenv("PEERS"), "directory with prometheus and victoria-metrics (default: $PEERS)")
	f.StringVar(&s.results, "results", "bench/RESULTS.md", "append the results to this file; empty: only print them")
	f.StringVar(&s.scenarios, "scenarios", "scrape,push,corpus", "what to run")
	f.StringVar(&s.only, "only", "", "systems to measure, with commas (default: all)")
	f.BoolVar(&s.quick, "quick", false, "small and short, to see that all works: figures mean little")
	f.BoolVar(&s.keep, "keep", false, "keep the temporary directory")
	f.IntVar(&s.load.Targets, "targets", 100, "scrape: targets")
	f.IntVar(&s.load.Series, "series", 1000, "series of each target")
	f.Float64Var(&s.load.Changing, "changing", 0.22, "share of series that move at every scrape; 1: everything")
	f.Float64Var(&s.load.Churn, "churn", 0.05, "share of series with a new label value per hour")
	f.Uint64Var(&s.load.Seed, "seed", 1, "seed of the load")
	f.StringVar(&encoding, "encoding", string(load.Identity), "scrape: identity, gzip or auto (what each system accepts)")
	f.DurationVar(&s.interval, "interval", 5*time.Second, "scrape: interval")
	f.DurationVar(&s.duration, "duration", 3*time.Minute, "scrape: time of each system")
	f.IntVar(&s.phases, "phases", 4, "scrape: turns in which each system's time is cut")
	f.Float64Var(&s.hanging, "hanging", 0, "load: share of targets that never answer")
	f.IntVar(&s.rounds, "rounds", 30, "rounds of the queries")
	f.IntVar(&s.pushTargets, "push-targets", 20, "push: targets")
	f.IntVar(&s.pushSamples, "push-samples", 480, "push: samples of each series")
	f.DurationVar(&s.pushInterval, "push-interval", 15*time.Second, "push: time between two samples of a series")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: all settings are flags", f.Arg(0))
	}
	if s.peers == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return s, fmt.Errorf("find the peers: %w: name their directory with -peers", err)
		}
		s.peers = filepath.Join(cache, "nilometer", "peers")
	}
	if s.quick {
		s.load.Targets, s.duration, s.phases, s.rounds = 20, 18*time.Second, 2, 5
		s.interval, s.pushTargets, s.pushSamples = 2*time.Second, 5, 240
	}
	if s.hanging < 0 || s.hanging > 0.9 {
		return s, errors.New("-hanging is a share from 0 to 0.9")
	}
	if s.phases < 1 || s.duration/time.Duration(s.phases) < 2*s.interval || s.rounds < 1 || s.pushSamples < 2 || s.pushTargets < 1 {
		return s, errors.New("-phases, -rounds and -push-targets must be positive, -push-samples over 1, and a phase (-duration / -phases) two intervals at least")
	}
	for _, name := range strings.Split(s.scenarios, ",") {
		if !slices.Contains([]string{"scrape", "push", "corpus", "dashboards", "load"}, name) {
			return s, fmt.Errorf("scenario %q: scrape, push, corpus, dashboards and load are possible", name)
		}
	}
	var err error
	s.encoding, err = load.ParseEncoding(encoding)
	return s, err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	all, err := systems(s.nilometer, s.peers)
	if err != nil {
		return err
	}
	if s.only != "" {
		names := strings.Split(s.only, ",")
		all = slices.DeleteFunc(all, func(sys system) bool { return !slices.Contains(names, sys.name) })
	}
	for _, sys := range all {
		if err := sys.check(); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "nilometer-bench-")
	if err != nil {
		return fmt.Errorf("make the temporary directory: %w", err)
	}
	if !s.keep {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	r := &runner{settings: s, systems: all, dir: dir}
	began := time.Now()
	// Twice what all the phases take, and time for pushes and queries: a system
	// that hangs must not hang the run.
	bound := 2*s.duration*time.Duration(len(all)) + 30*time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("the run took over %s", bound))
	defer cancel()
	failed := r.runScenarios(ctx)
	if ctx.Err() != nil && failed != nil {
		return failed // half a run is no result
	}
	section := r.section(ctx, began, args)
	fmt.Print(section)
	if s.results == "" {
		return failed
	}
	return errors.Join(failed, appendResults(s.results, section))
}
