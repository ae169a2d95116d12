package tsdb_test

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// everything selects all samples.
var everything = storage.Selection{MinTime: math.MinInt64, MaxTime: math.MaxInt64}

// readStill reads a directory series by series.
func readStill(t *testing.T, s *tsdb.Still, sel storage.Selection) (out []storagetest.Series) {
	t.Helper()
	err := s.EachSeries(t.Context(), tenant.Default, sel, func(err error) { t.Error(err) }, func(lset labels.Labels, samples []column.Sample) error {
		out = append(out, storagetest.Series{Labels: lset, Samples: append([]column.Sample(nil), samples...)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStill(t *testing.T) {
	fs := mem.New()
	o := quiet(time.Hour)
	db := mustStart(t, fs, o, tsdb.Deps{})
	appendMinutes(t, db, 0, 250)
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(t.Context(), tenant.Default, at(0), at(60*9), labels.MustNewMatcher(labels.MatchEqual, "__name__", "a")); err != nil {
		t.Fatal(err)
	}
	want := mustRead(t, db)

	// Beside the database: what is in blocks, without what is deleted.
	s, err := tsdb.OpenStill(t.Context(), offlineDeps(fs))
	if err != nil {
		t.Fatal(err)
	}
	got := readStill(t, s, everything)
	if s.HeldBy == nil || len(got) != 2 || len(got[0].Samples) < 60 || len(got[0].Samples) >= 240 || got[0].Samples[0].T != at(600) {
		t.Errorf("beside the database (%v) there are %d series", s.HeldBy, len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}

	// Alone: everything, and all of it in order.
	if s, err = tsdb.OpenStill(t.Context(), offlineDeps(fs)); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := readStill(t, s, everything); s.HeldBy != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	some := storage.Selection{MinTime: at(60 * 100), MaxTime: at(60 * 110), Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", "b")}}
	if got := readStill(t, s, some); len(got) != 1 || len(got[0].Samples) != 11 || got[0].Samples[0].T != at(60*100) {
		t.Errorf("of a part there are %v", got)
	}
	a, err := s.Analyze(t.Context(), tenant.Default, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	if a.Series != 2 || a.Samples != 490 || a.MinTime != at(0) || a.MaxTime != at(60*249) || a.ChunkBytes == 0 ||
		len(a.Metrics) != 2 || a.Metrics[0].Samples+a.Metrics[1].Samples != 490 || len(a.Names) == 0 || len(a.Pairs) == 0 {
		t.Errorf("analyzed as %+v", a)
	}
	stop := errors.New("enough")
	err = s.EachSeries(t.Context(), tenant.Default, everything, nil, func(labels.Labels, []column.Sample) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("stopped with %v", err)
	}
}

// TestStillTellsDamage: what is damaged is left out and told, the rest is read.
func TestStillTellsDamage(t *testing.T) {
	fs := mem.New()
	ids := withBlocks(t, fs, 2)
	damage(t, fs, "store/block/default/"+ids[0].String()+"/chunks/000001")
	s, err := tsdb.OpenStill(t.Context(), offlineDeps(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var told []error
	samples := 0
	err = s.EachSeries(t.Context(), tenant.Default, everything, func(err error) { told = append(told, err) }, func(_ labels.Labels, got []column.Sample) error {
		samples += len(got)
		return nil
	})
	if err != nil || samples < 120 || samples >= 240 || len(told) == 0 || !strings.Contains(told[0].Error(), ids[0].String()) {
		t.Errorf("%d samples, warnings %v, error %v", samples, told, err)
	}
}

func TestVerifyLog(t *testing.T) {
	fs := mem.New()
	db := mustStart(t, fs, quiet(time.Hour), tsdb.Deps{})
	appendMinutes(t, db, 0, 50)
	verify := func() (frames int, err error) {
		err = tsdb.VerifyLog(t.Context(), offlineDeps(fs), func(r tsdb.FileReport) { frames += r.Frames })
		return frames, err
	}
	if n, err := verify(); err != nil || n == 0 { // beside the database
		t.Errorf("%d frames, %v", n, err)
	}
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	m, err := fs.Map("wal/00000001")
	if err != nil {
		t.Fatal(err)
	}
	content := append([]byte(nil), m.Bytes()...)
	_ = m.Close()
	content[len(content)/2] ^= 0xff
	if err := fs.Remove("wal/00000001"); err != nil {
		t.Fatal(err)
	}
	put(t, fs, "wal/00000001", string(content))
	if n, err := verify(); err == nil || !strings.Contains(err.Error(), "wal/00000001") || n == 0 {
		t.Errorf("%d frames, %v", n, err)
	}
	if err := fs.MkdirAll("head"); err != nil {
		t.Fatal(err)
	}
	put(t, fs, "head/seals-00000009", "nilseals and no more")
	put(t, fs, "head/seals-00000010.new", "unfinished")
	if _, err := verify(); err == nil || !strings.Contains(err.Error(), "head/seals-00000009") || strings.Contains(err.Error(), "10") {
		t.Errorf("a damaged file of seals: %v", err)
	}
}
