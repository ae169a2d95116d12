package tsdb_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs/mem"
)

// TestOversize: what the log or a block could not be read back with is refused
// before it is written, whatever the admitter says; what is just as large as it
// may be comes back.
func TestOversize(t *testing.T) {
	fs := mem.New()
	o := quiet(time.Hour)
	db := mustStart(t, fs, o, tsdb.Deps{Admitter: storage.AdmitAll{}})
	many := func(n int) labels.Labels {
		b := labels.NewBuilder(storagetest.Named("many"))
		for i := range n - storagetest.Named("many").Len() {
			b.Set(fmt.Sprintf("l%05d", i), "v")
		}
		return b.Labels()
	}
	with := func(name, value string) labels.Labels {
		return labels.NewBuilder(storagetest.Named("long")).Set(name, value).Labels()
	}
	g := open(db, storage.Closed, "large")
	lsets := []labels.Labels{
		storagetest.Named("fine"), many(storage.LabelsMax), many(storage.LabelsMax + 1),
		with("v", strings.Repeat("v", storage.LabelSizeMax)), with("v", strings.Repeat("v", storage.LabelSizeMax+1)),
		with(strings.Repeat("n", storage.LabelSizeMax), "v"), with(strings.Repeat("n", storage.LabelSizeMax+1), "v"),
	}
	out := make([]storage.Resolution, len(lsets))
	version, err := g.Resolve(t.Context(), lsets, out)
	if err != nil {
		t.Fatal(err)
	}
	batch := storage.Batch{Time: at(0), Version: version, Metadata: []storage.Metadata{
		{Family: "fine", Type: "counter", Help: strings.Repeat("h", storage.MetadataSizeMax-len("finecounter"))},
		{Family: "help", Type: "counter", Help: strings.Repeat("h", storage.MetadataSizeMax)},
		{Family: "unit", Unit: strings.Repeat("u", 2<<20)}, {Family: strings.Repeat("f", 2<<20)},
	}}
	var want []storagetest.Series
	for i, r := range out {
		refused := i == 2 || i == 4 || i == 6
		if refused != (r.Reason == storage.ReasonInvalidLabels) {
			t.Errorf("label set %d: %+v", i, r)
		}
		if r.Reason == storage.ReasonNone {
			batch.Slots, batch.Values = append(batch.Slots, r.Slot), append(batch.Values, 1)
			want = append(want, storagetest.Series{Labels: lsets[i], Samples: []storagetest.Sample{{T: at(0), V: 1}}})
		}
	}
	if _, err := g.Append(t.Context(), &batch, storage.Synced); err != nil {
		t.Fatal(err)
	}
	check := func(when string, db storage.Store) {
		t.Helper()
		got, err := storagetest.ReadAll(t.Context(), db, tenant.Default)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		slices.SortFunc(want, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
		if d := storagetest.Diff(want, got); d != "" {
			t.Errorf("%s: %.300s", when, d)
		}
		v, err := db.View(t.Context(), tenant.Default)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if md, err := v.Metadata(t.Context(), "", 0); err != nil || len(md) != 1 || md[0].Family != "fine" {
			t.Errorf("%s: %d families, %v", when, len(md), err)
		}
	}
	check("before", db)
	if err := db.stop(); err != nil {
		t.Fatal(err)
	}
	check("after a restart", mustStart(t, fs, o, tsdb.Deps{}))
}
