// Package querylog writes finished queries as JSON lines, in the format of
// Prometheus' query log.
//
// It owns the format, and the file from the time it is given until the next one
// is.
//
// Invariants:
//
//   - I1: a line is written whole, with one call of Write, and lines of queries
//     that end at the same time do not mix.
//   - I2: a line that cannot be written is counted and lost; the query goes on.
//   - I3: To returns when nobody writes to the file before any more.
package querylog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/promql"
)

// Log writes to one file. It is safe for concurrent use.
type Log struct {
	failures prometheus.Counter

	mu   sync.Mutex     // guards all below
	w    io.WriteCloser // nil: nothing is written
	line bytes.Buffer
}

// New returns a log that writes nothing yet. reg gets its metric, and may be
// nil.
func New(reg prometheus.Registerer) (*Log, error) {
	l := &Log{failures: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "nilometer_query_log_failures_total", Help: "Lines of the query log that could not be written.",
	})}
	if reg != nil {
		if err := reg.Register(l.failures); err != nil {
			return nil, fmt.Errorf("register the query log's metric: %w", err)
		}
	}
	return l, nil
}

// To writes to w from now on, and closes what was written to before. nil ends
// the log.
func (l *Log) To(w io.WriteCloser) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.w
	l.w = w
	if before == nil {
		return nil
	}
	return before.Close()
}

// timeFormat is RFC 3339 in milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

type line struct {
	Time    time.Time    `json:"time"`
	Level   string       `json:"level"`
	Message string       `json:"msg"`
	Params  params       `json:"params"`
	Error   string       `json:"error,omitempty"`
	Stats   stats        `json:"stats"`
	HTTP    *httpRequest `json:"httpRequest,omitempty"`
	Group   *ruleGroup   `json:"ruleGroup,omitempty"`
}

type params struct {
	End   string `json:"end"`
	Query string `json:"query"`
	Start string `json:"start"`
	Step  int64  `json:"step"` // whole seconds
}

type stats struct {
	Timings timings `json:"timings"`
	Samples samples `json:"samples"`
}

// timings are in seconds.
type timings struct {
	EvalTotal   float64 `json:"evalTotalTime"`
	ResultSort  float64 `json:"resultSortTime"`
	Preparation float64 `json:"queryPreparationTime"`
	InnerEval   float64 `json:"innerEvalTime"`
	ExecQueue   float64 `json:"execQueueTime"`
	ExecTotal   float64 `json:"execTotalTime"`
}

type samples struct {
	TotalQueryable int64 `json:"totalQueryableSamples"`
	Read           int64 `json:"samplesRead"`
	Peak           int64 `json:"peakSamples"`
}

type httpRequest struct {
	ClientIP string `json:"clientIP"`
	Method   string `json:"method"`
	Path     string `json:"path"`
}

type ruleGroup struct {
	File string `json:"file"`
	Name string `json:"name"`
}

// pointBytes is what one of the samples that Prometheus counts at the peak
// takes.
const pointBytes = 16

// Log writes one line.
func (l *Log) Log(f promql.Finished) {
	q := f.Query
	evaluation := (f.Total - f.Queued).Seconds()
	out := line{
		Time: q.Arrived.Add(f.Total).UTC(), Level: "INFO", Message: "promql query logged",
		Params: params{
			Query: q.Expr, Start: q.Start.UTC().Format(timeFormat), End: q.End.UTC().Format(timeFormat), Step: int64(q.Step / time.Second),
		},
		Stats: stats{
			Timings: timings{EvalTotal: evaluation, InnerEval: evaluation, ExecQueue: f.Queued.Seconds(), ExecTotal: f.Total.Seconds()},
			Samples: samples{TotalQueryable: q.SamplesRead, Read: q.SamplesRead, Peak: q.MemoryPeakBytes / pointBytes},
		},
	}
	if f.Err != nil {
		out.Error = f.Err.Error()
	}
	if o := f.Origin; o.Path != "" {
		out.HTTP = &httpRequest{o.ClientIP, o.Method, o.Path}
	} else if o.Group != "" {
		out.Group = &ruleGroup{o.File, o.Group}
	}
	l.write(out)
}

func (l *Log) write(out line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return
	}
	l.line.Reset()
	e := json.NewEncoder(&l.line)
	e.SetEscapeHTML(false)
	err := e.Encode(out)
	if err == nil {
		_, err = l.w.Write(l.line.Bytes())
	}
	if err != nil {
		l.failures.Inc()
	}
}
