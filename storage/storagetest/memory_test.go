package storagetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func TestLoadAndReadAll(t *testing.T) {
	want := []storagetest.Series{
		{
			Labels:  labels.FromStrings("__name__", "a", "instance", "i1", "job", "j"),
			Samples: []storagetest.Sample{{T: 1000, V: 1}, {T: 2000, V: column.StaleNaN()}, {T: 4000, V: 3, Start: 500}},
		},
		{
			Labels:  labels.FromStrings("__name__", "b", "instance", "i1", "job", "j"),
			Samples: []storagetest.Sample{{T: 2000, V: 7}},
		},
		{
			Labels:  labels.FromStrings("__name__", "c"),
			Samples: []storagetest.Sample{{T: 1, V: -7}, {T: 3, V: 0.1}},
		},
	}
	for name, o := range map[string]storagetest.MemoryOptions{
		"encoded":       {},
		"decoded":       {Decoded: true},
		"small tiles":   {TilePositions: 1, BatchSeries: 1},
		"small batches": {BatchSeries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			store := storagetest.NewMemory(o)
			if err := storagetest.Load(ctx, store, tenant.Default, want...); err != nil {
				t.Fatal(err)
			}
			got, err := storagetest.ReadAll(ctx, store, tenant.Default)
			if err != nil {
				t.Fatal(err)
			}
			if d := storagetest.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	for name, o := range map[string]storagetest.MemoryOptions{"encoded": {}, "decoded in small tiles": {Decoded: true, TilePositions: 3, BatchSeries: 2, LateWindow: 3 * time.Hour}} {
		t.Run(name, func(t *testing.T) {
			storagetest.Run(t, storagetest.Harness{LateWindow: o.LateWindow, Open: func(_ *testing.T, a storage.Admitter) storage.Store {
				o.Admitter = a
				return storagetest.NewMemory(o)
			}})
		})
	}
}
