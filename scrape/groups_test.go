package scrape_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/discovery/file"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestManyPlacementKeys scrapes what a pushgateway shows: series of many
// instances, which come and go.
func TestManyPlacementKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		e := &exporter{}
		body := func(from, to int) string {
			var s strings.Builder
			for i := from; i < to; i++ {
				fmt.Fprintf(&s, "x{instance=\"i%d\",job=\"p\"} %d\n", i, i)
			}
			return s.String()
		}
		o := one(e)
		o.HonorLabels = true
		e.set(body(0, 3))
		b.apply(o)
		time.Sleep(time.Second)
		e.set(body(1, 5))
		time.Sleep(10 * time.Second)
		e.fail(context.Canceled)
		time.Sleep(10 * time.Second)
		e.set(body(0, 2))
		time.Sleep(10 * time.Second)
		x := func(i int, samples string) string {
			return fmt.Sprintf("{__name__=\"x\", instance=\"i%d\", job=\"p\"}: %s", i, samples)
		}
		b.want(begin, name("up")+": 1@0 1@10 0@20 1@30",
			x(0, "0@0 S@10 0@30"), x(1, "1@0 1@10 S@20 1@30"), x(2, "2@0 2@10 S@20"), x(3, "3@10 S@20"), x(4, "4@10 S@20"))
	})
}

// TestOneURLTwice: targets with one address differ by their labels alone.
func TestOneURLTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		o := one(&exporter{body: "x 1\n"})
		o.Discovery.Static = append(o.Discovery.Static, discovery.StaticGroup([]string{"a:1"}, labels.FromStrings("n", "2")))
		b.apply(o)
		time.Sleep(31 * time.Second)
		second := inst + `, n="2"`
		b.want(time.Time{}, name("up")+": 1 1 1 1", `{__name__="up", `+second+`}: 1 1 1 1`,
			name("x")+": 1 1 1 1", `{__name__="x", `+second+`}: 1 1 1 1`)
	})
}

// churning aborts the membership's version now and then, as an engine does
// when series move between groups.
type churning struct {
	storage.Writer
	mu     sync.Mutex // guards groups
	groups []storage.Group
}

func (c *churning) OpenGroup(ctx context.Context, id tenant.ID, spec storage.GroupSpec) (storage.Group, error) {
	g, err := c.Writer.OpenGroup(ctx, id, spec)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups = append(c.groups, g)
	return g, err
}

// change resolves a member that nobody writes and drops it: all versions move.
func (c *churning) change(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		out := make([]storage.Resolution, 1)
		version, err := g.Resolve(t.Context(), []labels.Labels{labels.FromStrings("__name__", "other")}, out)
		if errors.Is(err, storage.ErrGroupClosed) {
			continue // it had no series any more
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Prepare(t.Context(), &storage.Batch{Version: version})
		if err != nil {
			t.Fatal(err)
		}
		p.Abort()
	}
}

func TestMembershipChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *churning
		b := start(t, storagetest.MemoryOptions{}, func(d *scrape.Deps) {
			c = &churning{Writer: d.Writer}
			d.Writer = c
		})
		begin := time.Now()
		e := &exporter{body: "x 1\ny 2\nz{instance=\"b\"} 3\n"}
		o := one(e)
		o.HonorLabels = true
		b.apply(o)
		time.Sleep(time.Second)
		c.change(t)
		e.set("x 4\nz{instance=\"b\"} 5\n") // y vanishes while the slots are worth nothing
		time.Sleep(10 * time.Second)
		c.change(t)
		e.fail(context.Canceled)
		time.Sleep(10 * time.Second)
		e.set("x 6\n")
		time.Sleep(10 * time.Second)
		c.change(t)
		b.apply() // the target goes
		time.Sleep(time.Second)
		b.want(begin, name("up")+": 1@0 1@10 0@20 1@30 S@31", name("x")+": 1@0 4@10 S@20 6@30 S@31",
			name("y")+": 2@0 S@10", `{__name__="z", instance="b", job="j"}: 3@0 5@10 S@20`)
	})
}

func TestTargetRelabelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, storagetest.MemoryOptions{}, nil)
		o := one(&exporter{body: "x 1\n"})
		o.Relabel = []*relabel.Config{
			{SourceLabels: model.LabelNames{"__address__"}, Regex: relabel.MustNewRegexp("drop.*"), Separator: ";", Action: relabel.Drop, NameValidationScheme: model.UTF8Validation},
			{SourceLabels: model.LabelNames{"every"}, Regex: relabel.MustNewRegexp("(.+)"), Separator: ";", TargetLabel: "__scrape_interval__", Replacement: "$1", Action: relabel.Replace, NameValidationScheme: model.UTF8Validation},
			{Regex: relabel.MustNewRegexp("every"), Action: relabel.LabelDrop, NameValidationScheme: model.UTF8Validation},
		}
		o.Timeout = time.Second
		o.Discovery.Static = []discovery.Group{
			discovery.StaticGroup([]string{"a:1", "a:1", "drop:1", "drop:2", ""}, labels.FromStrings("team", "t", "__meta_x", "y")),
			discovery.StaticGroup([]string{"b:2"}, labels.FromStrings("every", "25s")),
			discovery.StaticGroup([]string{"c:3"}, labels.FromStrings("every", "soon")),
		}
		o.DroppedTargetsMax = 1
		b.apply(o)
		time.Sleep(11 * time.Second)
		s := b.Targets()
		if len(s.Active) != 2 || len(s.Dropped) != 1 || s.DroppedCount["j"] != 2 || len(s.Problems) != 2 {
			t.Fatalf("%d active, %d dropped of %d, problems %v", len(s.Active), len(s.Dropped), s.DroppedCount["j"], s.Problems)
		}
		a, c := s.Active[0], s.Active[1]
		if a.Labels.String() != `{instance="a:1", job="j", team="t"}` || a.Discovered.Get("__meta_x") != "y" || a.Discovered.Get("__scheme__") != "http" {
			t.Errorf("labels %s, discovered %s", a.Labels, a.Discovered)
		}
		if a.Interval != 10*time.Second || c.Interval != 25*time.Second || c.Labels.Has("every") {
			t.Errorf("intervals %s and %s", a.Interval, c.Interval)
		}
	})
}

func TestTargetsFromFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "targets.json")
	write := func(addresses string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(`[{"targets": [`+addresses+`]}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(`"a:1"`)
	b := start(t, storagetest.MemoryOptions{}, nil)
	o := one(&exporter{body: "x 1\n"})
	o.Discovery = discovery.Options{File: []file.Options{{Files: []string{path}}}}
	b.apply(o)
	instances := func() string {
		var out []string
		for _, target := range b.Targets().Active {
			if target.Status == metadb.TargetUp {
				out = append(out, target.Labels.Get("instance"))
			}
		}
		return strings.Join(out, " ")
	}
	wait(t, "the first target", func() bool { return instances() == "a:1" })
	write(`"a:1", "b:2"`)
	wait(t, "the second target", func() bool { return instances() == "a:1 b:2" })
	write(`"b:2"`)
	wait(t, "the first target's end", func() bool { return instances() == "b:2" })
	wait(t, "its marker", func() bool { return strings.HasSuffix(strings.Split(b.dump(time.Time{}), "\n")[0], " S") })
}
