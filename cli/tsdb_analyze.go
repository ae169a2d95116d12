package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/tsdb"
)

// warningsMax bounds the warnings that are shown of one command.
const warningsMax = 20

// onStill opens a data directory as it is, and tells on Err what of it is
// missing. What could not be read makes the command fail, after its output.
func onStill(ctx context.Context, streams Streams, d tsdb.Deps, do func(*tsdb.Still, func(error)) error) error {
	s, err := tsdb.OpenStill(ctx, d)
	if err != nil {
		return err
	}
	if s.HeldBy != nil {
		_, _ = fmt.Fprintf(streams.Err, "warning: the samples that are in no block yet are left out: %v\n", s.HeldBy)
	}
	n := 0
	err = do(s, func(w error) {
		if n++; n <= warningsMax {
			_, _ = fmt.Fprintf(streams.Err, "warning: %v\n", w)
		}
	})
	if n > warningsMax {
		_, _ = fmt.Fprintf(streams.Err, "warning: and %d more\n", n-warningsMax)
	}
	if n > 0 && err == nil {
		err = fmt.Errorf("what is damaged was left out (%d warnings): look at it with nilometer tsdb verify", n)
	}
	return errors.Join(err, s.Close())
}

func newTSDBAnalyze(streams Streams, deps func() tsdb.Deps) *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "analyze",
		Short: "Show which metrics and labels take the space",
		Long: `Shows which metrics take the space, and which labels make the series: the
largest metric names by bytes with their series, samples and churn, label names
by the number of their values, and labels with the most series.

Bytes are those of chunks encoded each on its own: before they refer to others
and pages are compressed. A series is
churned when it began after the first ten minutes of the data, or ended before
the last ten. Beside a server only what is in blocks is looked at.`,
		Args: args(cobra.NoArgs, "nilometer tsdb analyze --data.dir DIR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError{fmt.Errorf("--limit=%d: it is at least 1", limit)}
			}
			return onStill(cmd.Context(), streams, deps(), func(s *tsdb.Still, warn func(error)) error {
				for _, id := range s.Tenants() {
					a, err := s.Analyze(cmd.Context(), id, warn)
					if err != nil {
						return err
					}
					shorten(&a, limit)
					if asJSON {
						err = json.NewEncoder(streams.Out).Encode(a)
					} else {
						err = writeAnalysis(streams, a)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 20, "`number` of lines in each table")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object for each tenant")
	return cmd
}

func shorten(a *tsdb.Analysis, limit int) {
	a.Metrics = a.Metrics[:min(limit, len(a.Metrics))]
	a.Names = a.Names[:min(limit, len(a.Names))]
	a.Pairs = a.Pairs[:min(limit, len(a.Pairs))]
}

func writeAnalysis(streams Streams, a tsdb.Analysis) error {
	w := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	each := func(bytes, samples uint64) float64 { return float64(bytes) / float64(max(1, samples)) }
	if a.Series == 0 {
		line("tenant %s has no samples", a.Tenant)
		return w.Flush()
	}
	line("tenant %s: %d series, %d samples, %s to %s (%s), chunks %s, %.3f bytes/sample", a.Tenant, a.Series, a.Samples,
		timeText(a.MinTime), timeText(a.MaxTime), time.Duration(a.MaxTime-a.MinTime)*time.Millisecond, shortBytes(int64(a.ChunkBytes)), each(a.ChunkBytes, a.Samples))
	line("\nMETRIC\tSERIES\tSAMPLES\tBYTES\tSHARE\tBYTES/SAMPLE\tCHURNED")
	for _, m := range a.Metrics {
		line("%s\t%d\t%d\t%s\t%.1f%%\t%.3f\t%d", m.Name, m.Series, m.Samples, shortBytes(int64(m.ChunkBytes)),
			100*each(m.ChunkBytes, a.ChunkBytes), each(m.ChunkBytes, m.Samples), m.Churned)
	}
	line("\nLABEL\tVALUES\tBYTES OF VALUES\tSERIES")
	for _, n := range a.Names {
		line("%s\t%d\t%s\t%d", n.Name, n.Values, shortBytes(int64(n.ValueBytes)), n.Series)
	}
	line("\nLABEL AND VALUE\tSERIES\tCHURNED")
	for _, p := range a.Pairs {
		line("%s=%q\t%d\t%d", p.Name, p.Value, p.Series, p.Churned)
	}
	if a.PairsTruncated {
		line("(there are more labels than were counted)")
	}
	return w.Flush()
}
