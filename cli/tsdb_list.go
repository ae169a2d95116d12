package cli

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/tsdb"
)

func newTSDBList(streams Streams, deps func() tsdb.Deps) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the blocks, beside a server or without one",
		Args:  args(cobra.NoArgs, "nilometer tsdb list --data.dir DIR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			blocks, err := tsdb.Blocks(cmd.Context(), deps())
			if err != nil {
				return err
			}
			usage, err := tsdb.DiskUsage(deps())
			if err != nil {
				return err
			}
			if asJSON {
				return writeBlocksJSON(streams, blocks)
			}
			return writeBlocks(streams, blocks, usage)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object a line")
	return cmd
}

func writeBlocksJSON(streams Streams, blocks []tsdb.Listed) error {
	enc := json.NewEncoder(streams.Out)
	for _, b := range blocks {
		m := b.Meta
		err := enc.Encode(map[string]any{
			"tenant": b.Tenant, "id": m.ID.String(), "min_time": m.MinTime, "max_time": m.MaxTime, "level": m.Level, "resolution_ms": m.ResolutionMs,
			"series": m.Stats.Series, "samples": m.Stats.Samples, "index_bytes": m.Stats.IndexBytes, "chunk_bytes": m.Stats.ChunkBytes,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func writeBlocks(streams Streams, blocks []tsdb.Listed, usage tsdb.Usage) error {
	w := tabwriter.NewWriter(streams.Out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TENANT\tBLOCK\tFROM\tTO\tLEVEL\tSERIES\tSAMPLES\tSIZE\tBYTES/SAMPLE")
	var samples uint64
	for _, b := range blocks {
		m := b.Meta
		samples += m.Stats.Samples
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%.3f\n", b.Tenant, m.ID, timeText(m.MinTime), timeText(m.MaxTime), m.Level,
			m.Stats.Series, m.Stats.Samples, shortBytes(int64(m.Stats.Bytes())), float64(m.Stats.Bytes())/float64(max(1, m.Stats.Samples)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(streams.Out, "%d blocks with %d samples in %s; log %s, seals %s, manifests %s, other %s\n", len(blocks), samples,
		shortBytes(usage.Blocks), shortBytes(usage.Log), shortBytes(usage.Head), shortBytes(usage.Manifests), shortBytes(usage.Other))
	return err
}

// timeText writes ms as a time in UTC.
func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z") }
