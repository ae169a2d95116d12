package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

// settleNilometer stops the server and brings all of its data into merged
// blocks. By itself a server would cut its head half a block range after the
// end of a span; here the clock is put forward instead. The runner reads the
// data with its own tsdb: binary and runner must be of the same tree.
func settleNilometer(ctx context.Context, p *process) (dirs []string, err error) {
	p.stop()
	data := filepath.Join(p.dir, "data")
	var ahead atomic.Int64 // of the clock, in nanoseconds
	db, err := tsdb.Open(ctx, tsdb.Options{Retention: -1, MaintenanceInterval: time.Hour}, tsdb.Deps{
		Dir:   data,
		Note:  "bench/run",
		Clock: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	})
	if err != nil {
		return nil, fmt.Errorf("settle %s: %w", data, err)
	}
	running, end := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- db.Run(running) }()
	defer func() {
		end()
		err = errors.Join(err, <-ended, db.Close())
	}()
	for errors.Is(db.Ready(), storage.ErrReplaying) {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
	// The first cut sees what there is, the second that nothing came for a day.
	err = db.Ready()
	for range 2 {
		err = errors.Join(err, db.Cut(ctx))
		ahead.Add(int64(24 * time.Hour))
	}
	if err := errors.Join(err, db.Compact(ctx)); err != nil {
		return nil, fmt.Errorf("settle %s: %w", data, err)
	}
	return []string{filepath.Join(data, "store")}, nil
}
