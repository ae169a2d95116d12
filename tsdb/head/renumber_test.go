package head_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestSeriesComeWhileLabelsAreCopied replaces most series of a head span after
// span. While the labels of the old ones go and the others are copied, series
// come, some with labels that have just gone: selections by each label find what
// was written, no more and no less.
func TestSeriesComeWhileLabelsAreCopied(t *testing.T) {
	const spans, each = 6, 3000
	s, err := openAll(mem.New(), nil, head.Options{BlockRange: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	h := s.Head(tenant.Default)
	named := func(id string, i int) labels.Labels {
		return labels.FromStrings("__name__", fmt.Sprint("m", i%7), "id", id, "instance", "i", "job", "j", "path", fmt.Sprint("/", i%97))
	}
	during := 0
	for span := range int64(spans) {
		steady, err := s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, fmt.Sprint("steady", span)))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		b := storage.Batch{Time: origin + 60_000*span}
		var lsets []labels.Labels
		for i := range each {
			id := fmt.Sprintf("%d_%d", span%2, i)
			lsets, b.Values, want[id] = append(lsets, named(id, i)), append(b.Values, 1), i
		}
		if err := write(s, steady, b, lsets, storage.Logged); err != nil {
			t.Fatal(err)
		}
		for _, ended := range h.Spans(b.Time) {
			h.Cut(ended).Release()
		}
		done := make(chan struct{})
		var adding sync.WaitGroup
		adding.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				id := fmt.Sprintf("%d_%d", 1-span%2, i%each) // of the span before
				if _, known := want[id]; known {
					return
				}
				want[id] = i + 1
				if werr := write(s, steady, storage.Batch{Time: b.Time + int64(1+i), Values: []float64{1}}, []labels.Labels{named(id, i+1)}, storage.Logged); werr != nil {
					t.Error(werr)
					return
				}
				during++
			}
		})
		h.Drop(h.Horizon())
		close(done)
		adding.Wait()
		if err := steady.Close(); err != nil {
			t.Fatal(err)
		}
		if h.Series() != len(want) {
			t.Fatalf("span %d: %d series, want %d", span, h.Series(), len(want))
		}
		found, err := storagetest.ReadAll(t.Context(), s, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, "job", "j"))
		if err != nil || len(found) != len(want) {
			t.Fatalf("span %d: %d series have the job (%v), want %d", span, len(found), err, len(want))
		}
		byPath := map[string]int{}
		for _, i := range want {
			byPath[fmt.Sprint("/", i%97)]++
		}
		for path, n := range byPath {
			found, err := storagetest.ReadAll(t.Context(), s, tenant.Default, labels.MustNewMatcher(labels.MatchEqual, "path", path))
			if err != nil || len(found) != n {
				t.Fatalf("span %d: %d series have the path %s (%v), want %d", span, len(found), path, err, n)
			}
			for _, x := range found {
				id := x.Labels.Get("id")
				if i, ok := want[id]; !ok || labels.Compare(x.Labels, named(id, i)) != 0 {
					t.Fatalf("span %d: found %s", span, x.Labels)
				}
			}
		}
	}
	t.Logf("%d series came while others went", during)
}
