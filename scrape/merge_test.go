package scrape_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// shaping gives every series with a user other than a the user "other".
type shaping struct{ storage.AdmitAll }

func (shaping) Shape(_ tenant.ID, _ seriesKey, lset labels.Labels, o storage.Offer) (labels.Labels, bool, storage.Reason) {
	if u := lset.Get("user"); u == "" || u == "a" || u == "other" {
		return lset, false, storage.ReasonNone
	}
	if !o.Merges {
		return lset, false, storage.ReasonCardinality
	}
	return labels.NewBuilder(lset).Set("user", "other").Labels(), true, storage.ReasonNone
}

// TestMergedSeries: lines that were given one series make one sample, in the
// first scrape as in those that remember the lines.
func TestMergedSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{Admitter: shaping{}}, nil)
		e := &exporter{}
		e.set("# TYPE hits counter\nhits{user=\"a\"} 1\nhits{user=\"b\"} 10\nhits{user=\"c\"} 100\nhits{user=\"d\"} 1000\n" +
			"# TYPE temp gauge\ntemp{user=\"b\"} 5\ntemp{user=\"c\"} 6\n" +
			"# TYPE lag histogram\nlag_count{user=\"b\"} 2\nlag_count{user=\"c\"} 3\n" +
			"untyped_total{user=\"b\"} 20\nuntyped_total{user=\"c\"} 30\nlevel{user=\"b\"} 7\nlevel{user=\"c\"} 8\n")
		b.apply(one(e))
		time.Sleep(11 * time.Second)
		e.set("# TYPE hits counter\nhits{user=\"a\"} 2\nhits{user=\"b\"} 11\nhits{user=\"c\"} 101\nhits{user=\"d\"} 1001\nhits{user=\"e\"} 10000\n" +
			"# TYPE temp gauge\ntemp{user=\"c\"} 9\ntemp{user=\"b\"} 4\n")
		time.Sleep(10 * time.Second)
		with := func(name, user string) string { return `{__name__="` + name + `", ` + inst + `, user="` + user + `"}` }
		metrics := labels.MustNewMatcher(labels.MatchRegexp, "__name__", "hits|temp|lag_count|untyped_total|level")
		got := b.dump(time.Time{}, metrics)
		want := with("hits", "a") + ": 1 1 2\n" + with("hits", "other") + ": 1110 1110 11113\n" + with("lag_count", "other") + ": 5 5 S\n" +
			with("level", "other") + ": 8 8 S\n" + with("temp", "other") + ": 6 6 4\n" + with("untyped_total", "other") + ": 50 50 S"
		if got != want {
			t.Errorf("stored:\n%s\nwant:\n%s", got, want)
		}
		if w := b.only().LastWarning; w != "" {
			t.Errorf("warning %q", w)
		}
	})
}

// TestMergedCountersNeverFall: a line that goes away takes nothing with it that it
// has counted; gauges are what they are.
func TestMergedCountersNeverFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{Admitter: shaping{}}, nil)
		e := &exporter{}
		const types = "# TYPE hits counter\n# TYPE temp gauge\n"
		bodies := []string{
			"hits{user=\"b\"} 10\nhits{user=\"c\"} 100\ntemp{user=\"b\"} 50\n",
			"hits{user=\"c\"} 103\ntemp{user=\"b\"} 40\n",                     // b is gone: 7 fewer
			"hits{user=\"c\"} 105\nhits{user=\"d\"} 1\ntemp{user=\"b\"} 30\n", // another came
			"hits{user=\"c\"} 2\nhits{user=\"d\"} 1\n",                        // c began anew
			"", // all are gone
			"hits{user=\"c\"} 5\nhits{user=\"d\"} NaN\n",
			"hits{user=\"c\"} 6\nhits{user=\"d\"} 4\n",
		}
		e.set(types + bodies[0])
		b.apply(one(e))
		time.Sleep(time.Second)
		for _, body := range bodies[1:] {
			time.Sleep(10 * time.Second)
			e.set(types + body)
		}
		time.Sleep(10 * time.Second)
		got := b.dump(time.Time{}, labels.MustNewMatcher(labels.MatchRegexp, "__name__", "hits|temp"))
		want := `{__name__="hits", ` + inst + `, user="other"}: 110 110 110 113 113 S NaN 120` + "\n" +
			`{__name__="temp", ` + inst + `, user="other"}: 50 50 40 30 S`
		if got != want {
			t.Errorf("stored:\n%s\nwant:\n%s", got, want)
		}
	})
}
