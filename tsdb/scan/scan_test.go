package scan_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	format "github.com/nilometer/nilometer/format/column"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
	"github.com/nilometer/nilometer/tsdb/scan"
)

func all() storage.Selection {
	return storage.Selection{MinTime: math.MinInt64, MaxTime: math.MaxInt64}
}

func selectAll(t *testing.T, parts ...part.Part) *scan.Scan {
	t.Helper()
	s, err := scan.Select(context.Background(), parts, all())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func read(t *testing.T, s storage.Scan) []storagetest.Series {
	t.Helper()
	got, err := storagetest.ReadScan(context.Background(), s, all())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func lset(name string) labels.Labels {
	return labels.FromStrings("__name__", name, "instance", "i", "job", "j")
}

// every returns n samples with the values from, from+1 …
func every(start, intervalMs int64, n int, from float64) []column.Sample {
	out := make([]column.Sample, n)
	for i := range out {
		out[i] = column.Sample{T: start + int64(i)*intervalMs, V: from + float64(i)}
	}
	return out
}

// shape is how a batch is cut: the lengths of its tiles, and its series.
func shape(t *testing.T, s storage.Scan) []string {
	t.Helper()
	var out []string
	var b storage.ColumnBatch
	for {
		ok, err := s.Next(context.Background(), &b)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			slices.Sort(out)
			return out
		}
		var names []string
		for _, rank := range b.Ranks {
			names = append(names, s.LabelValue(rank, "__name__"))
		}
		var tiles []string
		for _, tile := range b.Tiles {
			tiles = append(tiles, fmt.Sprint(tile.Len()))
		}
		kind := "chunks as they were"
		if slices.ContainsFunc(b.Chunks, func(c storage.Chunk) bool { return c.Kind == storage.Decoded }) {
			kind = "decoded"
		}
		out = append(out, fmt.Sprintf("%s on %s, %s", strings.Join(names, " "), strings.Join(tiles, "+"), kind))
	}
}

// encoded returns the samples as pieces of encoded chunks.
func addEncoded(p *parttest.Part, name string, id part.ColumnID, from, to uint32, values ...float64) {
	var enc format.Encoder
	p.AddSeries(lset(name), part.Piece{Column: id, From: from, To: to, Chunk: storage.Chunk{Kind: storage.Encoded, Data: enc.Append(nil, values)}})
}

func constants(n int, v float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func TestBatches(t *testing.T) {
	cases := []struct {
		name  string
		parts func() []part.Part
		want  []string
	}{
		{
			"a group over three blocks is one batch",
			func() []part.Part {
				var out []part.Part
				for i := range 3 {
					p := parttest.New(fmt.Sprint("block ", i))
					c := p.Regular(int64(i)*10_000, 1000, 10)
					for _, name := range []string{"a", "b", "c"} {
						addEncoded(p, name, c, 0, 10, constants(10, float64(i))...)
					}
					out = append(out, p)
				}
				return out
			},
			[]string{"a b c on 10+10+10, chunks as they were"},
		},
		{
			"a part where a series is absent matches any",
			func() []part.Part {
				p, q := parttest.New("p"), parttest.New("q")
				c, d := p.Regular(0, 1000, 10), q.Regular(20_000, 1000, 5)
				addEncoded(p, "gone", c, 0, 10, constants(10, 1)...)
				addEncoded(p, "stays", c, 0, 10, constants(10, 1)...)
				addEncoded(q, "new", d, 0, 5, constants(5, 1)...)
				addEncoded(q, "stays", d, 0, 5, constants(5, 1)...)
				return []part.Part{p, q}
			},
			// "gone" and "new" have no column in common, until "stays" says that
			// one follows the other.
			[]string{"gone on 10, chunks as they were", "new stays on 10+5, chunks as they were"},
		},
		{
			"a series that begins inside a tile is widened, also when it comes first",
			func() []part.Part {
				p := parttest.New("p")
				c := p.Regular(0, 1000, 10)
				addEncoded(p, "a", c, 4, 7, 1, 2, 3)
				addEncoded(p, "b", c, 0, 10, constants(10, 1)...)
				addEncoded(p, "c", c, 8, 10, 1, 2)
				return []part.Part{p}
			},
			[]string{"a b c on 10, chunks as they were"},
		},
		{
			"series that are cut differently do not share a batch",
			func() []part.Part {
				p := parttest.New("p")
				c := p.Regular(0, 1000, 10)
				for _, name := range []string{"a", "c"} {
					addEncoded(p, name, c, 0, 10, constants(10, 1)...)
				}
				for _, name := range []string{"b", "d"} {
					addEncoded(p, name, c, 0, 5, constants(5, 1)...)
					addEncoded(p, name, c, 5, 10, constants(5, 1)...)
				}
				return []part.Part{p}
			},
			[]string{"a c on 10, chunks as they were", "b d on 5+5, chunks as they were"},
		},
		{
			"equal columns of two parts are one",
			func() []part.Part {
				p, q := parttest.New("p"), parttest.New("q")
				addEncoded(p, "a", p.Regular(0, 1000, 10), 0, 10, constants(10, 1)...)
				q.Regular(7, 1000, 3)
				addEncoded(q, "b", q.Regular(0, 1000, 10), 0, 10, constants(10, 1)...)
				return []part.Part{p, q}
			},
			[]string{"a b on 10, chunks as they were"},
		},
		{
			"overlapping pieces make a private column",
			func() []part.Part {
				p, q := parttest.New("p"), parttest.New("q")
				c := p.Regular(0, 1000, 10)
				addEncoded(p, "a", c, 0, 10, constants(10, 1)...)
				addEncoded(p, "b", c, 0, 10, constants(10, 1)...)
				addEncoded(q, "b", q.Regular(500, 1000, 3), 0, 3, 4, 5, 6)
				return []part.Part{p, q}
			},
			[]string{"a on 10, chunks as they were", "b on 13, decoded"},
		},
		{
			"parts in another order than their times are put in order",
			func() []part.Part {
				p, q := parttest.New("p"), parttest.New("q")
				addEncoded(p, "a", p.Regular(50_000, 1000, 4), 0, 4, 1, 2, 3, 4)
				addEncoded(q, "a", q.Regular(0, 1000, 3), 0, 3, 5, 6, 7)
				return []part.Part{p, q}
			},
			[]string{"a on 3+4, chunks as they were"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			parts := c.parts()
			if got := shape(t, selectAll(t, parts...)); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if d := storagetest.Diff(model(t, parts, all()), read(t, selectAll(t, parts...))); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestBatchesAreBounded: not too large for one of several workers, and where there
// are few series, not all in one.
func TestBatchesAreBounded(t *testing.T) {
	for series, want := range map[int][]int{
		310: {77, 77, 77, 77, 2}, 40: {16, 16, 8}, 700: {128, 128, 128, 128, 128, 60},
	} {
		p := parttest.New("p")
		c := p.Regular(0, 1000, 3)
		for i := range series {
			p.Samples(lset(fmt.Sprintf("m%04d", i)), c, every(0, 1000, 3, float64(i))...)
		}
		s := selectAll(t, p)
		var sizes []int
		var b storage.ColumnBatch
		for {
			ok, err := s.Next(context.Background(), &b)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			sizes = append(sizes, len(b.Ranks))
		}
		if !slices.Equal(sizes, want) {
			t.Errorf("%d series came in batches of %v, want %v", series, sizes, want)
		}
	}
}

func TestFirstAcceptedWins(t *testing.T) {
	p, q := parttest.New("p"), parttest.New("q")
	p.Samples(lset("a"), p.AddColumn(10, 20, 30), column.Sample{T: 10, V: 1}, column.Sample{T: 30, V: column.StaleNaN()})
	q.Samples(lset("a"), q.AddColumn(10, 20, 30, 40), every(10, 10, 4, 100)...)
	want := []storagetest.Series{{Labels: lset("a"), Samples: []storagetest.Sample{
		{T: 10, V: 1}, {T: 20, V: 101}, {T: 30, V: column.StaleNaN()}, {T: 40, V: 103},
	}}}
	if d := storagetest.Diff(want, read(t, selectAll(t, p, q))); d != "" {
		t.Error(d)
	}
}

func TestDamageBecomesAWarning(t *testing.T) {
	p, q := parttest.New("block p"), parttest.New("block q")
	for i, x := range []*parttest.Part{p, q} {
		x.Samples(lset("a"), x.Regular(int64(i)*1000, 10, 3), every(int64(i)*1000, 10, 3, 1)...)
	}
	q.Damage(lset("a"), errors.New("checksum mismatch"))
	s := selectAll(t, p, q)
	sel := all()
	sel.Partial = true
	got, err := storagetest.ReadScan(context.Background(), s, sel)
	if err != nil {
		t.Fatal(err)
	}
	if d := storagetest.Diff(model(t, []part.Part{p}, all()), got); d != "" {
		t.Error(d)
	}
	w := s.Warnings().AsErrors()
	if len(w) != 1 || !strings.Contains(w[0].Error(), "block q: memory: checksum mismatch") {
		t.Errorf("the warnings are %v", w)
	}
}

// shifted is a part whose columns have other ids.
type shifted struct {
	*parttest.Part
	by part.ColumnID
}

func (s shifted) Pieces(ref part.Ref, minTime, maxTime int64, dst []part.Piece) ([]part.Piece, error) {
	from := len(dst)
	dst, err := s.Part.Pieces(ref, minTime, maxTime, dst)
	for i := range dst[from:] {
		dst[from+i].Column = s.by - dst[from+i].Column
	}
	return dst, err
}

func (s shifted) Column(id part.ColumnID) ([]int64, error) { return s.Part.Column(s.by - id) }
func (s shifted) ColumnKey(id part.ColumnID) uint64        { return s.Part.ColumnKey(s.by - id) }

func TestColumnIDsFarFromZero(t *testing.T) {
	p := parttest.New("p")
	for i := range 50 {
		p.Samples(lset(fmt.Sprintf("m%04d", i)), p.Regular(int64(i), 1000, 3), every(int64(i), 1000, 3, float64(i))...)
	}
	for _, by := range []part.ColumnID{49, 100, math.MaxUint32} {
		parts := []part.Part{shifted{p, by}}
		if d := storagetest.Diff(model(t, parts, all()), read(t, selectAll(t, parts...))); d != "" {
			t.Errorf("ids down from %d: %s", by, d)
		}
	}
}

func TestNextByManyGoroutines(t *testing.T) {
	p := parttest.New("p")
	for i := range 300 {
		c := p.Regular(int64(i), 1000, 3)
		p.Samples(lset(fmt.Sprintf("m%04d", i)), c, every(int64(i), 1000, 3, float64(i))...)
	}
	s := selectAll(t, p)
	var mu sync.Mutex
	seen := map[uint32]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var b storage.ColumnBatch
			for {
				ok, err := s.Next(context.Background(), &b)
				if err != nil {
					t.Error(err)
				}
				if !ok || err != nil {
					return
				}
				if err := storagetest.CheckBatch(&b); err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, rank := range b.Ranks {
					seen[rank]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for rank := range uint32(300) {
		if seen[rank] != 1 {
			t.Errorf("rank %d came %d times", rank, seen[rank])
		}
	}
}
