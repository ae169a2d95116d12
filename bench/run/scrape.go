package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nilometer/nilometer/bench/load"
	"github.com/nilometer/nilometer/bench/procstat"
	"github.com/nilometer/nilometer/bench/report"
)

// contender is a system in the scrape scenario with what was measured of it.
type contender struct {
	*process
	// cpuPerMillion are CPU seconds per million samples, one a phase.
	cpuPerMillion []float64
	// startCPU is the CPU seconds from the start until every target was scraped
	// once: the price of new series.
	startCPU float64
	// resident and anonymous are bytes, one a second of the last phase.
	resident, anonymous []float64
	peak                float64
}

// scrape is the scenario of that name.
func (r *runner) scrape(ctx context.Context) (err error) {
	l, err := load.New(r.settings.load)
	if err != nil {
		return err
	}
	server := load.NewServer(l, r.settings.encoding, time.Now)
	address, closeServer, err := serve(server)
	if err != nil {
		return err
	}
	defer closeServer()
	var all []*contender
	defer func() {
		for _, c := range all {
			c.stop()
		}
	}()
	for phase := range r.settings.phases {
		for i, s := range r.systems {
			if phase == 0 {
				c, err := r.enter(ctx, s, l, 0, server, address)
				if err != nil {
					return err
				}
				all = append(all, c)
			}
			if err := r.phase(ctx, all[i], server, phase); err != nil {
				return err
			}
		}
	}
	r.scrapeTable(all)
	for _, c := range all {
		if err := c.resume(); err != nil {
			return err
		}
	}
	// Two intervals, so that all are in step again after their pause.
	if err := sleep(ctx, 2*r.settings.interval); err != nil {
		return err
	}
	var ps []*process
	for _, c := range all {
		ps = append(ps, c.process)
	}
	now := time.Now()
	if err := r.queries(ctx, "query latency while scraping", ps, window{from: now.Add(-5 * time.Minute), to: now, step: 15 * time.Second}); err != nil {
		return err
	}
	// What was scraped last is not visible everywhere at once.
	closeServer()
	if err := sleep(ctx, 3*time.Second); err != nil {
		return err
	}
	return r.scrapedDisk(ctx, all, server)
}

// serve serves on a free loopback port.
func serve(handler http.Handler) (address string, closeServer func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve the targets: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(listener) // ends with Close
		close(ended)
	}()
	return listener.Addr().String(), func() { _ = server.Close(); <-ended }, nil
}

// enter starts a system on the targets and waits until each was scraped once, but
// for those that hang.
func (r *runner) enter(ctx context.Context, s system, l *load.Load, hanging int, server *load.Server, address string) (*contender, error) {
	dir, err := r.home("scrape", s)
	if err != nil {
		return nil, err
	}
	var sd bytes.Buffer
	if err := l.WriteSD(&sd, address, s.name); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	// Alone in a directory: discovery by file reads all files again when anything
	// beside them changes, and logs do.
	targets := filepath.Join(dir, "sd", "targets.json")
	text := fmt.Sprintf("global:\n  scrape_interval: %s\n  scrape_timeout: %s\nscrape_configs:\n- job_name: load\n  file_sd_configs:\n  - files: [%q]\n",
		promDuration(r.settings.interval), promDuration(r.settings.interval*4/5), targets)
	if err := errors.Join(os.Mkdir(filepath.Dir(targets), 0o755), os.WriteFile(targets, sd.Bytes(), 0o644), os.WriteFile(config, []byte(text), 0o644)); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", s.name, err)
	}
	p, err := start(ctx, s, dir, config)
	if err != nil {
		return nil, err
	}
	c := &contender{process: p}
	deadline := time.Now().Add(max(readyTimeout, 4*r.settings.interval))
	for server.Served(s.name).Scrapes < int64(len(l.Targets())-hanging) {
		if time.Now().After(deadline) {
			c.stop()
			return nil, fmt.Errorf("%s has scraped %d of %d targets within %s: %s", s.name, server.Served(s.name).Scrapes, len(l.Targets()), readyTimeout, p.logEnd())
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			c.stop()
			return nil, err
		}
	}
	cpu, err := c.cpu()
	if err != nil {
		c.stop()
		return nil, err
	}
	c.startCPU = cpu.Seconds()
	r.logf("%s is ready and has scraped each target", s.name)
	return c, nil
}

// promDuration spells a duration as Prometheus' configuration takes it.
func promDuration(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

// phase lets one system run and measures it; the others are paused.
func (r *runner) phase(ctx context.Context, c *contender, server *load.Server, number int) error {
	if err := c.resume(); err != nil {
		return err
	}
	// The first scrapes after a pause come in a heap: they are not measured.
	if err := sleep(ctx, r.settings.interval); err != nil {
		return err
	}
	before, err := c.cpu()
	if err != nil {
		return err
	}
	served := server.Served(c.system.name)
	end := time.Now().Add(r.settings.duration/time.Duration(r.settings.phases) - r.settings.interval)
	last := number == r.settings.phases-1
	for time.Now().Before(end) {
		if err := sleep(ctx, min(time.Second, time.Until(end))); err != nil {
			return err
		}
		m, err := c.memory()
		if err != nil {
			return err
		}
		c.peak = max(c.peak, float64(m.Resident))
		if last {
			c.resident = append(c.resident, float64(m.Resident))
			c.anonymous = append(c.anonymous, float64(m.Anonymous))
		}
	}
	after, err := c.cpu()
	if err != nil {
		return err
	}
	samples := server.Served(c.system.name).Samples - served.Samples
	if samples == 0 {
		return fmt.Errorf("%s has scraped nothing in a phase: %s", c.system.name, c.logEnd())
	}
	per := (after - before).Seconds() / float64(samples) * 1e6
	c.cpuPerMillion = append(c.cpuPerMillion, per)
	r.logf("phase %d, %s: %.3f CPU s per million samples (%d samples)", number+1, c.system.name, per, samples)
	return c.pause()
}

func (r *runner) scrapeTable(all []*contender) {
	o := r.settings.load
	series := float64(o.Targets * o.Series)
	t := r.table(fmt.Sprintf("scrape: %d targets × %d series every %s, %s each, %s bodies, changing %g", o.Targets, o.Series, r.settings.interval, r.settings.duration, r.settings.encoding, o.Changing))
	rows := cells{}
	for _, c := range all {
		name := c.system.name
		rows.set("cpu", name, report.Median(c.cpuPerMillion))
		rows.set("worst", name, report.Quantile(1, c.cpuPerMillion))
		rows.set("start", name, c.startCPU/series*1e6)
		rows.set("resident", name, report.Median(c.resident)/series)
		rows.set("anonymous", name, report.Median(c.anonymous)/series)
		rows.set("peak", name, c.peak/series)
	}
	t.Add("CPU per million samples, median of phases", "s", rows["cpu"])
	t.Add("CPU per million samples, worst phase", "s", rows["worst"])
	t.Add("CPU from start to first scrape of all, per million series", "s", rows["start"])
	t.Add("resident per series, median of last phase", "B", rows["resident"])
	t.Add("anonymous per series, median of last phase", "B", rows["anonymous"])
	t.Add("resident per series, peak", "B", rows["peak"])
}

// scrapedDisk checks that what was served has been stored, and measures what
// it takes on disk.
func (r *runner) scrapedDisk(ctx context.Context, all []*contender, server *load.Server) error {
	t := r.table("scrape: storage after few samples a series (the index weighs most)")
	rows := cells{}
	for _, c := range all {
		name := c.system.name
		stored, err := c.scalar(ctx, fmt.Sprintf("sum(sum_over_time(scrape_samples_scraped{cluster=%q}[6h]))", "bench"))
		served := float64(server.Served(name).Samples)
		if err != nil {
			r.note("%s does not say how many samples it holds: %v", name, err)
		} else if ratio := stored / served; ratio < 0.99 || ratio > 1.01 {
			r.note("%s says that it scraped %.0f samples; %.0f were served to it", name, stored, served)
		}
		if err := r.disk(ctx, c.process, served, rows); err != nil {
			return err
		}
	}
	addDisk(t, rows)
	return nil
}

// disk measures a system's directory before and after it settles; the system
// may be stopped by that.
func (r *runner) disk(ctx context.Context, p *process, samples float64, rows cells) error {
	before, err := procstat.DirBytes(filepath.Join(p.dir, "data"))
	if err != nil {
		return err
	}
	dirs, err := p.system.settle(ctx, p)
	if err != nil {
		r.note("%s could not settle its data: %v", p.system.name, err)
		rows.set("whole", p.system.name, float64(before)/samples)
		return nil
	}
	after, err := procstat.DirBytes(dirs...)
	if err != nil {
		return err
	}
	rows.set("whole", p.system.name, float64(before)/samples)
	if after == 0 {
		r.note("%s left nothing in %s", p.system.name, strings.Join(dirs, ", "))
		return nil
	}
	rows.set("settled", p.system.name, float64(after)/samples)
	return nil
}

func addDisk(t *report.Table, rows cells) {
	t.Add("blocks with index, cut and merged, per sample", "B", rows["settled"])
	t.Add("whole data directory before that (logs, caches), per sample", "B", rows["whole"])
}
