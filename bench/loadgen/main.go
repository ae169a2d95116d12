// Command loadgen serves simulated scrape targets, or pushes the same series by
// remote write. See package bench/load for what the series are.
//
//	go run ./bench/loadgen -targets 100 -series 1000 -sd targets.json
//	go run ./bench/loadgen -push http://127.0.0.1:9090/api/v1/write -interval 5s -duration 1m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nilometer/nilometer/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "loadgen:", err)
		os.Exit(1)
	}
}

// settings are the flags.
type settings struct {
	load               load.Options
	listen, sd, client string
	encoding           string
	push               string
	interval, duration time.Duration
	concurrency, rate  int
}

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("loadgen", flag.ContinueOnError)
	f.IntVar(&s.load.Targets, "targets", 100, "scrape targets")
	f.IntVar(&s.load.Series, "series", 1000, "series of each target")
	f.IntVar(&s.load.Jobs, "jobs", 4, "jobs over which the targets are spread")
	f.Uint64Var(&s.load.Seed, "seed", 1, "what is drawn depends on it alone")
	f.DurationVar(&s.load.Tick, "tick", time.Second, "time between two states of a target")
	f.Float64Var(&s.load.Changing, "changing", 0.22, "share of series that move at every scrape; 1: everything; negative: nothing")
	f.Float64Var(&s.load.Churn, "churn", 0.05, "share of series with a new label value per hour; negative: none")
	f.DurationVar(&s.load.Restart, "restart", 8*time.Hour, "time between restarts of a target, which reset its counters")
	f.StringVar(&s.listen, "listen", "127.0.0.1:0", "address to serve on")
	f.StringVar(&s.sd, "sd", "", "write a file_sd file (JSON) with all targets here")
	f.StringVar(&s.client, "client", "load", "name in the targets' paths under which scrapes are counted")
	f.StringVar(&s.encoding, "encoding", "auto", "identity, gzip or auto (zstd or gzip, what the scraper accepts)")
	f.StringVar(&s.push, "push", "", "push by remote write to this URL and serve nothing")
	f.DurationVar(&s.interval, "interval", 5*time.Second, "push: time between two samples of a series")
	f.DurationVar(&s.duration, "duration", time.Minute, "push: for how long, from now")
	f.IntVar(&s.concurrency, "concurrency", 2, "push: senders")
	f.IntVar(&s.rate, "rate", 0, "push: samples per second at most; 0: no limit")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: all settings are flags", f.Arg(0))
	}
	return s, nil
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	s.load.Jobs = min(s.load.Jobs, s.load.Targets)
	l, err := load.New(s.load)
	if err != nil {
		return err
	}
	if s.push != "" {
		return push(ctx, l, s)
	}
	return serve(ctx, l, s)
}

func push(ctx context.Context, l *load.Load, s settings) error {
	from := l.Tick(time.Now())
	pushed, err := l.Push(ctx, &http.Client{Timeout: 30 * time.Second}, load.Push{
		URL:              s.push,
		From:             from,
		To:               from + int64(s.duration/l.Options().Tick),
		Step:             max(1, int64(s.interval/l.Options().Tick)),
		Concurrency:      s.concurrency,
		SamplesPerSecond: s.rate,
		Live:             true,
	})
	fmt.Printf("pushed %d samples in %d requests (%d retries, %d bytes) in %s\n",
		pushed.Samples, pushed.Requests, pushed.Retries, pushed.Bytes, pushed.Took.Round(time.Millisecond))
	return err
}

func serve(ctx context.Context, l *load.Load, s settings) error {
	encoding, err := load.ParseEncoding(s.encoding)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("serve targets: %w", err)
	}
	if s.sd != "" {
		if err := writeSD(l, s.sd, listener.Addr().String(), s.client); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	targets := load.NewServer(l, encoding, time.Now)
	server := &http.Server{Handler: targets, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Printf("http://%s/metrics/%s/0\n", listener.Addr(), s.client)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if err := server.Close(); err != nil {
		return err
	}
	served := targets.Served(s.client)
	fmt.Printf("served %d scrapes, %d samples, %d bytes\n", served.Scrapes, served.Samples, served.Bytes)
	return nil
}

// writeSD puts the file in place whole: scrapers watch it.
func writeSD(l *load.Load, name, address, client string) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".sd-*")
	if err != nil {
		return fmt.Errorf("write targets to %s: %w", name, err)
	}
	err = errors.Join(l.WriteSD(tmp, address, client), tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write targets to %s: %w", name, err), os.Remove(tmp.Name()))
	}
	return nil
}
