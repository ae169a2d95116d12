package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nilometer/nilometer/bench/load"
)

// feed pushes samples to a remote-write receiver and returns how many.
type feed func(ctx context.Context, client *http.Client, url string) (samples int64, err error)

// push is the scenario of that name.
func (r *runner) push(ctx context.Context) error {
	s := r.settings
	o := s.load
	o.Targets, o.Tick = s.pushTargets, s.pushInterval
	l, err := load.New(o)
	if err != nil {
		return err
	}
	to := l.Tick(time.Now().Add(-time.Minute))
	from := to - int64(s.pushSamples) + 1
	at := func(tick int64) time.Time { return time.Unix(0, tick*int64(s.pushInterval)) }
	title := fmt.Sprintf("push: %d series × %d samples every %s by remote write", o.Targets*o.Series, s.pushSamples, s.pushInterval)
	ps, samples, err := r.fill(ctx, "push", title, float64(o.Targets*o.Series), func(ctx context.Context, client *http.Client, url string) (int64, error) {
		pushed, err := l.Push(ctx, client, load.Push{URL: url, From: from, To: to, Step: 1})
		return pushed.Samples, err
	})
	defer stopAll(ps)
	if err != nil {
		return err
	}
	w := window{from: at(from).Add(5 * time.Minute), to: at(to), step: 30 * time.Second}
	title = fmt.Sprintf("query latency over %s of pushed data", w.to.Sub(w.from).Round(time.Minute))
	if err := r.queries(ctx, title, ps, w); err != nil {
		return err
	}
	return r.pushedDisk(ctx, "push: storage", ps, samples)
}

func stopAll(ps []*process) {
	for _, p := range ps {
		p.stop()
	}
}

// fill starts the systems with nothing to scrape, and feeds them one after the
// other while those before it are paused. At the end all run. The processes
// are returned even on an error.
func (r *runner) fill(ctx context.Context, scenario, title string, series float64, feed feed) (ps []*process, samples map[string]float64, err error) {
	rows, samples := cells{}, map[string]float64{}
	for _, s := range r.systems {
		dir, err := r.home(scenario, s)
		if err != nil {
			return ps, nil, err
		}
		config := filepath.Join(dir, "config.yml")
		if err := os.WriteFile(config, []byte("global:\n  scrape_interval: 15s\n"), 0o644); err != nil {
			return ps, nil, fmt.Errorf("prepare %s: %w", s.name, err)
		}
		p, err := start(ctx, s, dir, config)
		if err != nil {
			return ps, nil, err
		}
		ps = append(ps, p)
		if samples[s.name], err = r.fillOne(ctx, p, feed, rows, series); err != nil {
			return ps, nil, errors.Join(err, fmt.Errorf("log of %s: %s", s.name, p.logEnd()))
		}
		if err := p.pause(); err != nil {
			return ps, nil, err
		}
	}
	t := r.table(title)
	t.Add("CPU per million samples", "s", rows["cpu"])
	t.Add("wall time per million samples", "s", rows["took"])
	if series > 0 {
		t.Add("resident per series at the end", "B", rows["resident"])
		t.Add("anonymous per series at the end", "B", rows["anonymous"])
	}
	for _, p := range ps {
		if err := p.resume(); err != nil {
			return ps, nil, err
		}
	}
	return ps, samples, nil
}

func (r *runner) fillOne(ctx context.Context, p *process, feed feed, rows cells, series float64) (float64, error) {
	name := p.system.name
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	n, err := feed(ctx, p.client, "http://"+p.address+p.system.write)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	// What was pushed is often worked up only afterwards: merges, seals.
	if err := sleep(ctx, 5*time.Second); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	if err != nil {
		return 0, err
	}
	m, err := p.memory()
	if err != nil {
		return 0, err
	}
	samples := float64(n)
	rows.set("cpu", name, (after-before).Seconds()/samples*1e6)
	rows.set("took", name, took.Seconds()/samples*1e6)
	rows.set("resident", name, float64(m.Resident)/series)
	rows.set("anonymous", name, float64(m.Anonymous)/series)
	r.logf("%s took %d samples in %s", name, n, took.Round(time.Millisecond))
	return samples, nil
}

// pushedDisk settles the systems and measures their directories.
func (r *runner) pushedDisk(ctx context.Context, title string, ps []*process, samples map[string]float64) error {
	// VictoriaMetrics writes what it holds in memory within 5 s.
	if err := sleep(ctx, 6*time.Second); err != nil {
		return err
	}
	rows := cells{}
	for _, p := range ps {
		r.checkCount(ctx, p, samples[p.system.name])
		if err := r.disk(ctx, p, samples[p.system.name], rows); err != nil {
			return err
		}
	}
	addDisk(r.table(title), rows)
	return nil
}

// checkCount notes when a system does not hold what it took: bytes per sample
// would flatter it.
func (r *runner) checkCount(ctx context.Context, p *process, pushed float64) {
	held, err := p.held(ctx)
	switch {
	case err != nil:
		r.note("%s does not say how many samples it holds: %v", p.system.name, err)
	case held != pushed:
		r.note("%s holds %.0f samples; %.0f were pushed to it", p.system.name, held, pushed)
	default:
		r.logf("%s holds all %.0f samples", p.system.name, held)
	}
}

// held counts the samples of the last six hours, name by name: count_over_time
// drops the name, and series that then look alike are an error.
func (p *process) held(ctx context.Context) (float64, error) {
	body, err := p.get(ctx, "/api/v1/label/__name__/values")
	if err != nil {
		return 0, err
	}
	var names struct{ Data []string }
	if err := json.Unmarshal(body, &names); err != nil {
		return 0, fmt.Errorf("read the names of metrics: %w", err)
	}
	var sum float64
	for _, name := range names.Data {
		n, err := p.scalar(ctx, fmt.Sprintf("sum(count_over_time({__name__=%q}[6h]))", name))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
