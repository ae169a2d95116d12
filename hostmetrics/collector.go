package hostmetrics

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Options shape a Collector. The zero value reports this machine.
type Options struct {
	// ProcPath and SysPath are where the kernel's file systems are mounted;
	// empty means /proc and /sys. Linux only.
	ProcPath, SysPath string
}

// part is one subject of the report, as node_exporter divides them.
type part struct {
	name    string
	collect func(ctx context.Context, w *writer) error
}

// Collector reports one machine. It is a scrape.Source; its methods are safe
// for concurrent use.
type Collector struct {
	logger *slog.Logger
	parts  []part

	mu     sync.Mutex // guards what follows: one report at a time
	writer writer
	failed map[string]string // by part: the error that was logged
	took   []time.Duration
	ok     []bool
}

// New returns a Collector of this machine. logger may be nil. It fails when the
// machine's counters cannot be found at all.
func New(o Options, logger *slog.Logger) (*Collector, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	parts, err := platformParts(o)
	if err != nil {
		return nil, fmt.Errorf("host collector: %w", err)
	}
	c := &Collector{logger: logger, parts: append([]part{{"time", clock}}, parts...), failed: map[string]string{}}
	c.took, c.ok = make([]time.Duration, len(c.parts)), make([]bool, len(c.parts))
	return c, nil
}

// clock reports the time of the report itself.
func clock(_ context.Context, w *writer) error {
	w.family("node_time_seconds", gauge, "System time in seconds since the Unix epoch.")
	w.float(float64(time.Now().UnixMicro()) / 1e6)
	return nil
}

// AppendMetrics appends the report in the text format 0.0.4. A part that fails
// is reported and left out; the only errors are the context's.
func (c *Collector) AppendMetrics(ctx context.Context, dst []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.writer
	w.buf = dst
	defer func() { w.buf = nil }()
	for i, p := range c.parts {
		if err := ctx.Err(); err != nil {
			return dst, err
		}
		start, before := time.Now(), len(w.buf)
		err := p.collect(ctx, w)
		if err != nil {
			w.buf = w.buf[:before]
		}
		c.took[i], c.ok[i] = time.Since(start), err == nil
		c.note(p.name, err)
	}
	w.family("node_scrape_collector_duration_seconds", gauge, "How long a part of the report took.")
	for i, p := range c.parts {
		w.float(c.took[i].Seconds(), "collector", p.name)
	}
	w.family("node_scrape_collector_success", gauge, "Whether a part of the report succeeded.")
	for i, p := range c.parts {
		w.bool(c.ok[i], "collector", p.name)
	}
	return w.buf, nil
}

// note logs a part's failure once, until it changes or ends.
func (c *Collector) note(name string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if c.failed[name] == text {
		return
	}
	c.failed[name] = text
	if err != nil {
		c.logger.Warn("a part of the host's metrics fails", "collector", name, "err", err)
	}
}
