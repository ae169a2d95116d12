package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/tsdb"
)

func newTSDB(streams Streams) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "tsdb",
		Short: "Look into a data directory, and work on it",
		Args:  args(cobra.NoArgs, "nilometer tsdb list|analyze|dump|verify|compact --data.dir DIR"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&dir, "data.dir", "./data", "`directory` of the data")
	deps := func() tsdb.Deps { return tsdb.Deps{Dir: dir, Note: "nilometer tsdb"} }
	cmd.AddCommand(newTSDBList(streams, deps), newTSDBAnalyze(streams, deps), newTSDBDump(streams, deps), newVerify(streams, deps), newCompact(streams, deps))
	return cmd
}

func newCompact(streams Streams, deps func() tsdb.Deps) *cobra.Command {
	var retention string
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Bring the data into its final state: the log into blocks, all blocks merged and compressed",
		Args:  args(cobra.NoArgs, "nilometer tsdb compact --data.dir DIR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			keep, err := parseDuration("storage.tsdb.retention.time", retention)
			if err != nil {
				return usageError{err}
			}
			if keep == 0 {
				keep = -1 // nobody asked to drop anything
			}
			c, err := tsdb.Compact(cmd.Context(), tsdb.Options{Retention: keep}, deps(), func(r tsdb.CompactReport) {
				_, _ = fmt.Fprintf(streams.Out, "%s: %s of %d blocks: %s\n", r.Tenant, r.Job.Kind, len(r.Job.Blocks), r.Job.Reason)
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "done: %d jobs, %d samples cut from the log; the data directory had %s and has %s%s\n",
				c.Jobs, c.CutSamples, bytesText(c.Before.Total()), bytesText(c.After.Total()), perSample(c.After, c.Samples))
			return err
		},
	}
	cmd.Flags().StringVar(&retention, "storage.tsdb.retention.time", "", "drop blocks older than this `duration` (default: keep all)")
	return cmd
}

func newVerify(streams Streams, deps func() tsdb.Deps) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Read every block and the log, and check every checksum",
		Args:  args(cobra.NoArgs, "nilometer tsdb verify --data.dir DIR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			blocks, files := 0, 0
			err := tsdb.Verify(cmd.Context(), deps(), func(r tsdb.BlockReport) {
				blocks++
				verdict := "sound"
				if len(r.Problems) > 0 {
					verdict = errors.Join(r.Problems...).Error()
				}
				_, _ = fmt.Fprintf(streams.Out, "%s: block %s, %s to %s, %d series, %d samples: %s\n", r.Tenant, r.Meta.ID,
					time.UnixMilli(r.Meta.MinTime).UTC().Format(time.RFC3339), time.UnixMilli(r.Meta.MaxTime).UTC().Format(time.RFC3339),
					r.Series, r.Samples, verdict)
			})
			logErr := tsdb.VerifyLog(cmd.Context(), deps(), func(r tsdb.FileReport) {
				files++
				verdict := "sound"
				if len(r.Problems) > 0 {
					verdict = errors.Join(r.Problems[:min(len(r.Problems), warningsMax)]...).Error()
				}
				_, _ = fmt.Fprintf(streams.Out, "%s: %d frames in %s: %s\n", r.File, r.Frames, shortBytes(r.Bytes), verdict)
			})
			if err = errors.Join(err, logErr); err != nil {
				return err
			}
			_, err = fmt.Fprintf(streams.Out, "done: %d blocks, %d files of the log\n", blocks, files)
			return err
		},
	}
}

// perSample is the sentence about the bytes that a sample takes.
func perSample(u tsdb.Usage, samples uint64) string {
	if samples == 0 {
		return ""
	}
	of := func(n int64) float64 { return float64(n) / float64(samples) }
	return fmt.Sprintf(": %.4f bytes/sample of %d samples (blocks %.4f)", of(u.Total()), samples, of(u.Blocks))
}

// bytesText writes a size in the unit that fits, and exactly.
func bytesText(n int64) string {
	const kib = 1 << 10
	switch {
	case n < kib:
		return fmt.Sprintf("%d bytes", n)
	case n < kib*kib:
		return fmt.Sprintf("%.1f KiB (%d bytes)", float64(n)/kib, n)
	case n < kib*kib*kib:
		return fmt.Sprintf("%.1f MiB (%d bytes)", float64(n)/(kib*kib), n)
	}
	return fmt.Sprintf("%.1f GiB (%d bytes)", float64(n)/(kib*kib*kib), n)
}

// shortBytes writes a size in the unit that fits.
func shortBytes(n int64) string {
	text, _, _ := strings.Cut(bytesText(n), " (")
	return text
}
