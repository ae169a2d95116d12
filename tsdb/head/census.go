package head

import (
	"context"
	"math"
	"slices"
	"sort"

	"github.com/prometheus/common/model"

	"github.com/nilometer/nilometer/storage"
)

// Census is what a look at every series of a head found: of each kind of thing
// those that are among the largest by anything, in no order.
type Census struct {
	Series, LabelPairs, Chunks            uint64
	MinTime, MaxTime                      int64
	Metrics, Labels, Pairs, Jobs, Targets []storage.Cardinal
	ValuesOf, BytesOf                     []storage.Cardinal // sorted
	Newest                                uint64             // the number of the newest series, for a later census
}

// NewestSeries is the number of the newest series.
func (h *Head) NewestSeries() uint64 {
	h.index.mu.RLock()
	defer h.index.mu.RUnlock()
	return h.index.newest
}

// tally adds up series.
type tally struct {
	series, fresh uint32
	rate          float64
}

func (t *tally) add(o tally) {
	t.series += o.series
	t.fresh += o.fresh
	t.rate += o.rate
}

// census is a Census that is under way. It takes 24 bytes a tuple and 16 bytes a
// label while it lasts.
type census struct {
	x      *index
	since  uint64
	pulses []pulse // by group
	tuples []tally
	pairs  []tally
	// Of a tuple: its labels job and instance, plus one; 0 without.
	jobs, instances []pairID
	targets         map[[2]pairID]*tally
}

// pulse is what a census knows of a group.
type pulse struct {
	rate    float64 // positions per second
	present []uint64
}

// censusStep is the number of series that a census looks at under one lock.
const censusStep = 1 << 16

// Census looks at every series, some at a time; most bounds the things found of
// each kind, by each measure. Series whose number is over since are new. While
// it lasts labels are not renumbered.
func (h *Head) Census(ctx context.Context, since uint64, most int) (Census, error) {
	c := census{x: &h.index, since: since, targets: map[[2]pairID]*tally{}}
	out := Census{MinTime: math.MaxInt64, MaxTime: math.MinInt64}
	c.takePulses(h, &out)
	c.x.removing.Lock()
	defer c.x.removing.Unlock()
	for from := 0; ; from += censusStep {
		if ctx.Err() != nil {
			return Census{}, context.Cause(ctx)
		}
		n := c.countSeries(seriesID(from), &out)
		if n <= from+censusStep {
			break
		}
	}
	c.x.mu.RLock()
	defer c.x.mu.RUnlock()
	c.countPairs()
	c.rank(&out, most)
	out.Newest = c.x.newest
	return out, nil
}

// takePulses looks at the groups: how often they get positions, and which of
// their members are present.
func (c *census) takePulses(h *Head, out *Census) {
	for _, g := range h.allGroups() {
		g.mu.RLock()
		p := pulse{rate: g.rateLocked(), present: make([]uint64, (len(g.members)+63)/64)}
		members := uint64(0)
		for slot := range g.members {
			if m := &g.members[slot]; m.state == own {
				members++
				if m.present {
					p.present[slot/64] |= 1 << (slot % 64)
				}
			}
		}
		tiles := g.tilesLocked()
		out.Chunks += members * uint64(len(tiles))
		for _, t := range tiles {
			if len(t.times) > 0 {
				out.MinTime, out.MaxTime = min(out.MinTime, t.times[0]), max(out.MaxTime, t.times[len(t.times)-1])
			}
		}
		g.mu.RUnlock()
		for int(g.index) >= len(c.pulses) {
			c.pulses = append(c.pulses, pulse{})
		}
		c.pulses[g.index] = p
	}
}

// rateLocked is how many positions a second a group gets.
func (g *group) rateLocked() float64 {
	tiles := g.tilesLocked()
	for _, t := range slices.Backward(tiles) {
		if n := len(t.times); n > 1 && t.times[n-1] > t.times[0] {
			return float64(n-1) * 1000 / float64(t.times[n-1]-t.times[0])
		}
	}
	return 0
}

// countSeries counts a step's series by their tuples and by their targets, and
// returns how many there are places of series.
func (c *census) countSeries(from seriesID, out *Census) int {
	x := c.x
	x.mu.RLock()
	defer x.mu.RUnlock()
	c.growLocked()
	n := x.hashes.Len()
	left, right, numbers, owners := x.left.All(), x.right.All(), x.numbers.All(), x.owners.All()
	var last [2]pairID
	var target *tally
	for id := int(from); id < min(n, int(from)+censusStep); id++ {
		if numbers[id] == 0 {
			continue
		}
		one := tally{series: 1}
		if numbers[id] > c.since {
			one.fresh = 1
		}
		if at := owners[id]; int(at.group) < len(c.pulses) {
			p := &c.pulses[at.group]
			if w := int(at.slot / 64); w < len(p.present) && p.present[w]&(1<<(at.slot%64)) != 0 {
				one.rate = p.rate
			}
		}
		out.Series++
		l, r := left[id], right[id]
		c.tuples[l].add(one)
		c.tuples[r].add(one)
		key := [2]pairID{max(c.jobs[l], c.jobs[r]), max(c.instances[l], c.instances[r])}
		if key[1] == 0 {
			continue
		}
		if target == nil || key != last {
			if last, target = key, c.targets[key]; target == nil {
				target = &tally{}
				c.targets[key] = target
			}
		}
		target.add(one)
	}
	return n
}

// growLocked makes room for tuples that came meanwhile, and finds their jobs and
// instances.
func (c *census) growLocked() {
	t := &c.x.tuples
	job, hasJob := t.symbols.find(model.JobLabel)
	instance, hasInstance := t.symbols.find(model.InstanceLabel)
	for u := len(c.tuples); u < t.all.Len(); u++ {
		var j, i pairID
		if u > 0 {
			for _, p := range t.of(tupleID(u)) {
				switch name := t.pairs.All()[p].name; {
				case hasJob && name == job:
					j = p + 1
				case hasInstance && name == instance:
					i = p + 1
				}
			}
		}
		c.tuples, c.jobs, c.instances = append(c.tuples, tally{}), append(c.jobs, j), append(c.instances, i)
	}
}

// countPairs adds up the tuples that a label is in.
func (c *census) countPairs() {
	t := &c.x.tuples
	c.pairs = make([]tally, t.pairs.Len())
	for u := 1; u < len(c.tuples); u++ {
		if c.tuples[u].series == 0 {
			continue
		}
		for _, p := range t.of(tupleID(u)) {
			c.pairs[p].add(c.tuples[u])
		}
	}
}

// rank fills the lists of an answer.
func (c *census) rank(out *Census, most int) {
	t := &c.x.tuples
	type label struct {
		tally
		values, bytes uint64
	}
	byName := map[symbolID]*label{}
	var metrics, jobs, pairs things
	job, _ := t.symbols.find(model.JobLabel)
	for p := range c.pairs {
		n := c.pairs[p]
		if n.series == 0 {
			continue
		}
		out.LabelPairs++
		q := &t.pairs.All()[p]
		l := byName[q.name]
		if l == nil {
			l = &label{}
			byName[q.name] = l
		}
		l.add(n)
		l.values++
		l.bytes += uint64(len(t.value(pairID(p))))
		pairs = append(pairs, thing{n, pairID(p)})
		if t.symbols.of(q.name) == metricName {
			metrics = append(metrics, thing{n, pairID(p)})
		} else if q.name == job {
			jobs = append(jobs, thing{n, pairID(p)})
		}
	}
	out.Metrics = metrics.top(most, t.value)
	out.Jobs = jobs.top(most, t.value)
	out.Pairs = pairs.top(most, func(p pairID) string { return t.name(p) + "=" + t.value(p) })
	var targets things
	var keys [][2]pairID
	for key, n := range c.targets {
		targets = append(targets, thing{*n, pairID(len(keys))})
		keys = append(keys, key)
	}
	out.Targets = targets.top(most, func(i pairID) string {
		key, name := keys[i], ""
		if key[0] > 0 {
			name = t.value(key[0] - 1)
		}
		return name + "/" + t.value(key[1]-1)
	})
	for name, l := range byName {
		text := t.symbols.of(name)
		out.Labels = append(out.Labels, storage.Cardinal{Name: text, Series: uint64(l.series), New: uint64(l.fresh), SamplesPerSecond: l.rate})
		out.ValuesOf = append(out.ValuesOf, storage.Cardinal{Name: text, Series: l.values})
		out.BytesOf = append(out.BytesOf, storage.Cardinal{Name: text, Series: l.bytes})
	}
	for _, list := range []*[]storage.Cardinal{&out.ValuesOf, &out.BytesOf} {
		sort.Slice(*list, func(i, j int) bool { return (*list)[i].Series > (*list)[j].Series })
		*list = slices.Clone((*list)[:min(len(*list), most)])
	}
}

// thing is a label, or whatever its number means, and its series.
type thing struct {
	tally
	id pairID
}

type things []thing

// top returns those that are among the most by one of the measures.
func (ts things) top(most int, name func(pairID) string) []storage.Cardinal {
	chosen := map[int]bool{}
	for _, measure := range []func(*thing) float64{
		func(t *thing) float64 { return float64(t.series) },
		func(t *thing) float64 { return float64(t.fresh) },
		func(t *thing) float64 { return t.rate },
	} {
		for _, i := range ts.largest(most, measure) {
			chosen[i] = true
		}
	}
	out := make([]storage.Cardinal, 0, len(chosen))
	for i := range chosen {
		t := &ts[i]
		out = append(out, storage.Cardinal{Name: name(t.id), Series: uint64(t.series), New: uint64(t.fresh), SamplesPerSecond: t.rate})
	}
	return out
}

// largest returns the indexes of the most largest things.
func (ts things) largest(most int, measure func(*thing) float64) []int {
	var at []int // in falling order
	for i := range ts {
		v := measure(&ts[i])
		if len(at) == most && (most == 0 || v <= measure(&ts[at[most-1]])) {
			continue
		}
		k := sort.Search(len(at), func(k int) bool { return measure(&ts[at[k]]) < v })
		if len(at) < most {
			at = append(at, 0)
		}
		copy(at[k+1:], at[k:])
		at[k] = i
	}
	return at
}
