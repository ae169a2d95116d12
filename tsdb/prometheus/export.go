package prometheus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

// ExportOptions are the settings of an export; the zero value exports
// everything of the default tenant in blocks of two hours.
type ExportOptions struct {
	Tenant tenant.ID // "": the default one
	// Matchers choose the series; none chooses all.
	Matchers []*labels.Matcher
	// MinTime and MaxTime bound the samples, both included; the zero time does
	// not.
	MinTime, MaxTime time.Time
	// BlockDuration is the range of a block, whole milliseconds, at least a
	// minute; 0: 2 h. Blocks are aligned to it.
	BlockDuration time.Duration
	// Report is called after some hundred series and at the end of each range;
	// nil for nobody. It must not block for long.
	Report func(Progress)
}

// ExportSummary is the result of an export.
type ExportSummary struct {
	Ranges   int    // written by this run
	Repeated int    // written by an earlier run
	Series   uint64 // sum over ranges
	Samples  uint64
	Bytes    uint64 // of the blocks written
	// Duration is the time that it took.
	Duration time.Duration
}

// The ranges that an exported block may have.
const (
	defaultExportRange = 2 * time.Hour
	exportRangeMin     = time.Minute
	exportRangeMax     = 31 * 24 * time.Hour
)

// Export writes the samples of a database to dir, which is made when it is not
// there, as blocks that Prometheus reads. An error or a cancelled context leaves
// the blocks that are whole; the same call goes on from there.
func Export(ctx context.Context, db *tsdb.DB, dir string, o ExportOptions) (ExportSummary, error) {
	ex := &exporter{db: db, dir: dir, opts: o.withDefaults()}
	start := time.Now()
	err := ex.run(ctx)
	ex.sum.Duration = time.Since(start)
	if err != nil {
		return ex.sum, fmt.Errorf("export to %s: %w", dir, err)
	}
	return ex.sum, nil
}

func (o ExportOptions) withDefaults() ExportOptions {
	if o.Tenant == "" {
		o.Tenant = tenant.Default
	}
	if o.BlockDuration == 0 {
		o.BlockDuration = defaultExportRange
	}
	if o.Report == nil {
		o.Report = func(Progress) {}
	}
	return o
}

// Validate reports the first setting that is out of range, or nil.
func (o ExportOptions) Validate() error {
	o = o.withDefaults()
	switch {
	case o.BlockDuration < exportRangeMin || o.BlockDuration > exportRangeMax:
		return fmt.Errorf("the block duration is %s: %s to %s are allowed", o.BlockDuration, exportRangeMin, exportRangeMax)
	case o.BlockDuration%time.Millisecond != 0:
		return fmt.Errorf("the block duration is %s: it must be whole milliseconds", o.BlockDuration)
	}
	return o.Tenant.Validate()
}

type exporter struct {
	db      *tsdb.DB
	dir     string
	opts    ExportOptions
	content tsdb.Content
	record  *exportRecord
	sum     ExportSummary
	done    uint64 // samples
	total   uint64 // about
}

func (ex *exporter) run(ctx context.Context) error {
	if err := ex.opts.Validate(); err != nil {
		return err
	}
	if err := ex.openTarget(); err != nil {
		return err
	}
	var err error
	if ex.content, err = ex.db.Content(ctx, ex.opts.Tenant); err != nil {
		return err
	}
	from, to := ex.content.MinTime, ex.content.MaxTime
	if !ex.opts.MinTime.IsZero() {
		from = max(from, ex.opts.MinTime.UnixMilli())
	}
	if !ex.opts.MaxTime.IsZero() {
		to = min(to, ex.opts.MaxTime.UnixMilli())
	}
	if from > to {
		return nil
	}
	view, err := ex.db.View(ctx, ex.opts.Tenant)
	if err != nil {
		return err
	}
	defer view.Close()
	e, err := view.Estimate(ctx, storage.Selection{Matchers: ex.opts.Matchers, MinTime: from, MaxTime: to})
	if err != nil {
		return err
	}
	ex.total = uint64(e.Samples)
	width := ex.opts.BlockDuration.Milliseconds()
	for t := floor(from, width); t <= to; t += width {
		s := span{From: max(t, from), To: min(t+width, to+1)}
		if err := ex.exportSpan(ctx, view, s, span{From: t, To: t + width}); err != nil {
			return fmt.Errorf("from %s to %s: %w", formatMs(s.From), formatMs(s.To), err)
		}
	}
	return nil
}

// temporarySuffix is what Prometheus gives to directories of blocks that are
// not whole: it deletes them at its start.
const temporarySuffix = ".tmp-for-creation"

// openTarget makes the target's directory, refuses one of ours, and deletes
// what an export that did not end left there.
func (ex *exporter) openTarget() (err error) {
	if _, err := os.Stat(filepath.Join(ex.dir, "VERSION")); err == nil {
		return errors.New("it is a data directory of nilometer: name an empty one, or that of a Prometheus")
	}
	// An empty log, without which promtool does not dump a directory.
	if err := os.MkdirAll(filepath.Join(ex.dir, walName), 0o755); err != nil {
		return err
	}
	if ex.record, err = openExportRecord(ex.dir, ex.identity()); err != nil {
		return err
	}
	for _, id := range ex.record.garbage() {
		if err := removeBlock(ex.dir, id); err != nil {
			return err
		}
	}
	return nil
}

// identity tells one export from another into the same directory.
func (ex *exporter) identity() string {
	parts := []string{string(ex.opts.Tenant), ex.opts.BlockDuration.String()}
	for _, m := range ex.opts.Matchers {
		parts = append(parts, m.String())
	}
	return strings.Join(parts, " ")
}

// fingerprint tells what a range was exported from; "" when samples of it may
// be in no block yet, and it is exported again each time.
func (ex *exporter) fingerprint(s span) string {
	if s.To > ex.content.HeadFrom {
		return ""
	}
	var parts []string
	for _, b := range ex.content.State.Blocks {
		if b.MinTime < s.To && b.MaxTime >= s.From {
			parts = append(parts, b.ID.String())
		}
	}
	for _, t := range ex.content.State.Tombstones {
		if t.MinTime < s.To && t.MaxTime >= s.From {
			parts = append(parts, fmt.Sprint("-", t.Seq))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// exportSpan writes one block, of the samples of s, with the range of aligned
// cut to it.
func (ex *exporter) exportSpan(ctx context.Context, view storage.View, s, aligned span) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	fingerprint := ex.fingerprint(s)
	if was, ok := ex.record.find(s, fingerprint); ok {
		ex.sum.Repeated++
		ex.done += was.Samples
		ex.report(s, &RangeReport{Series: was.Series, Samples: was.Samples, Repeated: true})
		return nil
	}
	id, err := ulid.New(uint64(max(0, min(aligned.To, math.MaxInt64>>16))), rand.Reader)
	if err != nil {
		return err
	}
	w := &blockExport{dir: filepath.Join(ex.dir, id.String()+temporarySuffix), id: id, span: s}
	err = w.write(ctx, view, ex.opts.Matchers, func(samples uint64) {
		ex.opts.Report(Progress{Samples: ex.done + samples, Total: max(ex.total, ex.done+samples)})
	})
	if err == nil && w.samples > 0 {
		err = w.verify(ctx)
	}
	if err == nil {
		err = ex.record.put(exportSpan{From: s.From, To: s.To, Fingerprint: fingerprint, Block: id.String(), Series: w.series, Samples: w.samples}, func() error {
			return replaceDir(w.dir, filepath.Join(ex.dir, id.String()))
		})
	}
	if rerr := os.RemoveAll(w.dir); err == nil {
		err = rerr
	}
	if err != nil {
		return err
	}
	ex.done += w.samples
	if w.samples == 0 {
		return nil
	}
	ex.sum.Ranges++
	ex.sum.Series += w.series
	ex.sum.Samples += w.samples
	ex.sum.Bytes += uint64(w.bytes)
	ex.report(s, &RangeReport{Series: w.series, Samples: w.samples, Bytes: uint64(w.bytes)})
	return nil
}

func (ex *exporter) report(s span, r *RangeReport) {
	r.From, r.To = time.UnixMilli(s.From).UTC(), time.UnixMilli(s.To).UTC()
	ex.opts.Report(Progress{Samples: ex.done, Total: max(ex.total, ex.done), Range: r})
}

// replaceDir renames a directory and makes the new name durable.
func replaceDir(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// removeBlock deletes a block that another has replaced, or that was not
// finished. Its directory gets the name of an unfinished one first, so that
// nobody takes half of it for a block.
func removeBlock(dir, id string) error {
	temporary := filepath.Join(dir, id+temporarySuffix)
	if err := os.Rename(filepath.Join(dir, id), temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(temporary)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
