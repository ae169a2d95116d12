package tsdb_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

func ruleFor(name string, keep time.Duration) tsdb.RetentionRule {
	return tsdb.RetentionRule{Matchers: []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}, Time: keep}
}

// TestRetentionRules: queries never see what a rule has made too old, and files
// lose it with few rewrites.
func TestRetentionRules(t *testing.T) {
	var clock atomic.Int64
	clock.Store(base)
	now := func() time.Time { return time.UnixMilli(clock.Load()) }
	o := quiet(10 * time.Minute)
	o.RetentionRules = []tsdb.RetentionRule{ruleFor("a", time.Hour)}
	db := mustStart(t, mem.New(), o, tsdb.Deps{Clock: now})
	var all []storagetest.Series
	rewrites := 0
	for hour := range int64(8) {
		clock.Store(at(3600*hour + 3600))
		load(t, db, 3600*hour, 3600*hour+3600, "a", "b")
		for range 2 {
			if err := db.Cut(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := db.Stats().BlockSamples
			if err := db.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			if db.Stats().BlockSamples < before {
				rewrites++
			}
		}
		all = mustRead(t, db)
		for _, s := range all {
			name, first := s.Labels.Get(model.MetricNameLabel), s.Samples[0].T
			if name == "a" && first < clock.Load()-3_600_000 || name == "b" && first != at(0) {
				t.Fatalf("hour %d: %s begins at %d", hour, name, first-base)
			}
		}
	}
	if rewrites == 0 {
		t.Error("nothing was dropped from the files")
	}
	// At most the last hour of "a" and the block that it begins in.
	if got, most := db.Stats().BlockSamples, uint64(8*240+240+3*240); got > most {
		t.Errorf("blocks have %d samples, want at most %d", got, most)
	}
	// Without the rule what is left comes back; a stricter one counts at once.
	if err := db.SetRetention(tsdb.Retention{Time: -1, Rules: []tsdb.RetentionRule{ruleFor("b", 30*time.Minute)}}); err != nil {
		t.Fatal(err)
	}
	for _, s := range mustRead(t, db) {
		if s.Labels.Get(model.MetricNameLabel) == "b" && s.Samples[0].T < clock.Load()-1_800_000 {
			t.Errorf("b begins at %d", s.Samples[0].T-base)
		}
	}
}

// TestRetentionBySize drops the oldest blocks first.
func TestRetentionBySize(t *testing.T) {
	db := mustStart(t, mem.New(), quiet(10*time.Minute), tsdb.Deps{})
	load(t, db, 0, 7200, "a", "b")
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.SetRetention(tsdb.Retention{Time: -1, Bytes: 1 << 40, DiskPercent: 100}); err != nil {
		t.Fatal(err)
	}
	before := db.Stats()
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if db.Stats().BlockSamples != before.BlockSamples {
		t.Error("samples were dropped without need")
	}
	if err := db.SetRetention(tsdb.Retention{Time: -1, Bytes: 1}); err != nil {
		t.Fatal(err)
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := db.Stats(); left.Blocks != 0 {
		t.Errorf("%d blocks are left", left.Blocks)
	}
	if got := mustRead(t, db); len(got) != 2 { // the head's are not touched
		t.Errorf("%d series are left", len(got))
	}
}

func TestRetentionValidate(t *testing.T) {
	for _, c := range []struct {
		r    tsdb.Retention
		want string
	}{
		{tsdb.Retention{}, ""},
		{tsdb.Retention{Time: time.Hour}, "less than the block range"},
		{tsdb.Retention{DiskPercent: 101}, "0 to 100"},
		{tsdb.Retention{Rules: []tsdb.RetentionRule{{Time: 24 * time.Hour}}}, "no matcher"},
		{tsdb.Retention{Rules: []tsdb.RetentionRule{ruleFor("a", time.Hour)}}, "two block ranges"},
		{tsdb.Retention{Time: 24 * time.Hour, Rules: []tsdb.RetentionRule{ruleFor("a", 25*time.Hour)}}, "rules only shorten"},
		{tsdb.Retention{Rules: slices.Repeat([]tsdb.RetentionRule{ruleFor("a", 24*time.Hour)}, 101)}, "at most 100"},
	} {
		err := c.r.Validate(2 * time.Hour)
		if c.want == "" && err != nil || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.want)
		}
	}
}

// TestCompactionNeedsRoom: a job that might fill the disk is not begun, drops
// are made all the same, and with room it goes on.
func TestCompactionNeedsRoom(t *testing.T) {
	disk := mem.New()
	db := mustStart(t, disk, quiet(10*time.Minute), tsdb.Deps{})
	load(t, db, 0, 7200, "a", "b")
	if err := db.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := db.Stats()
	usage, err := disk.Usage()
	if err != nil {
		t.Fatal(err)
	}
	disk.SetCapacity(usage.Total - usage.Free + 100)
	if err := db.Compact(t.Context()); err == nil || !strings.Contains(err.Error(), "not enough room") {
		t.Errorf("compacting a full disk ends with %v", err)
	}
	if after := db.Stats(); after.Blocks != before.Blocks {
		t.Errorf("%d blocks, before %d", after.Blocks, before.Blocks)
	}
	disk.SetCapacity(usage.Total)
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := db.Stats(); after.Blocks >= before.Blocks || after.BlockSamples != before.BlockSamples {
		t.Errorf("%+v, before %+v", after, before)
	}
}
