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

// Turns are the turns of a manager.
type Turns struct{ *turns }

// NewTurns returns as many as there are by default.
func NewTurns() Turns { return Turns{newTurns()} }

// Take waits for a turn; a newcomer's lines are not remembered.
func (t Turns) Take(ctx context.Context, isNew bool) error {
	if isNew {
		return t.take(ctx, newcomer)
	}
	return t.take(ctx, known)
}

// Give ends a turn.
func (t Turns) Give() { t.give() }

// Waiting counts who waits.
func (t Turns) Waiting() (known, newcomers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting[0]), len(t.waiting[1])
}
