package head_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestChurnTakesNoMemory replaces all series but one, span after span, in a
// group whose writer stays, one whose writers come and go, and private groups.
func TestChurnTakesNoMemory(t *testing.T) {
	const series, spans = 50, 120
	s, _, err := openWith(mem.New(), nil, head.Options{BlockRange: time.Minute}, -1<<62)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	h := s.Head(tenant.Default)
	stays, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Closed, "scrape"))
	if err != nil {
		t.Fatal(err)
	}
	var early head.Sizes
	for span := range spans {
		comes, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, "push"))
		if err != nil {
			t.Fatal(err)
		}
		for at := range 3 {
			for i, g := range []storage.Group{stays, comes} {
				lsets := []labels.Labels{storagetest.Named(fmt.Sprint("forever", i))}
				b := storage.Batch{Time: origin + int64(span)*60_000 + int64(at)*15_000, Values: []float64{1}, BodyStale: i == 0 && at == 2}
				for k := range series {
					if i == 0 && at == 2 {
						break
					}
					lsets, b.Values = append(lsets, storagetest.Named(fmt.Sprintf("g%d_span%d_%d", i, span, k))), append(b.Values, float64(k))
				}
				// Two series of the scrape are pushed, too: they go private.
				if i == 1 && at > 0 {
					for k := range 2 {
						lsets, b.Values = append(lsets, storagetest.Named(fmt.Sprintf("g0_span%d_%d", span, k))), append(b.Values, 9)
						b.Time++
					}
				}
				if err := write(s, g, b, lsets, storage.Logged); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := comes.Close(); err != nil {
			t.Fatal(err)
		}
		for _, ended := range h.Spans(origin + int64(span)*60_000) {
			h.Cut(ended).Release()
		}
		h.Drop(h.Horizon())
		if span == 5 {
			early = h.Sizes()
		}
	}
	if late := h.Sizes(); late.Series > 2*early.Series || late.SeriesMax > 2*early.SeriesMax || late.Slots > 2*early.Slots ||
		late.Groups > 2*early.Groups || late.Labels > 2*early.Labels || late.Symbols > 2*early.Symbols {
		t.Errorf("after %d spans the head has %+v, after 5 it had %+v", spans, late, early)
	} else {
		t.Logf("%+v, early %+v", late, early)
	}
}
