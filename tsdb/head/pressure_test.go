package head_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestSealEarly encodes streams that are not due: all samples are there as
// before, and the streams' memory is free.
func TestSealEarly(t *testing.T) {
	s, err := open(mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	const positions = 40
	for _, kind := range []storage.GroupKind{storage.Closed, storage.Open} {
		g, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(kind, "g"))
		if err != nil {
			t.Fatal(err)
		}
		lsets := []labels.Labels{storagetest.Named("changes"), storagetest.Named("stays"), storagetest.Named("comes_late")}
		if kind == storage.Open {
			lsets = []labels.Labels{storagetest.Named("pushed")}
		}
		for i := range positions {
			b := storage.Batch{Time: origin + int64(i)*1000, Values: []float64{float64(i * i), 7, float64(-i)}[:len(lsets)]}
			mentioned := lsets
			if i < 5 && kind == storage.Closed {
				mentioned, b.Values = lsets[:2], b.Values[:2]
			}
			if err := write(s, g, b, mentioned, storage.Logged); err != nil {
				t.Fatal(err)
			}
		}
	}
	before, size := read(s), s.Head(tenant.Default).Sizes().Bytes
	if err := s.SealEarly(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Head(tenant.Default).Sizes().Bytes; got >= size {
		t.Errorf("%d bytes outside of the heap after sealing early, %d before", got, size)
	}
	after := read(s)
	if len(before) != 4 || len(after) != len(before) {
		t.Fatalf("%d series after sealing early, %d before, want 4", len(after), len(before))
	}
	if diff := storagetest.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}
