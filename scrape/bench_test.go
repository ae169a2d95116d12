package scrape_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
)

// void is a store that gives slots and keeps nothing.
type void struct{ slots map[string]storage.Slot }

func (v *void) OpenGroup(context.Context, tenant.ID, storage.GroupSpec) (storage.Group, error) {
	return v, nil
}

func (v *void) Commit(context.Context, storage.Durability, ...storage.Prepared) error { return nil }

func (v *void) Resolve(_ context.Context, lsets []labels.Labels, out []storage.Resolution) (uint64, error) {
	for i, l := range lsets {
		slot, ok := v.slots[l.String()]
		if !ok {
			slot = storage.Slot(len(v.slots))
			v.slots[l.String()] = slot
		}
		out[i] = storage.Resolution{Slot: slot}
	}
	return 1, nil
}

func (v *void) Prepare(context.Context, *storage.Batch) (storage.Prepared, error) { return v, nil }
func (v *void) Append(context.Context, *storage.Batch, storage.Durability) (storage.Result, error) {
	return storage.Result{}, nil
}
func (v *void) Close() error           { return nil }
func (v *void) Result() storage.Result { return storage.Result{} }
func (v *void) Abort()                 {}

// BenchmarkIngest writes successive recorded scrapes of one target up to the
// store's door: line memory, duplicates, stale markers, report, batches.
func BenchmarkIngest(b *testing.B) {
	for _, name := range corpus.Names() {
		b.Run(name, func(b *testing.B) {
			r, err := corpus.Open(name)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			var bodies [][]byte
			for len(bodies) < 60 {
				s, err := r.Next()
				if err != nil {
					b.Fatal(err)
				}
				if !s.Failed() {
					bodies = append(bodies, bytes.Clone(s.Body))
				}
			}
			m, err := scrape.NewManager(scrape.Deps{Writer: &void{map[string]storage.Slot{}}})
			if err != nil {
				b.Fatal(err)
			}
			in := scrape.NewIngest(m)
			samples := 0
			for i := 0; b.Loop(); i++ {
				n, err := in.Write(bodies[i%len(bodies)], int64(i))
				if err != nil {
					b.Fatal(err)
				}
				samples += n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
			kept := in.KeptBytes()
			b.ReportMetric(float64(kept*b.N)/float64(samples), "kept-B/sample")
		})
	}
}
