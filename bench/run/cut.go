package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nilometer/nilometer/tsdb"
)

// settleNilometer stops the server and brings all of its data into its final
// form, as `nilometer tsdb compact` does. All files of the data directory
// count then, but for the empty log that every start makes. The runner uses its
// own tsdb: binary and runner must be of the same tree.
func settleNilometer(ctx context.Context, p *process) (dirs []string, err error) {
	p.stop()
	data := filepath.Join(p.dir, "data")
	c, err := tsdb.Compact(ctx, tsdb.Options{Retention: -1}, tsdb.Deps{Dir: data, Note: "bench/run"}, func(tsdb.CompactReport) {})
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", data, err)
	}
	names, err := os.ReadDir(data)
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", data, err)
	}
	for _, name := range names {
		if name.Name() != "wal" || c.After.Log > 0 {
			dirs = append(dirs, filepath.Join(data, name.Name()))
		}
	}
	return dirs, nil
}
