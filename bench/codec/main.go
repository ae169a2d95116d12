// Command codec measures format/column on the recorded scrapes: bytes per
// sample of chunks with time columns and presence, and the time to encode and
// to decode a sample, for all series and for those that change, at 5 s and 15 s.
//
//	go run ./bench/codec [-positions 480] [-domains] [-cpuprofile file]
//
// Tiles that the recording does not fill are left out; at 15 s the three phases
// of the recording are three sets of tiles. Times are the best of several
// rounds, in a hot cache: compare them within one machine only.
package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"runtime/pprof"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/format/column"
	mcolumn "github.com/nilometer/nilometer/model/column"
)

const rounds = 15

func main() {
	domains := flag.Bool("domains", false, "also print bytes by domain, and the series with the largest chunks")
	positions := flag.Int("positions", mcolumn.TilePositions, "positions of a piece, at most those of a tile")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the rounds to this file")
	flag.Parse()
	if err := run(*positions, *domains, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "codec:", err)
		os.Exit(1)
	}
}

func run(positions int, domains bool, profile string) error {
	var recordings []*recording
	for _, name := range corpus.Names() {
		rec, err := load(name)
		if err != nil {
			return err
		}
		recordings = append(recordings, rec)
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(out, "interval\tseries\tsamples\tbytes/sample\tencode ns\tdecode ns\t")
	for _, step := range []int{1, 3} {
		var tiles []tile
		var times [][]int64
		for _, rec := range recordings {
			for offset := range step {
				a, b := rec.cut(step, offset, positions)
				tiles, times = append(tiles, a...), append(times, b...)
			}
		}
		if err := report(out, fmt.Sprintf("%d s", 5*step), tiles, times); err != nil {
			return err
		}
		if err := reportParts(out, fmt.Sprintf("%d s", 5*step), tiles); err != nil {
			return err
		}
		if domains {
			reportDomains(out, tiles)
		}
	}
	return out.Flush()
}

// report prints the lines of one interval.
func report(out *tabwriter.Writer, interval string, tiles []tile, times [][]int64) error {
	timeBytes := 0
	for _, t := range times {
		timeBytes += len(column.AppendTimes(nil, t))
	}
	var changing []tile
	for _, t := range tiles {
		if !t.constant {
			changing = append(changing, t)
		}
	}
	for _, set := range []struct {
		name  string
		tiles []tile
	}{{"all", tiles}, {"changing", changing}} {
		m, err := measure(set.tiles)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%s\t%d\t%.4f\t%.1f\t%.2f\t\n", interval, set.name, m.samples,
			float64(m.bytes+timeBytes)/float64(m.samples), m.encodeNs, m.decodeNs)
	}
	if err := reportStreams(out, interval, tiles); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\ttime columns\t%d\t%.4f\t\t\t\n", interval, len(times), float64(timeBytes)/float64(len(tiles)*480))
	return nil
}

type measurement struct {
	samples, bytes     int
	encodeNs, decodeNs float64 // per sample
}

func measure(tiles []tile) (measurement, error) {
	var enc column.Encoder
	var m measurement
	var data []byte
	ends := make([]int, len(tiles))
	best := func(old *float64, since time.Time) {
		ns := float64(time.Since(since)) / float64(m.samples)
		if *old == 0 || ns < *old {
			*old = ns
		}
	}
	for _, t := range tiles {
		m.samples += len(t.values)
		if len(t.runs) > 0 {
			m.bytes += len(column.AppendRuns(nil, t.runs))
		}
	}
	for range rounds {
		data = data[:0]
		start := time.Now()
		for i := range tiles {
			data = enc.Append(data, tiles[i].values)
			ends[i] = len(data)
		}
		best(&m.encodeNs, start)
	}
	m.bytes += len(data)
	if err := verify(tiles, data, ends); err != nil {
		return m, err
	}
	buf := make([]float64, 0, column.ChunkValuesMax)
	for range 2 * rounds {
		start := time.Now()
		from := 0
		for i := range tiles {
			if _, err := column.Decode(buf, data[from:ends[i]], len(tiles[i].values)); err != nil {
				return m, err
			}
			from = ends[i]
		}
		best(&m.decodeNs, start)
	}
	return m, nil
}

// verify compares every value, bit for bit.
func verify(tiles []tile, data []byte, ends []int) error {
	from := 0
	for i, t := range tiles {
		got, err := column.Decode(nil, data[from:ends[i]], len(t.values))
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		for j, v := range t.values {
			if math.Float64bits(got[j]) != math.Float64bits(v) {
				return fmt.Errorf("%s: value %d is %v, want %v", t.name, j, got[j], v)
			}
		}
		from = ends[i]
	}
	return nil
}

// reportDomains prints what each domain holds, and the largest chunks.
func reportDomains(out *tabwriter.Writer, tiles []tile) {
	type share struct{ chunks, bytes, samples int }
	shares := map[string]*share{}
	bySeries := map[string]int{}
	var enc column.Encoder
	for _, t := range tiles {
		chunk := enc.Append(nil, t.values)
		info, err := column.Inspect(chunk, len(t.values))
		if err != nil {
			continue
		}
		name := info.Domain.String()
		switch {
		case info.Constant:
			name = "constant " + name
		default:
			layer := [4]string{"", " bitmap", " gaps"}[chunk[0]>>2&3]
			name += layer
			if info.HasSpecials {
				name += " specials"
			}
		}
		s := shares[name]
		if s == nil {
			s = &share{}
			shares[name] = s
		}
		s.chunks, s.bytes, s.samples = s.chunks+1, s.bytes+len(chunk), s.samples+len(t.values)
		bySeries[t.name+" "+name] += len(chunk)
	}
	names := make([]string, 0, len(shares))
	for name := range shares {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return shares[names[i]].bytes > shares[names[j]].bytes })
	for _, name := range names {
		s := shares[name]
		fmt.Fprintf(out, "\t%s\t%d chunks\t%d B\t%.3f B/sample\t\t\n", name, s.chunks, s.bytes, float64(s.bytes)/float64(s.samples))
	}
	names = names[:0]
	for name := range bySeries {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool { return bySeries[names[i]] > bySeries[names[j]] })
	for _, name := range names[:min(40, len(names))] {
		fmt.Fprintf(out, "\t%s\t\t%d B\t\t\t\n", name, bySeries[name])
	}
}
