// Command head measures what the head takes for many series:
//
//	go run ./bench/head [-targets 250] [-scrapes 480] [-interval 14s] [-dir DIR]
//	go run ./bench/head -postings 5000000
//
// Each target has the series and values of the recorded node exporter (some
// thousand series, about ten labels), so a thousand targets are over half a
// million series. What is sealed goes to files, the log to nowhere. It prints
// the anonymous memory that is resident, in bytes a series: its peak, what is
// left without garbage, and mapped files beside it; then the time of an append
// a sample, of a full garbage collection, of a selection, of reading all, and
// of a cut. The memory that the program itself needs for the recording is
// subtracted. The second form makes series of a fleet up and measures
// selections of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/wal"
	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
	osfs "github.com/nilometer/nilometer/vfs/os"
)

// gcPercent is that of the server.
const gcPercent = 40

// begin is a multiple of two hours, 2023-11-14 22:00 UTC.
const begin = 1_699_999_200_000

func main() {
	targets := flag.Int("targets", 250, "targets, each with the series of a node exporter")
	scrapes := flag.Int("scrapes", 480, "scrapes of each target")
	interval := flag.Duration("interval", 14*time.Second, "between two scrapes")
	made := flag.Int("postings", 0, "in place of all that: make so many series and measure selections")
	dir := flag.String("dir", "", "where files of seals go; empty: a temporary directory")
	flag.Parse()
	if err := run(context.Background(), *dir, *targets, *scrapes, *interval, *made); err != nil {
		fmt.Fprintln(os.Stderr, "bench/head:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, targets, scrapes int, interval time.Duration, made int) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bench-head"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	files, err := osfs.New(dir)
	if err != nil {
		return err
	}
	log, err := wal.Open(nowhere{mem.New()}, "wal", wal.Options{}, wal.NewMetrics(nil))
	if err != nil {
		return err
	}
	debug.SetGCPercent(gcPercent)
	heads, err := head.New(head.Options{}, head.Deps{Log: log, Files: files, Dir: "head"})
	if err != nil {
		return err
	}
	if made > 0 {
		return postings(ctx, heads, made)
	}
	rec, err := corpus.Load("node", scrapes)
	if err != nil {
		return err
	}
	debug.FreeOSMemory()
	before, _ := resident()
	elapsed, samples, peak, err := fill(ctx, heads, log, rec, targets, scrapes, interval)
	if err != nil {
		return err
	}
	n := float64(heads.Series())
	fmt.Printf("%d series, %d samples: append %.1f ns/sample\n", heads.Series(), samples, float64(elapsed.Nanoseconds())/float64(samples))
	start := time.Now()
	runtime.GC()
	fmt.Printf("full collection %.1f ms\n", time.Since(start).Seconds()*1000)
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	anonymous, mapped := resident()
	fmt.Printf("resident anonymous bytes/series: peak %.0f, %.0f without garbage; mapped files %.0f; heap in use %.0f, outside of it %.0f\n",
		float64(peak-before)/n, float64(anonymous-before)/n, float64(mapped)/n, float64(m.HeapInuse)/n, float64(heads.Head(tenant.Default).Sizes().Bytes)/n)
	return readAndCut(ctx, heads.Head(tenant.Default))
}

func fill(ctx context.Context, heads *head.Heads, log *wal.Log, rec *corpus.Recording, targets, scrapes int, interval time.Duration) (elapsed time.Duration, samples int, peak int64, err error) {
	type target struct {
		group storage.Group
		batch storage.Batch
	}
	all := make([]target, targets)
	for i := range all {
		lsets := rec.Of(fmt.Sprintf("10.0.%d.%d:9100", i/250, i%250))
		key, _ := series.KeyOf(lsets[0], nil)
		t := &all[i]
		if t.group, err = heads.OpenGroup(ctx, tenant.Default, storage.GroupSpec{Kind: storage.Closed, Key: key, Name: "scrape"}); err != nil {
			return 0, 0, 0, err
		}
		out := make([]storage.Resolution, len(lsets))
		if t.batch.Version, err = t.group.Resolve(ctx, lsets, out); err != nil {
			return 0, 0, 0, err
		}
		for _, r := range out {
			t.batch.Slots = append(t.batch.Slots, r.Slot)
		}
	}
	start := time.Now()
	for k := range scrapes {
		for i := range all {
			t := &all[i]
			// Every target is at another place of the recording.
			t.batch.Time = begin + int64(k)*interval.Milliseconds() + int64(i)%interval.Milliseconds()
			t.batch.Values = rec.Values[(k+7*i)%len(rec.Values)]
			res, err := t.group.Append(ctx, &t.batch, storage.Logged)
			if err != nil || len(res.Rejected) > 0 {
				return 0, 0, 0, fmt.Errorf("append: %+v, %w", res, err)
			}
			samples += len(t.batch.Slots)
		}
		if err := errors.Join(log.Sync(ctx), heads.Flush(ctx, false)); err != nil {
			return 0, 0, 0, err
		}
		now, _ := resident()
		peak = max(peak, now)
	}
	return time.Since(start), samples, peak, nil
}

func readAndCut(ctx context.Context, h *head.Head) error {
	snap := h.Snapshot(h.Horizon())
	start := time.Now()
	one, err := snap.Select(ctx, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "node_cpu_seconds_total"))
	if err != nil {
		return err
	}
	fmt.Printf("select %d series of one name %.2f ms", len(one), time.Since(start).Seconds()*1000)
	start = time.Now()
	refs, err := snap.Select(ctx)
	if err != nil {
		return err
	}
	fmt.Printf(", all %.0f ms", time.Since(start).Seconds()*1000)
	start = time.Now()
	var pieces []part.Piece
	for _, ref := range refs {
		if pieces, err = snap.Pieces(ref, -1<<62, 1<<62, pieces[:0]); err != nil {
			return err
		}
	}
	fmt.Printf("; pieces of all %.0f ns/series", float64(time.Since(start).Nanoseconds())/float64(len(refs)))
	snap.Release()
	start = time.Now()
	cut := h.Cut(begin)
	fmt.Printf("; cut %.0f ms", time.Since(start).Seconds()*1000)
	cut.Release()
	start = time.Now()
	h.Drop(h.Horizon())
	fmt.Printf(", drop %.0f ms\n", time.Since(start).Seconds()*1000)
	return nil
}

// resident is the process' resident memory in bytes: what belongs to no file,
// and mapped files; 0 where there is no /proc.
func resident() (anonymous, mapped int64) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	field := func(name string) (kib int64) {
		_, rest, _ := strings.Cut(string(data), name)
		if _, err := fmt.Sscanf(rest, "%d", &kib); err != nil {
			return 0
		}
		return kib
	}
	return field("RssAnon:") << 10, field("RssFile:") << 10
}

// nowhere is a file system whose files keep nothing.
type nowhere struct{ vfs.FS }

func (n nowhere) Create(name string) (vfs.File, error) {
	f, err := n.FS.Create(name)
	return nothing{f}, err
}

type nothing struct{ vfs.File }

func (nothing) Write(p []byte) (int, error) { return len(p), nil }

func (nothing) Sync() error { return nil }
