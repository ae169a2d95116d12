package tsdb_test

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
)

// draw makes scripts by chance. It knows nothing of what becomes of them.
type draw struct {
	rng    *rand.Rand
	now    int64            // ms after base
	last   map[string]int64 // the last time of the closed groups
	values map[string]float64
	mixed  bool             // there are histograms and start timestamps, too
	shapes map[string]shape // of the series now
	starts map[string]int64 // of the series now, ms after base
	churn  int              // generation of the series that come and go
	broken int              // operations until a fault is healed; 0: there is none
	names  []string         // of the groups
}

func newDraw(rng *rand.Rand) *draw {
	return &draw{rng: rng, last: map[string]int64{}, values: map[string]float64{}, shapes: map[string]shape{}, starts: map[string]int64{}, names: []string{"A", "B", "P", "Q", "C", "R", "T"}}
}

// modelRanges are block ranges in ms.
func modelRanges() []int64 { return []int64{10_000, 60_000, 420_000, 7_200_000} }

// drawScript draws a script of n operations.
func drawScript(seed uint64, n int) script {
	d := newDraw(rand.New(rand.NewPCG(seed, 11)))
	ranges := modelRanges()
	s := script{Settings: settings{BlockRangeMs: ranges[d.rng.IntN(len(ranges))]}}
	if d.chance(4) {
		s.Settings.RetentionMs = s.Settings.BlockRangeMs * int64(1+d.rng.IntN(6))
	}
	if d.chance(2) {
		s.Settings.SegmentBytes = []int64{1 << 10, 4 << 10, 16 << 10}[d.rng.IntN(3)]
	}
	d.mixed = d.chance(2)
	for len(s.Ops) < n {
		s.Ops = append(s.Ops, d.next()...)
	}
	return s
}

// chance is true once in n times.
func (d *draw) chance(n int) bool { return d.rng.IntN(n) == 0 }

// next draws the next operations.
func (d *draw) next() []op {
	if d.broken > 0 {
		if d.broken--; d.broken == 0 {
			d.now += 3_000
			return []op{{Do: doHeal}}
		}
	}
	name := d.names[d.rng.IntN(len(d.names))]
	switch d.rng.IntN(50) {
	case 0:
		return []op{{Do: doClose, Group: name}}
	case 1:
		return []op{{Do: doOpen, Group: name}}
	case 2:
		return []op{{Do: doRestart, Cancel: d.cancel(), Count: d.rng.IntN(5) / 3}}
	case 3:
		// The seed of the operation at which the disk stops counts: the same one
		// for all that may be it.
		return []op{{Do: doCrash, At: 1 + d.rng.IntN(60), Seed: d.rng.Uint64()}}
	case 4, 5, 6:
		return []op{{Do: doCut, Cancel: d.cancel()}}
	case 48, 49:
		return []op{{Do: doSeal, Cancel: d.cancel()}}
	case 7, 8, 9:
		return []op{{Do: doCompact, Cancel: d.cancel()}}
	case 10:
		return []op{{Do: doHold}}
	case 11:
		return []op{{Do: doRelease}}
	case 12, 13:
		return []op{d.read()}
	case 20:
		return []op{d.delete()}
	case 14:
		if d.broken > 0 || d.chance(2) {
			return nil
		}
		d.broken = 1 + d.rng.IntN(12)
		o := op{Do: doFault, Fault: []string{"full", "sync", "write", "link"}[d.rng.IntN(4)]}
		if d.chance(2) {
			o.At, o.Count = d.rng.IntN(20), 1+d.rng.IntN(4)
		}
		return []op{o}
	case 15, 16, 17:
		return d.wait()
	case 18, 19:
		if modelGroups()[name].kind == storage.Closed {
			return d.scrapes(name)
		}
		return d.late(name)
	}
	return []op{d.append(name)}
}

// cancel is the operation of the disk at which a context ends: mostly none.
func (d *draw) cancel() int {
	switch d.rng.IntN(8) {
	case 0:
		return -1
	case 1, 2:
		return 1 + d.rng.IntN(30)
	}
	return 0
}

func (d *draw) wait() []op {
	ms := []int64{0, 1_000, 2_000, 5_000, 30_000, 200_000}[d.rng.IntN(6)]
	d.now += ms
	return []op{{Do: doWait, Ms: ms}}
}

func (d *draw) read() op {
	o := op{Do: doRead, From: math.MinInt64 / 2, To: math.MaxInt64 / 2}
	if d.chance(2) {
		o.From = d.rng.Int64N(d.now + 1)
		o.To = o.From + d.rng.Int64N(d.now+1)
	}
	if d.chance(3) {
		o.Match = []string{"s[0-4]", "s5|s6", ".*1", "nothing", "c.*"}[d.rng.IntN(5)]
	}
	return o
}

// delete deletes what a read might ask for.
func (d *draw) delete() op {
	o := d.read()
	o.Do, o.Cancel = doDelete, d.cancel()
	if o.Match == "" {
		o.Match = []string{"s[0-9]", "s7|s9", ".*"}[d.rng.IntN(3)]
	}
	return o
}

// scrapes fill tiles, and so the next spans.
func (d *draw) scrapes(name string) []op {
	from := max(d.now, d.last[name]+1)
	o := op{Do: doScrapes, Group: name, From: from, Count: 20 + d.rng.IntN(250), Interval: []int64{15, 100, 1_000}[d.rng.IntN(3)], Seed: uint64(d.rng.IntN(1 << 20)), Mixed: d.mixed}
	took := o.Interval * int64(o.Count)
	d.last[name] = from + took
	d.now = max(d.now, from+took)
	return []op{o}
}

// late are samples of an open group that come hours too late, some of them too
// late to be taken.
func (d *draw) late(name string) []op {
	ago := d.rng.Int64N([]int64{30_000, 600_000, 8_000_000}[d.rng.IntN(3)])
	return []op{{Do: doScrapes, Group: name, Synced: d.chance(2), From: d.now - ago, Count: 1 + d.rng.IntN(60),
		Interval: []int64{15, 1_000, 5_000}[d.rng.IntN(3)], Seed: uint64(d.rng.IntN(1 << 20)), Mixed: d.mixed}}
}

// append is what a sender does next.
func (d *draw) append(name string) op {
	g := modelGroups()[name]
	o := op{Do: doAppend, Group: name, Synced: d.chance(2), Together: d.chance(2)}
	if d.chance(12) {
		o.Cancel = d.cancel()
	}
	if d.chance(3) {
		d.now += 5_000 * int64(d.rng.IntN(4))
	}
	switch {
	case g.kind == storage.Closed:
		o.Rows = d.scrape(name, g)
	case d.chance(3):
		o.Rows = d.backlog(g)
	default:
		o.Rows = d.pieces(g)
	}
	return o
}

// scrape is one position of a closed group, in one batch or in two; at times it
// has failed.
func (d *draw) scrape(name string, g modelGroup) []row {
	if d.now <= d.last[name] {
		d.now = d.last[name] + 5_000
	}
	d.last[name] = d.now
	r := row{At: d.now, BodyStale: d.chance(12)}
	for k := range g.series {
		// The last two series are those of other senders.
		if k >= g.series-2 && !d.chance(3) || d.chance(3) {
			continue
		}
		d.value(&r, fmt.Sprintf("s%d", g.first+k))
	}
	if d.chance(6) {
		d.churn++
		d.value(&r, fmt.Sprintf("c%d", d.churn))
	}
	rows := []row{r}
	if d.chance(4) {
		more := row{At: d.now}
		d.value(&more, fmt.Sprintf("s%d", g.first+d.rng.IntN(g.series)))
		rows = append(rows, more)
	}
	return rows
}

// pieces is a scrape of an open group in up to three requests, perhaps a bit
// late, perhaps off the beat.
func (d *draw) pieces(g modelGroup) []row {
	var rows []row
	at := d.now - 5_000*int64(d.rng.IntN(3))
	if d.chance(6) {
		at += 1_700
	}
	if d.chance(40) {
		at -= 60_000 * d.rng.Int64N(20)
	}
	for range 1 + d.rng.IntN(3) {
		r := row{At: at}
		for k := range g.series {
			if d.chance(3) {
				d.value(&r, fmt.Sprintf("s%d", g.first+k))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// backlog is twenty samples of one series after the other.
func (d *draw) backlog(g modelGroup) []row {
	var rows []row
	for range 1 + d.rng.IntN(2) {
		name := fmt.Sprintf("s%d", g.first+d.rng.IntN(g.series+2))
		for i := range int64(20) {
			r := row{At: d.now - 95_000 + 5_000*i}
			d.value(&r, name)
			rows = append(rows, r)
		}
	}
	return rows
}

func (d *draw) value(r *row, name string) {
	v := d.values[name]
	switch d.rng.IntN(12) {
	case 0:
		v = math.Float64frombits(d.rng.Uint64())
	case 1:
		v = column.StaleNaN()
	case 2, 3, 4, 5:
	default:
		v += float64(d.rng.IntN(50)) / 8
	}
	if !column.IsStale(v) {
		d.values[name] = v
	}
	if !d.mixed {
		r.add(name, v)
		return
	}
	switch d.rng.IntN(16) {
	case 0:
		d.shapes[name] = modelShapes()[d.rng.IntN(4)]
	case 1:
		d.shapes[name] = ""
	case 2:
		d.starts[name] = d.now - d.rng.Int64N(100_000)
	case 3:
		d.starts[name] = 0
	}
	x := value{v: v, shape: d.shapes[name], start: d.starts[name]}
	if column.IsStale(v) {
		x.shape = ""
	} else if x.shape != "" {
		x.v = float64(d.rng.IntN(200))
	}
	r.addValue(name, x)
}
