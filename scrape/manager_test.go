package scrape_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		e := &exporter{body: "x 1\n"}
		begin := time.Now()
		b.apply(one(e))
		time.Sleep(25 * time.Second)
		e.hang(time.Hour) // each takes until its deadline, 9.5 s
		time.Sleep(40 * time.Second)
		for i, c := range e.called() {
			if got := c.Sub(begin); got != time.Duration(i)*10*time.Second {
				t.Errorf("scrape %d began after %s", i, got)
			}
		}
		if n := len(e.called()); n != 7 {
			t.Errorf("%d scrapes in 65 s", n)
		}
	})
}

func TestTargetGoesAndManagerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		e := &exporter{body: "x 1\n"}
		o := one(e)
		o.Discovery.Static = append(o.Discovery.Static, discovery.StaticGroup([]string{"b:2"}, labels.FromStrings("extra", "e")))
		b.apply(o)
		time.Sleep(11 * time.Second)
		o.Discovery.Static = o.Discovery.Static[:1]
		b.apply(o)
		time.Sleep(time.Second)
		want := []string{
			`{__name__="up", extra="e", instance="b:2", job="j"}: 1@0 1@10 S@11`, name("up") + ": 1@0 1@10",
			`{__name__="x", extra="e", instance="b:2", job="j"}: 1@0 1@10 S@11`, name("x") + ": 1@0 1@10",
		}
		b.want(begin, want...)
		b.stop() // no markers: a restart goes on
		b.want(begin, want...)
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		changed, same := &exporter{body: "x 1\ny 2\n"}, &exporter{body: "s 1\n"}
		o, p := one(changed), one(same)
		p.Job = "same"
		b.apply(o, p)
		time.Sleep(11 * time.Second)

		// Refused as a whole: nothing changes.
		bad := p
		bad.Job, bad.Scheme, bad.Source = "bad", "gopher", nil
		if err := b.Apply([]scrape.PoolOptions{bad}); err == nil || !strings.Contains(err.Error(), "gopher") {
			t.Errorf("bad options gave %v", err)
		}
		if err := b.Apply([]scrape.PoolOptions{p, p}); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("a job twice gave %v", err)
		}

		// y is dropped by the new options: it gets its marker in the next scrape.
		o.MetricRelabel = []*relabelConfig{dropName("y")}
		b.apply(o, p)
		time.Sleep(10500 * time.Millisecond)
		got := b.dump(begin, labels.MustNewMatcher(labels.MatchEqual, "job", "j"), labels.MustNewMatcher(labels.MatchRegexp, "__name__", "x|y"))
		if want := name("x") + ": 1@0 1@10 1@11 1@21\n" + name("y") + ": 2@0 2@10 S@11"; got != want {
			t.Errorf("stored\n%s\nwant\n%s", got, want)
		}
		for i, c := range same.called() {
			if c.Sub(begin) != time.Duration(i)*10*time.Second {
				t.Errorf("the untouched pool's scrape %d began after %s", i, c.Sub(begin))
			}
		}
		b.apply()
		time.Sleep(time.Second)
		if n := len(b.Targets().Active); n != 0 || len(b.Pools()) != 0 {
			t.Errorf("%d targets left", n)
		}
	})
}

func TestStoreRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *faulty
		b := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) {
			f = &faulty{Writer: d.Writer}
			d.Writer = f
		})
		begin := time.Now()
		e := &exporter{body: "x 1\ny 2\n"}
		b.apply(one(e))
		time.Sleep(time.Second)
		f.set(fmt.Errorf("disk full: %w", storage.ErrReadOnly))
		time.Sleep(10 * time.Second)
		if target := b.only(); target.Status != metadb.TargetDown || !strings.Contains(target.LastError, "disk full") {
			t.Errorf("%s, %q", target.Status, target.LastError)
		}
		f.set(nil)
		e.set("x 3\n")
		time.Sleep(10 * time.Second)
		b.want(begin, name("up")+": 1@0 1@20", name("x")+": 1@0 3@20", name("y")+": 2@0 S@20")
	})
}

func TestAnotherWriterTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		b.apply(one(&exporter{body: "x 1\n"}))
		time.Sleep(time.Second)
		other := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) { d.Writer = b.store })
		other.apply(one(&exporter{body: "x 2\n"}))
		time.Sleep(time.Second)
		other.stop()
		time.Sleep(30 * time.Second)
		if target := b.only(); target.Status != metadb.TargetUp {
			t.Errorf("not recovered: %s, %q", target.Status, target.LastError)
		}
	})
}
