package scrape

import (
	"context"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/exposition"
)

// Ingest writes bodies as successive scrapes of one target, without a loop.
type Ingest struct {
	sink *sink
	work *work
}

// NewIngest returns the write side of one target of m.
func NewIngest(m *Manager) *Ingest {
	o := PoolOptions{Job: "j"}.withDefaults()
	s := &spec{labels: labels.FromStrings("instance", "a:1", "job", "j"), url: "http://a:1/metrics"}
	return &Ingest{newSink(m, &o, s), newWork()}
}

// Write stores one body and returns its number of samples.
func (i *Ingest) Write(body []byte, t int64) (int, error) {
	out, err := i.sink.write(context.Background(), i.work, body, exposition.Text, t, func() float64 { return 0 })
	return out.scraped, err
}

// KeptBytes is what the target keeps between scrapes.
func (i *Ingest) KeptBytes() int {
	n := i.sink.memory.SizeBytes()
	for _, g := range i.sink.groups {
		n += cap(g.present) * 8
	}
	return n
}
