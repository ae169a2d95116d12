package scan_test

import (
	"context"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/scan"
)

// TestFound: what an estimate has found is what a scan needs, and of no other
// selection.
func TestFound(t *testing.T) {
	ctx := context.Background()
	parts := twoParts()
	matcher := func(value string) []*labels.Matcher {
		return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "__name__", value)}
	}
	sel := storage.Selection{Matchers: matcher("a"), MinTime: math.MinInt64, MaxTime: math.MaxInt64}
	f, err := scan.Find(ctx, parts, sel)
	if err != nil {
		t.Fatal(err)
	}
	if f.Series() != 2 {
		t.Errorf("%d series", f.Series())
	}
	other, later, regexp := sel, sel, sel
	other.Matchers, later.MinTime = matcher("b"), 1
	regexp.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", "a")}
	for name, wrong := range map[string]storage.Selection{
		"another matcher": other, "another range": later, "another type of matcher": regexp, "everything": {MinTime: sel.MinTime, MaxTime: sel.MaxTime},
	} {
		if f.Of(parts, wrong) {
			t.Errorf("%s is taken for the same", name)
		}
	}
	if f.Of(parts[:1], sel) || f.Of(twoParts(), sel) {
		t.Error("other parts are taken for the same")
	}
	same := sel
	same.Matchers, same.Partial, same.TimesOnly = matcher("a"), true, true
	if !f.Of(parts, same) {
		t.Error("an equal selection is taken for another")
	}
	if _, err := f.Estimate(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := f.Scan(ctx, sel)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if diff := storagetest.Diff(read(t, s), model(t, parts, sel)); diff != "" {
		t.Error(diff)
	}
}
