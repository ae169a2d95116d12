package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nilometer/nilometer/bench/load"
	"github.com/nilometer/nilometer/bench/procstat"
	"github.com/nilometer/nilometer/bench/report"
)

// The first scrapes make all series: the load is measured when every target that
// answers is up, and some intervals later. warmMax bounds the waiting.
const (
	warmIntervals = 3
	warmMax       = 5 * time.Minute
)

// load is the scenario of that name.
func (r *runner) load(ctx context.Context) error {
	o := r.settings.load
	hanging := int(r.settings.hanging * float64(o.Targets))
	t := r.table(fmt.Sprintf("load: %d targets × %d series every %s for %s, %s bodies, %d targets never answer",
		o.Targets, o.Series, r.settings.interval, r.settings.duration, r.settings.encoding, hanging))
	rows := cells{}
	for _, s := range r.systems {
		if err := r.loadOf(ctx, s, hanging, rows); err != nil {
			return err
		}
	}
	t.Add("scrapes missed, by what the targets saw", "", rows["missed"])
	t.Add("targets not up at the end, of those that answer", "", rows["down"])
	t.Add("scrapes not stored, of those that were answered", "", rows["lost"])
	t.Add("gap between two scrapes off the interval: median", "ms", rows["median"])
	t.Add("… p99", "ms", rows["p99"])
	t.Add("… worst", "ms", rows["worst"])
	t.Add("resident per series, median", "B", rows["resident"])
	t.Add("resident per series, peak", "B", rows["peak"])
	t.Add("CPU per million samples", "s", rows["cpu"])
	t.Add("CPU of the targets' server beside it, per million samples", "s", rows["simulator"])
	return nil
}

// loadOf measures one system.
func (r *runner) loadOf(ctx context.Context, s system, hanging int, rows cells) error {
	o := r.settings.load
	l, err := load.New(o)
	if err != nil {
		return err
	}
	server, rhythm := load.NewServer(l, r.settings.encoding, time.Now), load.NewRhythm(o.Targets, r.settings.interval)
	server.Watch(rhythm)
	server.Hang(hanging)
	address, closeServer, err := serve(server)
	if err != nil {
		return err
	}
	defer closeServer()
	c, err := r.enter(ctx, s, l, hanging, server, address)
	if err != nil {
		return err
	}
	defer c.stop()
	if err := r.warm(ctx, c, o.Targets-hanging); err != nil {
		return err
	}
	rhythm.Reset()
	served, began := server.Served(s.name), time.Now()
	before, err := c.cpu()
	if err != nil {
		return err
	}
	own, err := procstat.CPU(os.Getpid())
	if err != nil {
		return err
	}
	for step := 1; time.Since(began) < r.settings.duration; step++ {
		if err := sleep(ctx, min(5*time.Second, r.settings.duration-time.Since(began))); err != nil {
			return err
		}
		m, err := c.memory()
		if err != nil {
			return err
		}
		c.resident = append(c.resident, float64(m.Resident))
		c.peak = max(c.peak, float64(m.Resident))
		if step%12 == 0 {
			g := rhythm.Regularity(o.Targets-hanging, time.Now())
			r.logf("%s after %s: %d requests, %d missed, p99 %s, worst %s, %d MiB", s.name, time.Since(began).Round(time.Second), g.Requests, g.Missed, g.P99, g.Worst, m.Resident>>20)
		}
	}
	after, err := c.cpu()
	if err != nil {
		return err
	}
	ownAfter, err := procstat.CPU(os.Getpid())
	if err != nil {
		return err
	}
	end := time.Now()
	g := rhythm.Regularity(o.Targets-hanging, end)
	now := server.Served(s.name)
	samples, scrapes := now.Samples-served.Samples, now.Scrapes-served.Scrapes
	if samples == 0 {
		return fmt.Errorf("%s has scraped nothing: %s", s.name, c.logEnd())
	}
	r.loadRows(s.name, c, g, rows, float64(samples), after-before, ownAfter-own)
	return r.stored(ctx, s.name, c, rows, began, end, hanging, scrapes)
}

// warm waits until so many targets are up.
func (r *runner) warm(ctx context.Context, c *contender, answering int) error {
	for began := time.Now(); ; {
		up, err := c.scalar(ctx, "sum(up)")
		if err == nil && int(up) == answering {
			r.logf("%s: all of %d targets are up after %s", c.system.name, answering, time.Since(began).Round(time.Second))
			break
		}
		if time.Since(began) > warmMax {
			r.note("%s: after %s %.0f of %d targets are up", c.system.name, warmMax, up, answering)
			break
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
	return sleep(ctx, warmIntervals*r.settings.interval)
}

func (r *runner) loadRows(name string, c *contender, g load.Regularity, rows cells, samples float64, cpu, own time.Duration) {
	o := r.settings.load
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	rows.set("missed", name, float64(g.Missed+g.Silent))
	rows.set("median", name, ms(g.Median))
	rows.set("p99", name, ms(g.P99))
	rows.set("worst", name, ms(g.Worst))
	series := float64(o.Targets * o.Series)
	rows.set("resident", name, report.Median(c.resident)/series)
	rows.set("peak", name, c.peak/series)
	rows.set("cpu", name, cpu.Seconds()/samples*1e6)
	rows.set("simulator", name, own.Seconds()/samples*1e6)
	r.note("%s: %d scrapes in %s, %.0f samples per second", name, g.Requests, r.settings.duration, samples/r.settings.duration.Seconds())
}

// stored asks the system what it has of the scrapes between two times.
func (r *runner) stored(ctx context.Context, name string, c *contender, rows cells, began, end time.Time, hanging int, scrapes int64) error {
	// What was scraped last is not visible everywhere at once.
	if err := sleep(ctx, 3*time.Second); err != nil {
		return err
	}
	up, err := c.scalar(ctx, "sum(up)")
	if err != nil {
		return err
	}
	o := r.settings.load
	rows.set("down", name, float64(o.Targets-hanging)-up)
	seconds := int(end.Sub(began).Seconds())
	held, err := c.scalar(ctx, fmt.Sprintf("sum(sum_over_time(up[%ds] @ %d))", seconds, end.Unix()))
	if err != nil {
		return err
	}
	// At both ends a scrape of each second may fall on either side.
	r.note("%s: %.0f successful scrapes are stored of the time in which %d were answered", name, held, scrapes)
	rows.set("lost", name, max(0, float64(scrapes)-held-2*float64(o.Targets)/r.settings.interval.Seconds()))
	return r.noteMetrics(ctx, c)
}

// noteMetrics keeps what the system says of its scrapes.
func (r *runner) noteMetrics(ctx context.Context, c *contender) error {
	if c.system.name != nilometer {
		return nil
	}
	text, err := c.get(ctx, "/metrics")
	if err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		for _, name := range []string{"nilometer_scrape_missed_total ", "nilometer_scrape_no_place_total ", `nilometer_scrape_start_lag_seconds_bucket{le="0.1"}`,
			`nilometer_scrape_start_lag_seconds_bucket{le="0.01"}`, "nilometer_scrape_start_lag_seconds_count"} {
			if bytes.HasPrefix(line, []byte(name)) {
				r.note("%s says: %s", c.system.name, bytes.TrimSpace(line))
			}
		}
	}
	return nil
}
