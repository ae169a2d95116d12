package storagetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// History writes one random history, drawn from seed, to the engine and to a
// Memory, and compares everything that both have: after some steps, after
// every reopening, and at the end. The engine is disturbed and reopened at
// random steps.
func History(t *testing.T, h Harness, seed uint64) {
	t.Helper()
	if h.Base == 0 {
		h.Base = defaultBase
	}
	e := newEnv(t, h)
	model := *e
	model.store, model.h.Disturb = NewMemory(MemoryOptions{LateWindow: h.LateWindow}), nil
	hist := &history{rng: rand.New(rand.NewPCG(seed, 0)), stores: [2]*env{e, &model}, name: fmt.Sprintf("history %d", seed)}
	hist.run()
}

// Sizes of a random history.
const (
	historySteps   = 160
	historySeries  = 9
	historyGroups  = 4
	historyStepMax = 60 // seconds between two positions
)

type history struct {
	rng    *rand.Rand
	stores [2]*env // the engine, the model
	name   string
	now    int64 // seconds after the begin

	groups [historyGroups]*[2]*writer
	last   [historySeries]point
}

func (h *history) run() {
	e := h.stores[0]
	for range historySteps {
		e.Helper()
		switch h.rng.IntN(20) {
		case 0:
			h.closeGroup(h.rng.IntN(historyGroups))
		case 1:
			h.reopen()
		case 2:
			h.compare()
		case 3, 4:
			h.writeLate()
		default:
			h.write()
		}
	}
	h.compare()
	h.reopen()
	h.compare()
}

func (h *history) closeGroup(i int) {
	if pair := h.groups[i]; pair != nil {
		for _, w := range pair {
			if err := w.g.Close(); err != nil {
				w.Fatal(err)
			}
		}
	}
	h.groups[i] = nil
}

func (h *history) reopen() {
	e := h.stores[0]
	for i := range h.groups {
		h.closeGroup(i)
	}
	if e.h.Reopen != nil {
		e.store = e.h.Reopen(e.T, e.store)
	}
	h.compare()
}

// write appends one batch of a random group. Times move on with every batch, so
// that no sample is late.
func (h *history) write() {
	i := h.rng.IntN(historyGroups)
	if h.groups[i] == nil {
		kind := storage.Closed
		if i%2 == 1 {
			kind = storage.Open
		}
		h.groups[i] = &[2]*writer{}
		for k, e := range h.stores {
			h.groups[i][k] = e.open(kind, fmt.Sprint("group", i))
		}
	}
	h.now += 1 + int64(h.rng.IntN(historyStepMax))
	if h.rng.IntN(8) == 0 {
		h.now += 300
	}
	values := h.values(i)
	bodyStale := i%2 == 0 && h.rng.IntN(10) == 0
	repeat := h.rng.IntN(6) == 0
	var results [2]storage.Result
	for k, w := range h.groups[i] {
		b := w.points(w.at(h.now), values...)
		b.BodyStale = bodyStale
		results[k] = w.append(b)
		if repeat {
			if res := w.append(w.points(w.at(h.now), values...)); res.Appended != 0 || len(res.Rejected) > 0 {
				w.Fatalf("%s: a repeat has the result %+v", h.name, res)
			}
		}
	}
	if got, want := results[0], results[1]; got.Appended != want.Appended || len(got.Rejected) != len(want.Rejected) {
		h.stores[0].Fatalf("%s: batch of group %d at %d s: the result is %+v, want %+v", h.name, i, h.now, got, want)
	}
}

// writeLate appends a batch of an open group that is late by up to half an hour,
// of series that no closed group brings. What has become a block may be judged
// with less knowledge: reads tell whether the first value stands.
func (h *history) writeLate() {
	i := 2*h.rng.IntN(historyGroups/2) + 1
	if h.groups[i] == nil || h.stores[0].h.LateWindow == 0 {
		h.write()
		return
	}
	at := max(0, h.now-int64(h.rng.IntN(1800)))
	values := slices.DeleteFunc(h.values(i), func(p point) bool { return p.name == "s7" || p.name == "s8" })
	for _, w := range h.groups[i] {
		w.append(w.points(w.at(at), values...))
	}
}

// values draws what a batch of group i mentions.
func (h *history) values(i int) []point {
	var out []point
	for k := range historySeries {
		// Series k is that of group k (modulo); the last ones are written by the
		// open groups too. What is written by several continues for none of them:
		// their closed group always mentions it, as a scrape does.
		common := k >= 7
		if k%historyGroups != i && (!common || i%2 == 0) {
			continue
		}
		if h.rng.IntN(4) == 0 && !(common && i%2 == 0) {
			continue
		}
		p := &h.last[k]
		p.name = fmt.Sprint("s", k)
		switch h.rng.IntN(12) {
		case 0:
			c := curious()
			p.v, p.h = c[h.rng.IntN(len(c))], storage.Histogram{}
		case 1:
			if stale := (point{value: value{p.name, column.StaleNaN()}}); h.rng.IntN(2) == 0 || h.floats() {
				out = append(out, stale)
			} else {
				out = append(out, point{value: stale.value, h: storage.Histogram{Float: &histogram.FloatHistogram{Sum: column.StaleNaN()}}})
			}
			continue
		case 2, 3, 4:
		case 5:
			if !h.floats() {
				all := histograms()
				p.h = all[h.rng.IntN(len(all)-1)] // the last one is big
			}
		case 6:
			if !h.floats() {
				p.start = h.stores[0].at(h.now) * int64(h.rng.IntN(2))
			}
		default:
			if p.v += float64(h.rng.IntN(100)); !p.h.IsZero() && h.rng.IntN(4) > 0 {
				p.h = IntHistogram(int64(h.rng.IntN(1000)))
			} else {
				p.h = storage.Histogram{}
			}
		}
		out = append(out, *p)
	}
	return out
}

// floats tells whether the engine takes nothing else.
func (h *history) floats() bool { return h.stores[0].h.NoHistograms }

// compare reads both stores, whole and by a random selection.
func (h *history) compare() {
	e := h.stores[0]
	e.Helper()
	e.disturb()
	sel := everything()
	if h.rng.IntN(2) == 0 {
		sel.MinTime = e.at(int64(h.rng.IntN(int(h.now) + 1)))
		sel.MaxTime = sel.MinTime + int64(h.rng.IntN(3_600_000))
	}
	if h.rng.IntN(3) == 0 {
		sel.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, "s[0-4]")}
	}
	var found [2][]Series
	for k, e := range h.stores {
		v, err := e.store.View(e.ctx, tenant.Default)
		if err != nil {
			e.Fatalf("%s: %s", h.name, err)
		}
		if found[k], err = Read(e.ctx, v, sel); err != nil {
			e.Fatalf("%s: %s", h.name, err)
		}
		v.Close()
	}
	if d := Diff(found[1], found[0]); d != "" {
		e.Fatalf("%s, after %d s: %s", h.name, h.now, d)
	}
}
