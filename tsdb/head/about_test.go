package head_test

import (
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestWhatIsBesideSamplesOutlivesItsSegments writes metadata and an exemplar
// once, goes on in later segments, and drops the first one.
func TestWhatIsBesideSamplesOutlivesItsSegments(t *testing.T) {
	fs := mem.New()
	md := storage.Metadata{Family: "a", Type: model.MetricTypeCounter, Unit: "bytes", Help: "A."}
	x := exemplar.Exemplar{Labels: labels.FromStrings("trace_id", "1"), Value: 3, Ts: origin, HasTs: true}
	var s *store
	for life := range int64(3) {
		var err error
		if s, err = open(fs, nil); err != nil {
			t.Fatal(err)
		}
		g, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "push"))
		if err != nil {
			t.Fatal(err)
		}
		b := storage.Batch{Time: origin + 1000*life, Values: []float64{1}}
		if life == 0 {
			b.Metadata = []storage.Metadata{md}
			b.Exemplars = []storage.ExemplarSample{{Slot: 0, Exemplar: x}}
		}
		if err := write(s, g, b, []labels.Labels{storagetest.Named("a")}, storage.Synced); err != nil {
			t.Fatal(err)
		}
		if life == 1 {
			if err := s.log.DropBefore(s.log.Segment()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h := s.Head(tenant.Default)
	if got := h.Metadata("", 0); len(got) != 1 || got[0] != md {
		t.Errorf("metadata %+v", got)
	}
	got := h.Exemplars(0, origin, labels.MustNewMatcher(labels.MatchEqual, "__name__", "a"))
	if len(got) != 1 || len(got[0].Exemplars) != 1 || !got[0].Exemplars[0].Equals(x) {
		t.Errorf("exemplars %+v", got)
	}
	if got := h.Exemplars(0, origin-1); len(got) != 0 {
		t.Errorf("exemplars of another time: %+v", got)
	}
}

// TestRefusedExemplars sends exemplars that cannot be taken.
func TestRefusedExemplars(t *testing.T) {
	s, err := open(mem.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	g, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "push"))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]storage.Resolution, 1)
	version, err := g.Resolve(t.Context(), []labels.Labels{storagetest.Named("a")}, out)
	if err != nil {
		t.Fatal(err)
	}
	long := make([]byte, 200)
	for i := range long {
		long[i] = 'x'
	}
	at := func(slot storage.Slot, t int64, l string) storage.ExemplarSample {
		return storage.ExemplarSample{Slot: slot, Exemplar: exemplar.Exemplar{Labels: labels.FromStrings("id", l), Value: 1, Ts: t, HasTs: true}}
	}
	res, err := g.Append(t.Context(), &storage.Batch{
		Time: origin, Version: version, Slots: []storage.Slot{0}, Values: []float64{1},
		Exemplars: []storage.ExemplarSample{at(0, origin, "1"), at(0, origin, "1"), at(0, origin-1, "2"), at(7, origin, "3"), at(0, origin+1, string(long))},
	}, storage.Synced)
	if err != nil {
		t.Fatal(err)
	}
	want := []storage.Rejection{
		{Index: 3, Slot: 0, Reason: storage.ReasonOutOfOrder},
		{Index: 4, Slot: 7, Reason: storage.ReasonUnknownSlot},
		{Index: 5, Slot: 0, Reason: storage.ReasonInvalidLabels},
	}
	if len(res.Rejected) != len(want) {
		t.Fatalf("%+v instead of %+v", res.Rejected, want)
	}
	for i := range want {
		if res.Rejected[i] != want[i] {
			t.Errorf("%+v instead of %+v", res.Rejected[i], want[i])
		}
	}
}
