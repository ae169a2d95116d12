package prometheus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/planner"
)

// ImportOptions are the settings of an import; the zero value imports
// everything for the default tenant.
type ImportOptions struct {
	Tenant tenant.ID // "": the default one
	// MinTime and MaxTime bound the samples, both included; the zero time does
	// not.
	MinTime, MaxTime time.Time
	// Retention is that of the database, 0 for none: older samples are refused
	// unless Keep is set, which exempts the blocks from retention by time.
	Retention time.Duration
	Keep      bool
	// DryRun reads and encodes, and adds nothing.
	DryRun bool
	// SkipHistograms leaves native histograms out; SkipDamaged what cannot be
	// read. Both are counted. Without them they end the import.
	SkipHistograms, SkipDamaged bool
	// TimesMax bounds the timestamps that are kept to find series that were
	// scraped together, 8 bytes each; 0: 32 Mi.
	TimesMax int
	// Scratch is a directory for the record of what is imported and for files
	// of the source's head while it is read. It is made when it is not there.
	Scratch string
	// Now is the present; the zero time is the clock's.
	Now time.Time
	// Report is called after some hundred series and at the end of each range;
	// nil for nobody. It must not block for long.
	Report func(Progress)
	// Warn is told what an operator should know; nil for nobody.
	Warn func(string)
}

// Progress says how far an import or export is.
type Progress struct {
	// Samples have been done, of about Total.
	Samples, Total uint64
	// Range is set when a range of time has been finished.
	Range *RangeReport
}

// RangeReport is one range that was finished.
type RangeReport struct {
	From, To        time.Time // To is excluded
	Series, Samples uint64    // added
	Bytes           uint64    // of the block
	Repeated        bool      // it was done by an earlier run
}

// ImportSummary is the result of an import.
type ImportSummary struct {
	Ranges   int    // added by this run
	Repeated int    // done by an earlier run
	Series   uint64 // sum over ranges
	Samples  uint64 // added
	Bytes    uint64 // of the blocks added
	// SourceBytes is the size of the source: of all of it.
	SourceBytes   int64
	SourceSamples uint64 // of its blocks, as they say
	// Present were in the database before; Differ of them with another value.
	Present, Differ uint64
	// SourceConflicts are timestamps for which the source has two values.
	SourceConflicts uint64
	// What was left out.
	Histograms, Exemplars, Metadata uint64
	DamagedChunks                   uint64
	Skipped                         []string // parts that cannot be read
	Duration                        time.Duration
}

// Import adds the samples of a Prometheus data directory to a database. An
// error or a cancelled context leaves what was added so far; the same call
// goes on from there. db is nil for a dry run without a database.
func Import(ctx context.Context, db *tsdb.DB, dir string, o ImportOptions) (ImportSummary, error) {
	im := &importer{db: db, opts: o.withDefaults()}
	start := time.Now()
	err := im.run(ctx, dir)
	im.sum.Duration = time.Since(start)
	if err != nil {
		return im.sum, fmt.Errorf("import %s: %w", dir, err)
	}
	return im.sum, nil
}

func (o ImportOptions) withDefaults() ImportOptions {
	if o.Tenant == "" {
		o.Tenant = tenant.Default
	}
	if o.TimesMax <= 0 {
		o.TimesMax = timesBudget
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Report == nil {
		o.Report = func(Progress) {}
	}
	if o.Warn == nil {
		o.Warn = func(string) {}
	}
	return o
}

type importer struct {
	db     *tsdb.DB
	opts   ImportOptions
	source *source
	record *importRecord
	ranges []int64
	sum    ImportSummary
	done   uint64 // samples read
	total  uint64
}

func (im *importer) run(ctx context.Context, dir string) (err error) {
	o := &im.opts
	if err := o.Tenant.Validate(); err != nil {
		return err
	}
	if _, err := checkSource(dir); err != nil {
		return err
	}
	if err := im.openScratch(dir); err != nil {
		return err
	}
	if im.source, err = openSource(ctx, dir, o.Scratch, o.SkipDamaged, slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.source.close()) }()
	im.warn()
	left, err := countDropped(ctx, dir)
	if err != nil {
		return err
	}
	im.sum.Exemplars, im.sum.Metadata = left.Exemplars, left.Metadata
	im.sum.SourceBytes = im.source.bytes()
	for _, p := range im.source.parts {
		im.sum.SourceSamples += p.samples
	}
	im.total = im.sum.SourceSamples
	if im.ranges, err = im.blockRanges(ctx); err != nil {
		return err
	}
	spans, err := im.spans()
	if err != nil {
		return err
	}
	for _, s := range spans {
		if err := im.importSpan(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// blockRanges waits for the database to be complete.
func (im *importer) blockRanges(ctx context.Context) ([]int64, error) {
	if im.db == nil {
		if !im.opts.DryRun {
			return nil, errors.New("there is no database to import to")
		}
		return planner.Options{RetentionMs: im.opts.Retention.Milliseconds()}.Ranges(), nil
	}
	return im.db.BlockRanges(), im.db.WaitReplayed(ctx)
}

// openScratch makes the directory for the import's own files, and deletes what
// a run that did not end left there.
func (im *importer) openScratch(dir string) (err error) {
	if err := os.MkdirAll(im.opts.Scratch, 0o755); err != nil {
		return fmt.Errorf("make a directory for the import's own files: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(im.opts.Scratch, "prometheus-head-*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("delete what an earlier import left: %w", err)
		}
	}
	im.record, err = openRecord(im.opts.Scratch, dir, string(im.opts.Tenant))
	return err
}

func (im *importer) warn() {
	if im.source.locked {
		im.opts.Warn(fmt.Sprintf("a Prometheus is running on %s: what it receives from now on is not imported; repeat the import when it has ended", im.source.dir))
	}
	for _, d := range im.source.skipped {
		im.sum.Skipped = append(im.sum.Skipped, d.Part)
		im.opts.Warn(fmt.Sprintf("%s is left out: %v", d.Part, d.Err))
	}
}

// spans returns the ranges to import, and refuses what the retention would
// drop.
func (im *importer) spans() ([]span, error) {
	from, to, ok := im.source.timeRange()
	if !ok {
		return nil, nil
	}
	o := &im.opts
	if !o.MinTime.IsZero() {
		from = max(from, o.MinTime.UnixMilli())
	}
	if !o.MaxTime.IsZero() {
		to = min(to, o.MaxTime.UnixMilli())
	}
	if from > to {
		return nil, nil
	}
	if oldest := o.Now.Add(-o.Retention); o.Retention > 0 && !o.Keep && from < oldest.UnixMilli() {
		return nil, fmt.Errorf("its samples begin at %s, and the retention of %s drops what is older than %s: keep them for good with --keep, give a longer --storage.tsdb.retention.time here and to the server, or leave them out with --min-time %s",
			time.UnixMilli(from).UTC().Format(time.RFC3339), o.Retention, oldest.UTC().Format(time.RFC3339), oldest.Add(time.Minute).UTC().Truncate(time.Minute).Format(time.RFC3339))
	}
	return spansOf(from, to, o.Now.UnixMilli(), im.ranges), nil
}

// importSpan imports one range, or its halves when it has too many distinct
// timestamps.
func (im *importer) importSpan(ctx context.Context, s span) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r := &rangeReader{span: s, skipHistograms: im.opts.SkipHistograms, skipDamaged: im.opts.SkipDamaged}
	fingerprint := im.partsOf(r)
	if len(r.parts) == 0 {
		return nil
	}
	was, ok, err := im.wasImported(ctx, s, fingerprint)
	if err != nil {
		return err
	}
	if ok {
		im.sum.Repeated++
		im.done += was.Samples
		im.report(s, &RangeReport{Series: was.Series, Samples: was.Samples, Repeated: true})
		return nil
	}
	parts, divisible := s.split(im.ranges)
	l, entries, err := r.survey(ctx, im.opts.TimesMax, divisible)
	if errors.Is(err, errOverBudget) {
		for _, p := range parts {
			if err := im.importSpan(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	t, meta, err := im.addBlock(ctx, r, l, entries)
	if err != nil {
		return fmt.Errorf("from %s to %s: %w", formatMs(s.From), formatMs(s.To), err)
	}
	im.count(t, meta)
	if !im.opts.DryRun && fingerprint != "" && t.series > 0 {
		if err := im.record.add(recordSpan{From: s.From, To: s.To, Fingerprint: fingerprint, Block: meta.ID.String(), Series: t.series, Samples: t.samples + t.present}); err != nil {
			return err
		}
	}
	im.report(s, &RangeReport{Series: t.series, Samples: t.samples, Bytes: meta.Stats.Bytes()})
	return nil
}

// wasImported looks the range up in the record.
func (im *importer) wasImported(ctx context.Context, s span, fingerprint string) (recordSpan, bool, error) {
	if im.db == nil {
		return recordSpan{}, false, nil
	}
	content, err := im.db.Content(ctx, im.opts.Tenant)
	if err != nil {
		return recordSpan{}, false, err
	}
	live := map[ulid.ULID]bool{}
	for _, b := range content.State.Blocks {
		for _, source := range b.Sources {
			live[source] = true
		}
	}
	was, ok := im.record.find(s, fingerprint, live)
	return was, ok, nil
}

// partsOf gives the reader the parts of its range, and returns what they are,
// "" when that cannot be told from one run to the next.
func (im *importer) partsOf(r *rangeReader) string {
	names := []string{fmt.Sprint("histograms=", !r.skipHistograms)}
	known := true
	for _, p := range im.source.parts {
		if p.overlaps(r.span.From, r.span.To) {
			r.parts = append(r.parts, p)
			names = append(names, p.fingerprint)
			known = known && p.fingerprint != ""
		}
	}
	if !known {
		return ""
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (im *importer) count(t tally, meta block.Meta) {
	if t.series > 0 {
		im.sum.Ranges++
	}
	im.sum.Series += t.series
	im.sum.Samples += t.samples
	im.sum.Present += t.present
	im.sum.Differ += t.differ
	im.sum.SourceConflicts += t.decoded.Conflicts
	im.sum.Histograms += t.decoded.Histograms
	im.sum.DamagedChunks += t.decoded.Chunks
	im.sum.Bytes += meta.Stats.Bytes()
}

func (im *importer) report(s span, r *RangeReport) {
	r.From, r.To = time.UnixMilli(s.From).UTC(), time.UnixMilli(s.To).UTC()
	im.opts.Report(Progress{Samples: im.done, Total: max(im.total, im.done), Range: r})
}

// addBlock reads a range for the second time and adds its block.
func (im *importer) addBlock(ctx context.Context, r *rangeReader, l *layout, entries []int32) (t tally, meta block.Meta, err error) {
	var known *existing
	if im.db != nil {
		view, err := im.db.View(ctx, im.opts.Tenant)
		if err != nil {
			return t, meta, err
		}
		defer view.Close()
		if known, err = existingIn(ctx, view, r.span); err != nil {
			return t, meta, err
		}
	}
	if im.opts.DryRun {
		n := tsdb.NewBlock{Bucket: discardBucket{}, Tenant: im.opts.Tenant, ID: ulid.Make(), Options: block.Options{RowMs: im.ranges[0], Compress: true}}
		t, meta, err = im.writeBlock(ctx, n, r, l, entries, known)
		if errors.Is(err, block.ErrEmpty) {
			err = nil
		}
		return t, meta, err
	}
	err = im.db.AddBlock(ctx, im.opts.Tenant, func(ctx context.Context, n tsdb.NewBlock) (block.Meta, error) {
		if t, meta, err = im.writeBlock(ctx, n, r, l, entries, known); err != nil {
			return meta, err
		}
		return meta, verifyBlock(ctx, n, t)
	})
	return t, meta, err
}

func (im *importer) writeBlock(ctx context.Context, n tsdb.NewBlock, r *rangeReader, l *layout, entries []int32, known *existing) (t tally, meta block.Meta, err error) {
	w, err := block.NewWriter(n.Bucket, n.Tenant, n.ID, n.Options)
	if err != nil {
		return t, meta, err
	}
	sink := newBlockSink(w, l)
	t, err = r.emit(ctx, l, entries, known, func(s *encodedSeries) error {
		im.done += uint64(s.count)
		return sink.add(ctx, s)
	}, func() { im.opts.Report(Progress{Samples: im.done, Total: max(im.total, im.done)}) })
	im.done += t.present
	if err == nil {
		meta, err = w.Finish(ctx, block.Meta{Level: r.span.level(im.ranges), Sources: []ulid.ULID{n.ID}, LowestSeq: n.Seq, HighestSeq: n.Seq, Exempt: im.opts.Keep})
	}
	if err != nil {
		w.Abort(context.WithoutCancel(ctx))
	}
	return t, meta, err
}

func formatMs(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
