package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/prometheus"
)

// defaultRetention is the server's, for what an import refuses.
const defaultRetention = 30 * 24 * time.Hour

func newImport(streams Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Take over the data of another program",
		Args:  args(cobra.NoArgs, "nilometer import prometheus DIR --data.dir DATA"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newImportPrometheus(streams))
	return cmd
}

func newImportPrometheus(streams Streams) *cobra.Command {
	const usage = "nilometer import prometheus DIR --data.dir DATA"
	var o prometheus.ImportOptions
	var dir, tenantName, retention, minTime, maxTime string
	cmd := &cobra.Command{
		Use:   "prometheus DIR",
		Short: "Take over the data directory of a Prometheus",
		Long: `Reads the data directory of a Prometheus (its --storage.tsdb.path) into blocks
of this program. The source is not changed. Samples that are there already stay
as they are. An import that was interrupted goes on where it stopped when it is
started again.`,
		Args: args(cobra.ExactArgs(1), usage),
		RunE: func(cmd *cobra.Command, given []string) error {
			var err error
			if o.Retention, err = parseDuration("storage.tsdb.retention.time", retention); err != nil {
				return usageError{err}
			}
			if o.Retention == 0 {
				o.Retention = defaultRetention
			}
			if o.MinTime, o.MaxTime, err = parseRange(minTime, maxTime); err != nil {
				return err
			}
			o.Tenant = tenant.ID(tenantName)
			if err := o.Tenant.Validate(); err != nil {
				return usageError{fmt.Errorf("--tenant: %w", err)}
			}
			return runImport(cmd.Context(), streams, dir, given[0], o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&dir, "data.dir", "./data", "`directory` of the data; it is made when it is not there")
	f.StringVar(&tenantName, "tenant", string(tenant.Default), "`name` of the tenant that gets the samples")
	f.StringVar(&minTime, "min-time", "", "leave out samples before this `time` (RFC 3339, or seconds since 1970)")
	f.StringVar(&maxTime, "max-time", "", "leave out samples after this `time`")
	f.BoolVar(&o.Keep, "keep", false, "import samples older than the retention too, and exempt what is imported from retention by time")
	f.StringVar(&retention, "storage.tsdb.retention.time", "", "how `long` the server keeps samples (default 30d)")
	f.BoolVar(&o.DryRun, "dry-run", false, "read and encode everything, add nothing, and tell the sizes")
	f.BoolVar(&o.SkipHistograms, "skip-histograms", false, "leave native histograms out")
	f.BoolVar(&o.SkipDamaged, "skip-damaged", false, "leave out what cannot be read")
	return cmd
}

func runImport(ctx context.Context, streams Streams, dir, from string, o prometheus.ImportOptions) error {
	db, err := openForImport(ctx, dir, o)
	if err != nil {
		return err
	}
	o.Scratch = filepath.Join(dir, "import")
	if db == nil { // nothing is made where there is no data directory
		if o.Scratch, err = os.MkdirTemp("", "nilometer-import-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(o.Scratch) }()
	}
	bar := newTransfer(streams)
	o.Report, o.Warn = bar.report, bar.warn
	sum, err := prometheus.Import(ctx, db, from, o)
	bar.end()
	if db != nil {
		err = errors.Join(err, db.Close())
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %d ranges are imported; start the same command again to go on: %w", sum.Ranges+sum.Repeated, context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	return writeImportSummary(streams, sum, o.DryRun)
}

// openForImport opens the data directory, and makes it unless that is a dry
// run: nil then.
func openForImport(ctx context.Context, dir string, o prometheus.ImportOptions) (*tsdb.DB, error) {
	opts := tsdb.Options{Retention: max(o.Retention, 2*time.Hour)}
	deps := tsdb.Deps{Dir: dir, Note: "nilometer import"}
	if _, err := os.Stat(filepath.Join(dir, "VERSION")); errors.Is(err, fs.ErrNotExist) {
		if o.DryRun {
			return nil, nil
		}
		db, err := tsdb.Open(ctx, opts, deps)
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	return tsdb.OpenIdle(ctx, opts, deps)
}

func writeImportSummary(streams Streams, s prometheus.ImportSummary, dryRun bool) error {
	w := &lines{to: streams.Out}
	verb := "imported"
	if dryRun {
		verb = "dry run: nothing was added; it would be"
	}
	w.printf("%s %d ranges of time (%d were imported before) with %d series and %d samples in %s%s",
		verb, s.Ranges, s.Repeated, s.Series, s.Samples, s.Duration.Round(time.Millisecond), rate(s.Samples, s.Duration))
	w.printf("the source has %s%s; the blocks made of it have %s%s",
		bytesText(s.SourceBytes), bytesEach(s.SourceBytes, s.SourceSamples), bytesText(int64(s.Bytes)), bytesEach(int64(s.Bytes), s.Samples))
	w.some(s.Present, "%d samples were there before, %d of them with another value: what was there first stays", s.Present, s.Differ)
	w.some(s.SourceConflicts, "%d timestamps have two values in the source: that of the older block is taken", s.SourceConflicts)
	w.some(s.Histograms, "%d samples of native histograms are left out", s.Histograms)
	w.some(s.Exemplars, "%d exemplars are left out: they have no place in blocks", s.Exemplars)
	w.some(s.Metadata, "%d records of metadata are left out: scrapes bring them again", s.Metadata)
	w.some(s.DamagedChunks, "%d chunks cannot be read and are left out", s.DamagedChunks)
	for _, part := range s.Skipped {
		w.printf("%s cannot be read and is left out", part)
	}
	return w.err
}

// parseRange reads the times of --min-time and --max-time; "" is the zero
// time.
func parseRange(minTime, maxTime string) (from, to time.Time, err error) {
	if from, err = parseTime("min-time", minTime, time.Time{}); err != nil {
		return from, to, err
	}
	if to, err = parseTime("max-time", maxTime, time.Time{}); err != nil {
		return from, to, err
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return from, to, usageError{fmt.Errorf("--max-time=%s is before --min-time=%s", maxTime, minTime)}
	}
	return from, to, nil
}
