package tsdb

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/tsdb/planner"
)

// metrics are the database's own, beside those of head and log.
type metrics struct {
	loops       *prometheus.CounterVec // by loop and result
	loopSeconds *prometheus.CounterVec // by loop
	lastSuccess *prometheus.GaugeVec   // by loop
	jobs        *prometheus.CounterVec // by kind of job and result
	conflicts   prometheus.Counter
	dropped     *prometheus.CounterVec
	cutSamples  prometheus.Counter
	spilled     prometheus.Counter
	views       prometheus.Gauge
	letGo       prometheus.Counter
	tailLost    prometheus.Counter
}

// The loops that metrics tell apart.
const (
	loopFlush   = "flush"
	loopCut     = "cut"
	loopSeal    = "seal_early"
	loopCompact = "compact"
	loopCount   = "count_series"
)

func newMetrics(r prometheus.Registerer, db *DB) (*metrics, error) {
	m := &metrics{
		loops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_tsdb_loop_runs_total", Help: "Runs of the maintenance loops by result.",
		}, []string{"loop", "result"}),
		loopSeconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_tsdb_loop_duration_seconds_total", Help: "Time spent in the maintenance loops.",
		}, []string{"loop"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nilometer_tsdb_loop_last_success_timestamp_seconds", Help: "When a maintenance loop last ran without an error.",
		}, []string{"loop"}),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_tsdb_compactions_total", Help: "Compaction jobs by kind and result.",
		}, []string{"kind", "result"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nilometer_tsdb_retention_dropped_blocks_total", Help: "Blocks dropped whole by the retention, by what bound: time or size.",
		}, []string{"cause"}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_compaction_conflicts_total", Help: "Timestamps with different values met by compactions; the one accepted first was kept.",
		}),
		cutSamples: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_cut_samples_total", Help: "Samples written to blocks by cuts of the head.",
		}),
		spilled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_late_samples_spilled_total", Help: "Late samples written to blocks of their own, which overlap others.",
		}),
		letGo: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_tail_let_go_segments_total", Help: "Segments of the log that a cursor did not have the budget for: it reads them of what is stored.",
		}),
		tailLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nilometer_tsdb_tail_damages_total", Help: "Places of the log that could not be read for a cursor.",
		}),
		views: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nilometer_tsdb_views_open", Help: "Views that queries hold: they keep old blocks and spans of the head.",
		}),
	}
	for _, loop := range []string{loopCut, loopSeal, loopFlush, loopCompact, loopCount} {
		for _, result := range []string{resultOK, resultError} {
			m.loops.WithLabelValues(loop, result)
		}
	}
	for _, kind := range []planner.Kind{planner.Drop, planner.Overlap, planner.Rewrite, planner.Level} {
		for _, result := range []string{resultOK, resultError} {
			m.jobs.WithLabelValues(kind.String(), result)
		}
	}
	gauge := func(name, help string, fn func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, fn)
	}
	for _, c := range []prometheus.Collector{
		m.loops, m.loopSeconds, m.lastSuccess, m.jobs, m.conflicts, m.dropped, m.cutSamples, m.spilled, m.views, m.letGo, m.tailLost,
		gauge("nilometer_tsdb_blocks", "Live blocks.", func() float64 { return float64(db.Stats().Blocks) }),
		gauge("nilometer_tsdb_blocks_set_aside", "Live blocks that are not served, because their index is damaged.", func() float64 { return float64(db.Stats().SetAside) }),
		gauge("nilometer_tsdb_compaction_jobs_waiting", "Jobs of the compaction under way that have not ended.", func() float64 {
			n := int64(0)
			for _, b := range db.opened() {
				n += b.queued.Load()
			}
			return float64(n)
		}),
		gauge("nilometer_tsdb_tombstones", "Deletions that some file, or a head, still has samples of.", func() float64 { return float64(db.Stats().Tombstones) }),
		gauge("nilometer_tsdb_block_bytes", "Bytes of the live blocks.", func() float64 { return float64(db.Stats().BlockBytes) }),
		gauge("nilometer_tsdb_block_samples", "Samples in the live blocks.", func() float64 { return float64(db.Stats().BlockSamples) }),
		gauge("nilometer_tsdb_memory_usage_bytes", "Memory in use, garbage aside: what the memory limit is compared with.", func() float64 { return float64(db.pressure.Usage()) }),
		gauge("nilometer_tsdb_memory_limit_bytes", "The memory limit; 0: there is none.", func() float64 { return float64(db.pressure.Limit()) }),
		gauge("nilometer_tsdb_memory_pressure_level", "What is given up to stay within the memory limit: 0 nothing, 1 seals early, 2 cuts early, 3 refuses new series, 4 queries, 5 pushes.",
			func() float64 { return float64(db.pressure.Level()) }),
		gauge("nilometer_tsdb_head_memory_bytes", "Memory of the heads outside of the Go heap.", func() float64 { return float64(db.offHeap.Bytes()) }),
		gauge("nilometer_tsdb_late_buffer_bytes", "Memory of late samples that are in no block yet.", func() float64 { return float64(db.lateStats().bytes) }),
		gauge("nilometer_tsdb_late_buffer_samples", "Late samples that are in no block yet.", func() float64 { return float64(db.lateStats().samples) }),
		gauge("nilometer_tsdb_late_blocks", "Blocks that overlap others and wait for compaction; over the bound of a tenant late samples are refused.",
			func() float64 { return float64(db.lateStats().blocks) }),
		gauge("nilometer_tsdb_cache_bytes", "Memory of what is kept decoded of blocks.", func() float64 { return float64(db.cache.UsedBytes()) }),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

const (
	resultOK    = "ok"
	resultError = "error"
)

func result(err error) string {
	if err != nil {
		return resultError
	}
	return resultOK
}

// ran notes one run of a loop that took so long and has ended.
func (m *metrics) ran(loop string, took time.Duration, end time.Time, err error) {
	m.loops.WithLabelValues(loop, result(err)).Inc()
	m.loopSeconds.WithLabelValues(loop).Add(took.Seconds())
	if err == nil {
		m.lastSuccess.WithLabelValues(loop).Set(float64(end.UnixMilli()) / 1000)
	}
}
