package head_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/head"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/vfs/mem"
)

// origin is 2023-11-14 22:00 UTC, the begin of a span.
const origin = 1_699_999_200_000

// storm is a random history of what senders do to one placement key: whole
// scrapes and pieces of them, two senders of one series, twenty samples series
// after series, repeats, conflicts and late samples, takeovers, stale markers
// anywhere, several batches in one commit, restarts, and views that are held
// while all of this goes on. The same is done to a storagetest.Memory.
type storm struct {
	*testing.T
	name   string
	rng    *rand.Rand
	engine *store
	model  *storagetest.Memory
	now    int64 // s after origin
	// groups has the handles of the engine and of the model, nil while closed.
	groups map[string]*[2]storage.Group
	closed map[string]int64 // the last time of the closed groups
	values map[string]float64
	held   []heldView
	// With cuts, spans are a minute long, and blocks has what was cut.
	cuts   bool
	blocks []storagetest.Series
	trace  []string // what was done, for failures
}

// fail ends the test with what led to it.
func (s *storm) fail(format string, args ...any) {
	s.Helper()
	s.Fatalf("%s, after %d s: %s\nlast steps:\n\t%s", s.name, s.now, fmt.Sprintf(format, args...),
		strings.Join(s.trace[max(0, len(s.trace)-25):], "\n\t"))
}

func (s *storm) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

type heldView struct {
	view storage.View
	have []storagetest.Series
}

func stormGroups() []storage.GroupSpec {
	return []storage.GroupSpec{
		storagetest.Spec(storage.Closed, "A"), storagetest.Spec(storage.Closed, "B"),
		storagetest.Spec(storage.Open, "P"), storagetest.Spec(storage.Open, "Q"),
	}
}

func (s *storm) options() head.Options {
	if s.cuts {
		return head.Options{BlockRange: time.Minute, SealEvery: 3}
	}
	return head.Options{SealEvery: 7}
}

func newStorm(t *testing.T, seed uint64, cuts bool) *storm {
	s := &storm{
		cuts: cuts,
		T:    t, name: fmt.Sprintf("storm %d", seed), rng: rand.New(rand.NewPCG(seed, 3)), model: storagetest.NewMemory(storagetest.MemoryOptions{LateWindow: 2 * time.Hour}),
		groups: map[string]*[2]storage.Group{}, closed: map[string]int64{}, values: map[string]float64{},
	}
	var err error
	if s.engine, _, err = openWith(mem.New(), nil, s.options(), -1<<62); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *storm) stores() [2]storage.Store { return [2]storage.Store{s.engine, s.model} }

// group returns the handles of a group, opened when they are not.
func (s *storm) group(spec storage.GroupSpec) *[2]storage.Group {
	if pair := s.groups[spec.Name]; pair != nil {
		return pair
	}
	pair := &[2]storage.Group{}
	for i, st := range s.stores() {
		var err error
		if pair[i], err = st.OpenGroup(s.Context(), tenant.Default, spec); err != nil {
			s.Fatal(err)
		}
	}
	s.groups[spec.Name] = pair
	return pair
}

func (s *storm) closeGroup(name string) {
	if pair := s.groups[name]; pair != nil {
		s.note("close %s", name)
		for _, g := range pair {
			if err := g.Close(); err != nil {
				s.Fatal(err)
			}
		}
	}
	delete(s.groups, name)
}

// row is one batch by names.
type row struct {
	at        int64
	names     []string
	values    []float64
	bodyStale bool
}

func (s *storm) step() {
	specs := stormGroups()
	spec := specs[s.rng.IntN(len(specs))]
	switch s.rng.IntN(33) {
	case 0:
		s.closeGroup(spec.Name)
		return
	case 1:
		s.restart()
		return
	case 30, 31, 32:
		s.note("flush")
		if err := s.engine.Flush(s.Context(), true); err != nil {
			s.fail("%s", err)
		}
		if err := s.engine.log.DropBefore(s.engine.Head(tenant.Default).NeededSegment(s.engine.log.Segment())); err != nil {
			s.fail("%s", err)
		}
		return
	case 2:
		s.hold()
		return
	case 3:
		s.compare()
		return
	case 4:
		if s.cuts {
			s.cut()
			return
		}
	}
	if s.rng.IntN(4) == 0 {
		s.now += int64(5 * s.rng.IntN(4))
	}
	var rows []row
	switch {
	case spec.Kind == storage.Closed:
		rows = s.scrape(spec)
	case s.rng.IntN(3) == 0:
		rows = s.backlog()
	default:
		rows = s.pieces()
	}
	s.commit(spec, rows)
}

// scrape is one position of a closed group, in one batch or in two.
func (s *storm) scrape(spec storage.GroupSpec) []row {
	if s.now <= s.closed[spec.Name] {
		s.now = s.closed[spec.Name] + 5
	}
	s.closed[spec.Name] = s.now
	r := row{at: s.now, bodyStale: s.rng.IntN(12) == 0}
	for k := range 6 {
		// The last two series are those of other senders.
		if k > 3 && s.rng.IntN(3) > 0 || s.rng.IntN(3) == 0 {
			continue
		}
		r.add(s, fmt.Sprintf("s%d", k+len(spec.Name)))
	}
	rows := []row{r}
	if s.rng.IntN(4) == 0 {
		more := row{at: s.now}
		more.add(s, fmt.Sprintf("s%d", s.rng.IntN(8)))
		rows = append(rows, more)
	}
	return rows
}

// pieces is a scrape of an open group in up to three requests, perhaps a bit
// late, perhaps off the beat.
func (s *storm) pieces() []row {
	var rows []row
	at := s.now - int64(5*s.rng.IntN(3))
	if s.rng.IntN(6) == 0 {
		at += 2
	}
	for range 1 + s.rng.IntN(3) {
		r := row{at: at}
		for k := range 8 {
			if s.rng.IntN(3) == 0 {
				r.add(s, fmt.Sprintf("s%d", k+2))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// backlog is twenty samples of one series after the other.
func (s *storm) backlog() []row {
	var rows []row
	for range 1 + s.rng.IntN(2) {
		name := fmt.Sprintf("s%d", 2+s.rng.IntN(10))
		for i := range int64(20) {
			r := row{at: s.now - 95 + 5*i}
			r.add(s, name)
			rows = append(rows, r)
		}
	}
	return rows
}

func (r *row) add(s *storm, name string) {
	v := s.values[name]
	switch s.rng.IntN(12) {
	case 0:
		v = math.Float64frombits(s.rng.Uint64())
	case 1:
		v = column.StaleNaN()
	case 2, 3, 4, 5:
	default:
		v += float64(s.rng.IntN(50)) / 8
	}
	if !column.IsStale(v) {
		s.values[name] = v
	}
	r.names, r.values = append(r.names, name), append(r.values, v)
}

// commit writes rows to both stores, in one commit or one by one, and compares
// what became of them.
func (s *storm) commit(spec storage.GroupSpec, rows []row) {
	pair := s.group(spec)
	if s.rng.IntN(10) == 0 { // somebody else takes over, or opens it too
		s.note("%s is opened again", spec.Name)
		delete(s.groups, spec.Name)
		pair = s.group(spec)
	}
	together := s.rng.IntN(2) == 0
	durability := storage.Durability(1 + s.rng.IntN(2))
	var results [2][]storage.Result
	for i, st := range s.stores() {
		var prepared []storage.Prepared
		for _, r := range rows {
			if i == 1 && spec.Kind == storage.Closed && s.tooOld(r) {
				continue
			}
			p, err := pair[i].Prepare(s.Context(), s.batch(pair[i], r))
			if err != nil {
				s.fail("%s", err)
			}
			prepared = append(prepared, p)
			if !together {
				if err := st.Commit(s.Context(), durability, p); err != nil {
					s.fail("%s", err)
				}
			}
		}
		if together {
			if err := st.Commit(s.Context(), durability, prepared...); err != nil {
				s.fail("%s", err)
			}
		}
		next := 0
		for _, r := range rows {
			if i == 1 && spec.Kind == storage.Closed && s.tooOld(r) {
				results[i] = append(results[i], refusal(r))
				continue
			}
			results[i] = append(results[i], prepared[next].Result())
			next++
		}
	}
	for k, r := range rows {
		s.note("%s at %d: %v %v, stale %v, together %v: %+v", spec.Name, r.at, r.names, r.values, r.bodyStale, together, results[1][k])
	}
	for k := range rows {
		if spec.Kind == storage.Open && s.tooOld(rows[k]) {
			continue // late: it is judged without the tiles that were dropped, and reads tell
		}
		got, want := results[0][k], results[1][k]
		if got.Appended != want.Appended || !slices.EqualFunc(got.Rejected, want.Rejected, sameRejection) {
			s.fail("group %s, batch %+v: the result is %+v, want %+v", spec.Name, rows[k], got, want)
		}
	}
}

// tooOld tells whether a batch would belong to a span that was cut: closed
// groups may not bring it, and then the model does not get it.
func (s *storm) tooOld(r row) bool {
	return origin+1000*r.at < s.engine.Head(tenant.Default).Horizon()
}

func refusal(r row) (res storage.Result) {
	for i := range r.names {
		res.Rejected = append(res.Rejected, storage.Rejection{Index: i, Reason: storage.ReasonTooOld})
	}
	return res
}

// checkWalks holds walks over random series and times against single readings.
func (s *storm) checkWalks(snap *head.Snapshot) {
	refs, err := snap.Select(s.Context())
	if err != nil {
		s.fail("%s", err)
	}
	for range 3 {
		s.rng.Shuffle(len(refs), func(i, k int) { refs[i], refs[k] = refs[k], refs[i] })
		some := refs[:s.rng.IntN(len(refs)+1)]
		from := origin + 1000*s.rng.Int64N(s.now+1)
		if err := parttest.CheckWalk(snap, some, from, from+1000*s.rng.Int64N(s.now+1)); err != nil {
			s.fail("%s", err)
		}
	}
}

// cut makes blocks of the spans that ended a minute ago, and mostly drops them.
func (s *storm) cut() {
	s.release()
	h := s.engine.Head(tenant.Default)
	for _, span := range h.Spans(origin + 1000*(s.now-60)) {
		if span < h.Horizon() {
			continue // cut, and not dropped yet
		}
		s.note("cut the span from %d", (span-origin)/1000)
		snap := h.Cut(span)
		found, err := parttest.Read(s.Context(), snap)
		if err != nil {
			s.fail("%s", err)
		}
		s.checkWalks(snap)
		for _, x := range found {
			y := storagetest.Series{Labels: x.Labels}
			for _, sample := range x.Samples {
				y.Samples = append(y.Samples, storagetest.Sample{T: sample.T, V: sample.V})
			}
			s.blocks = append(s.blocks, y)
		}
		snap.Release()
	}
	if s.rng.IntN(3) > 0 {
		s.note("drop")
		h.Drop(h.Horizon())
		if err := s.engine.log.DropBefore(h.NeededSegment(s.engine.log.Segment())); err != nil {
			s.fail("%s", err)
		}
	}
	s.compare()
}

// release checks and closes the views that are held.
func (s *storm) release() {
	s.checkHeld()
	for _, h := range s.held {
		h.view.Close()
	}
	s.held = nil
}

// withBlocks is what was cut and what a reading of the head has found.
func withBlocks(blocks, found []storagetest.Series) []storagetest.Series {
	byLabels := map[string]int{}
	var out []storagetest.Series
	for _, x := range append(slices.Clone(blocks), found...) {
		i, ok := byLabels[x.Labels.String()]
		if !ok {
			i = len(out)
			byLabels[x.Labels.String()] = i
			out = append(out, storagetest.Series{Labels: x.Labels})
		}
		out[i].Samples = append(slices.Clone(out[i].Samples), x.Samples...)
	}
	slices.SortFunc(out, func(a, b storagetest.Series) int { return labels.Compare(a.Labels, b.Labels) })
	for i := range out {
		x := &out[i]
		slices.SortStableFunc(x.Samples, func(a, b storagetest.Sample) int { return cmp.Compare(a.T, b.T) })
		x.Samples = slices.CompactFunc(x.Samples, func(a, b storagetest.Sample) bool { return a.T == b.T }) // of late ones the block's
	}
	return out
}

func sameRejection(a, b storage.Rejection) bool { return a.Index == b.Index && a.Reason == b.Reason }

func (s *storm) batch(g storage.Group, r row) *storage.Batch {
	lsets := make([]labels.Labels, len(r.names))
	for i, name := range r.names {
		lsets[i] = storagetest.Named(name)
	}
	out := make([]storage.Resolution, len(lsets))
	version, err := g.Resolve(s.Context(), lsets, out)
	if err != nil {
		s.fail("%s", err)
	}
	b := &storage.Batch{Time: origin + 1000*r.at, Version: version, Values: r.values, BodyStale: r.bodyStale}
	for _, x := range out {
		b.Slots = append(b.Slots, x.Slot)
	}
	return b
}

// restart ends both stores' writers, and the engine.
func (s *storm) restart() {
	s.note("restart")
	s.release()
	horizon := s.engine.Head(tenant.Default).Horizon()
	for _, spec := range stormGroups() {
		s.closeGroup(spec.Name)
	}
	if err := s.engine.log.Close(); err != nil {
		s.Fatal(err)
	}
	var err error
	var replayed head.Replayed
	if s.engine, replayed, err = openWith(s.engine.fs, nil, s.options(), horizon); err != nil {
		s.fail("%s", err)
	}
	if len(replayed.Losses)+len(replayed.Damage)+len(replayed.Faults) > 0 {
		s.fail("replay lost %v, damage %v, %v", replayed.Losses, replayed.Damage, replayed.Faults)
	}
	s.compare()
	if lost, err := s.engine.CatchUp(s.Context()); err != nil || len(lost) > 0 {
		s.fail("catching up lost %v: %v", lost, err)
	}
}

// hold takes a view that is looked at again later.
func (s *storm) hold() {
	if len(s.held) > 4 {
		s.checkHeld()
		s.held[0].view.Close()
		s.held = s.held[1:]
	}
	v, err := s.engine.View(s.Context(), tenant.Default)
	if err != nil {
		s.Fatal(err)
	}
	s.held = append(s.held, heldView{v, s.all(s.model)})
}

func (s *storm) checkHeld() {
	for i, h := range s.held {
		got, err := storagetest.Read(s.Context(), h.view, everything)
		if err != nil {
			s.fail("%s", err)
		}
		if d := storagetest.Diff(h.have, withBlocks(s.blocks, got)); d != "" {
			s.fail("held view %d has changed: %s", i, d)
		}
	}
}

var everything = storage.Selection{MinTime: math.MinInt64 / 2, MaxTime: math.MaxInt64 / 2}

func (s *storm) all(st storage.Store) []storagetest.Series {
	got, err := storagetest.ReadAll(s.Context(), st, tenant.Default)
	if err != nil {
		s.fail("%s", err)
	}
	return got
}

func (s *storm) compare() {
	h := s.engine.Head(tenant.Default)
	snap := h.Snapshot(h.Horizon())
	s.checkWalks(snap)
	snap.Release()
	s.checkHeld()
	if d := storagetest.Diff(s.all(s.model), withBlocks(s.blocks, s.all(s.engine))); d != "" {
		s.fail("%s", d)
	}
}

func TestStorms(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 20
	}
	seeds := []uint64{23, 535} // a value that fills a position of a tile which is sealed before a view closes
	for seed := range n {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		s := newStorm(t, seed, seed%2 == 1)
		for range 150 {
			s.step()
		}
		s.compare()
		s.restart()
	}
}

// TestLongStorm fills tiles and spans.
func TestLongStorm(t *testing.T) {
	s := newStorm(t, 77, false)
	for range 1200 {
		s.now += 5
		s.step()
	}
	s.compare()
	s.restart()
}
