// Command import measures the import of a Prometheus block of the recorded
// scrapes:
//
//	go run ./bench/import [-dir DIR] [-every 3] [-hours 2] [-instances 40] [-again] [-cpuprofile FILE]
//
// every takes each n-th scrape (1: 5 s, 3: 15 s). Each exporter is repeated
// under so many instance labels, each of which begins elsewhere in the
// recording, so that no two have the same samples at the same time. The block is
// written to DIR unless it is there; without DIR it is thrown away.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	promtsdb "github.com/prometheus/prometheus/tsdb"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/prometheus"
)

// start is where the block begins: aligned to 2 h.
const start = 1_780_006_400_000 / 7_200_000 * 7_200_000

func main() {
	dir := flag.String("dir", "", "directory of the Prometheus data")
	every := flag.Int("every", 3, "take each n-th scrape")
	hours := flag.Int("hours", 2, "hours of scrapes")
	instances := flag.Int("instances", 40, "instances of each exporter")
	again := flag.Bool("again", false, "import a second time, beside what is there")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the import to this file")
	flag.Parse()
	if err := run(context.Background(), *dir, *every, time.Duration(*hours)*time.Hour, *instances, *again, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench/import:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, every int, length time.Duration, instances int, again bool, profile string) (err error) {
	scratch, err := os.MkdirTemp("", "nilometer-bench-import-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if dir == "" {
		dir = filepath.Join(scratch, "prometheus")
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		begin := time.Now()
		if err := generate(ctx, dir, every, length, instances); err != nil {
			return err
		}
		fmt.Printf("block of Prometheus written in %s\n", time.Since(begin).Round(time.Second))
	}
	data := filepath.Join(scratch, "data")
	o, d := tsdb.Options{Retention: -1}, tsdb.Deps{Dir: data}
	db, err := tsdb.Open(ctx, o, d)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		return err
	}
	if db, err = tsdb.OpenIdle(ctx, o, d); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if again {
		if _, err := prometheus.Import(ctx, db, dir, prometheus.ImportOptions{Scratch: filepath.Join(scratch, "first")}); err != nil {
			return err
		}
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // what was measured is printed
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	s, err := prometheus.Import(ctx, db, dir, prometheus.ImportOptions{Scratch: filepath.Join(data, "import")})
	if err != nil {
		return err
	}
	if again {
		fmt.Printf("%d samples were there before: %s\n", s.Present, s.Duration.Round(time.Millisecond))
		return nil
	}
	n := float64(s.Samples)
	fmt.Printf("%d series, %d samples in %s: %.1f M samples/s; %.3f B/sample before, %.3f after: 1/%.1f\n", s.Series, s.Samples,
		s.Duration.Round(time.Millisecond), n/s.Duration.Seconds()/1e6, float64(s.SourceBytes)/n, float64(s.Bytes)/n, float64(s.SourceBytes)/float64(s.Bytes))
	return nil
}

// scrape is one parsed body.
type scrape struct {
	labels []int // of the exporter's label sets
	values []float64
}

// exporter is a recording.
type exporter struct {
	name    string
	labels  []labels.Labels
	scrapes []scrape
}

func load(name string, every int) (*exporter, error) {
	r, err := corpus.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was only read
	e := &exporter{name: name}
	known := map[string]int{}
	for i := 0; ; i++ {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return e, nil
		}
		if err != nil {
			return nil, err
		}
		if i%every != 0 || s.Failed() {
			continue
		}
		var sc scrape
		err = corpus.Parse(s.Body, labels.NewSymbolTable(), func(x corpus.Series) {
			lset := x.Labels()
			key := string(lset.Bytes(nil))
			at, ok := known[key]
			if !ok {
				at = len(e.labels)
				known[key] = at
				e.labels = append(e.labels, lset)
			}
			sc.labels, sc.values = append(sc.labels, at), append(sc.values, x.Value)
		})
		if err != nil {
			return nil, err
		}
		e.scrapes = append(e.scrapes, sc)
	}
}

func generate(ctx context.Context, dir string, every int, length time.Duration, instances int) error {
	w, err := promtsdb.NewBlockWriter(slog.New(slog.DiscardHandler), dir, length.Milliseconds())
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // what counts was flushed
	var all []*target
	for _, name := range corpus.Names() {
		e, err := load(name, every)
		if err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
		for i := range instances {
			all = append(all, newTarget(e, i, instances))
		}
	}
	interval := int64(every) * 5000
	// A head takes nothing that is older than half its range: time goes first.
	for k := 0; int64(k+1)*interval < length.Milliseconds(); k++ {
		app := w.Appender(ctx)
		for i, t := range all {
			at := start + int64(k)*interval + interval*int64(i)/int64(len(all))
			s := t.scrapes[(t.first+k)%len(t.scrapes)]
			for j, v := range s.values {
				n := s.labels[j]
				if t.refs[n], err = app.Append(t.refs[n], t.lsets[n], at, v); err != nil {
					return err
				}
			}
		}
		if err := app.Commit(); err != nil {
			return err
		}
	}
	_, err = w.Flush(ctx)
	return err
}

// target is one instance of an exporter.
type target struct {
	*exporter
	first int // scrape
	lsets []labels.Labels
	refs  []storage.SeriesRef
}

func newTarget(e *exporter, instance, instances int) *target {
	t := &target{exporter: e, first: len(e.scrapes) * instance / instances}
	for _, l := range e.labels {
		b := labels.NewBuilder(l)
		b.Set("job", e.name)
		b.Set("instance", fmt.Sprintf("10.0.%d.%d:9100", instance/250, instance%250))
		t.lsets = append(t.lsets, b.Labels())
	}
	t.refs = make([]storage.SeriesRef, len(t.lsets))
	return t
}
