// Command engine measures the database as a whole with many series: memory and
// bytes written while it fills, the start after a kill, and a cut.
//
//	go run ./bench/engine [-series 1000000] [-scrapes 480] [-interval 15s]
//	    [-churn 0.05] [-changing 0.6] [-dir D]
//
// A child process fills the head of a database in -dir (a temporary directory
// by default) with the recorded node exporter's series for so many targets,
// prints what that took, and ends without closing anything. A second child
// opens the directory and prints when it could answer; then it cuts the span, and
// prints how long scrapes and queries took meanwhile.
// -churn replaces that share of the targets in an hour, one after the other;
// -changing makes as many of the series that stand still change, now and then,
// that this share of all changes within three minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/tsdb"
)

// begin is a multiple of two hours, 2023-11-14 22:00 UTC.
const begin = 1_699_999_200_000

// gcPercent and startGCPercent, up to the complete answer, are the server's.
const (
	gcPercent      = 40
	startGCPercent = 10
)

// looks is how often the database looks at what is to be done: the data's time
// goes by some hundred times faster than that of the clock.
const looks = 200 * time.Millisecond

type options struct {
	series, scrapes int
	interval        time.Duration
	churn, changing float64
	dir, phase      string
	profile         string
}

func main() {
	var o options
	flag.IntVar(&o.series, "series", 1_000_000, "series, about")
	flag.IntVar(&o.scrapes, "scrapes", 480, "scrapes of each target")
	flag.DurationVar(&o.interval, "interval", 15*time.Second, "between two scrapes")
	flag.Float64Var(&o.churn, "churn", 0, "share of the targets that others replace, an hour")
	flag.Float64Var(&o.changing, "changing", 0, "share of the series that change within three minutes, at least")
	flag.StringVar(&o.profile, "profile", "", "file for a CPU profile of the start, up to the complete answer")
	flag.StringVar(&o.dir, "dir", "", "data directory, empty at first; default a temporary one")
	flag.StringVar(&o.phase, "phase", "", "fill or start: for the children")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/engine:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	debug.SetGCPercent(gcPercent)
	switch o.phase {
	case "fill":
		return fill(ctx, o)
	case "start":
		return start(ctx, o)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "bench-engine"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	for _, phase := range []string{"fill", "start"} {
		c := exec.CommandContext(ctx, os.Args[0], append(os.Args[1:], "-dir", o.dir, "-phase", phase)...)
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("%s: %w", phase, err)
		}
	}
	return nil
}

// open opens the database. Its clock is that of the data.
func open(ctx context.Context, o options, now func() time.Time, reg prometheus.Registerer) (*tsdb.DB, error) {
	return tsdb.Open(ctx, tsdb.Options{MaintenanceInterval: looks}, tsdb.Deps{Dir: o.dir, Clock: now, Registerer: reg})
}

// counter is the value of a counter without labels.
func counter(reg *prometheus.Registry, name string) (float64, error) {
	families, err := reg.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue(), nil
		}
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
