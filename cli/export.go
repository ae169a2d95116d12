package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/tsdb/prometheus"
)

func newExport(streams Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write data for another program",
		Args:  args(cobra.NoArgs, "nilometer export prometheus --data.dir DATA DIR"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExportPrometheus(streams))
	return cmd
}

func newExportPrometheus(streams Streams) *cobra.Command {
	const usage = "nilometer export prometheus --data.dir DATA DIR"
	var o prometheus.ExportOptions
	var dir, tenantName, match, minTime, maxTime, blockDuration string
	cmd := &cobra.Command{
		Use:   "prometheus DIR",
		Short: "Write blocks that Prometheus reads",
		Long: `Writes blocks of Prometheus to a directory: a new one, or the data directory of a
Prometheus. An export that was interrupted goes on where it stopped when it is
started again.`,
		Args: args(cobra.ExactArgs(1), usage),
		RunE: func(cmd *cobra.Command, given []string) error {
			var err error
			if o.MinTime, o.MaxTime, err = parseRange(minTime, maxTime); err != nil {
				return err
			}
			if o.BlockDuration, err = parseDuration("block-duration", blockDuration); err != nil {
				return usageError{err}
			}
			if match != "" {
				if o.Matchers, err = parser.NewParser(parser.Options{}).ParseMetricSelector(match); err != nil {
					return usageError{fmt.Errorf("--match=%s: %w; write it like {job=\"node\"}", match, err)}
				}
			}
			o.Tenant = tenant.ID(tenantName)
			if err := o.Validate(); err != nil {
				return usageError{err}
			}
			return runExport(cmd.Context(), streams, dir, given[0], o)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&dir, "data.dir", "./data", "`directory` of the data")
	f.StringVar(&tenantName, "tenant", string(tenant.Default), "`name` of the tenant whose samples are written")
	f.StringVar(&match, "match", "", "write only the series that this `selector` chooses")
	f.StringVar(&minTime, "min-time", "", "leave out samples before this `time` (RFC 3339, or seconds since 1970)")
	f.StringVar(&maxTime, "max-time", "", "leave out samples after this `time`")
	f.StringVar(&blockDuration, "block-duration", "", "`range` of a block (default 2h)")
	return cmd
}

func runExport(ctx context.Context, streams Streams, dir, to string, o prometheus.ExportOptions) error {
	db, err := tsdb.OpenIdle(ctx, tsdb.Options{}, tsdb.Deps{Dir: dir, Note: "nilometer export"})
	if err != nil {
		return err
	}
	bar := newTransfer(streams)
	o.Report = bar.report
	sum, err := prometheus.Export(ctx, db, to, o)
	bar.end()
	err = errors.Join(err, db.Close())
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %d ranges are exported; start the same command again to go on: %w", sum.Ranges+sum.Repeated, context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	w := &lines{to: streams.Out}
	w.printf("exported %d ranges of time (%d were exported before) with %d series and %d samples in %s%s",
		sum.Ranges, sum.Repeated, sum.Series, sum.Samples, sum.Duration.Round(time.Millisecond), rate(sum.Samples, sum.Duration))
	w.printf("the blocks have %s%s", bytesText(int64(sum.Bytes)), bytesEach(int64(sum.Bytes), sum.Samples))
	return w.err
}
