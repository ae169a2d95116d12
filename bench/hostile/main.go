// Command hostile measures whether a server stays in its memory limit and keeps
// its alerts while many clients ask queries that are made to hurt.
//
//	go run ./bench/hostile -nilometer bin/nilometer [-series 50000] [-hours 6]
//	    [-clients 50] [-for 60s] [-memory 1GiB] [-dir D]
//
// It fills a data directory up to now, starts the server on it with alert rules
// that are evaluated each second, looks at them for ten quiet seconds, and then
// lets every client ask one hostile query after the other. It prints how long
// the rules took before and meanwhile (from the server's query log), the most
// memory the process had, and what became of each kind of query.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nilometer/nilometer/bench/attack"
)

type options struct {
	nilometer, memory, dir string
	series, hours, clients int
	length                 time.Duration
}

// settling is how long the server has for what it does after a start, quiet how
// long rules are looked at then before anybody asks.
const (
	settling = 5 * time.Second
	quiet    = 10 * time.Second
)

func main() {
	var o options
	flag.StringVar(&o.nilometer, "nilometer", "bin/nilometer", "the server's binary")
	flag.IntVar(&o.series, "series", 50_000, "series, about")
	flag.IntVar(&o.hours, "hours", 6, "hours of samples, every 15s")
	flag.IntVar(&o.clients, "clients", 50, "clients")
	flag.DurationVar(&o.length, "for", time.Minute, "how long they ask")
	flag.StringVar(&o.memory, "memory", "1GiB", "the server's memory limit")
	flag.StringVar(&o.dir, "dir", "", "data directory, filled if it is empty; default a temporary one")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/hostile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	work, err := os.MkdirTemp("", "bench-hostile")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.dir == "" {
		o.dir = filepath.Join(work, "data")
	}
	if _, err := os.Stat(o.dir); err != nil {
		series, samples, err := attack.Fill(ctx, o.dir, o.series, o.hours*int(time.Hour/attack.Interval))
		if err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		fmt.Printf("%d series, %d samples\n", series, samples)
	}
	s, err := start(ctx, o, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	time.Sleep(settling)
	begin := time.Now()
	time.Sleep(quiet)
	loud := time.Now()
	memory := watch(s.cmd.Process.Pid)
	tallies := storm(ctx, o, s.url)
	end := time.Now()
	most := memory()

	lines, err := s.ruleTimes()
	if err != nil {
		return err
	}
	fmt.Printf("%d clients for %v, memory limit %s\n", o.clients, end.Sub(loud).Round(time.Second), o.memory)
	fmt.Printf("rules, quiet:   %s\n", spread(between(lines, begin, loud)))
	fmt.Printf("rules, hostile: %s\n", spread(between(lines, loud, end)))
	fmt.Printf("most memory: anonymous %d MiB, resident %d MiB\n", most.Anonymous>>20, most.Resident>>20)
	missed, err := s.metric("nilometer_rules_evaluations_missed_total")
	if err != nil {
		return err
	}
	fmt.Printf("evaluations missed: %s\n", missed)
	scrapes, err := s.count(fmt.Sprintf("count_over_time(up[%ds])", int(end.Sub(loud).Seconds())), end)
	if err != nil {
		return err
	}
	fmt.Printf("scrapes stored, one a second: %s\n", scrapes)
	report(tallies)
	return nil
}
