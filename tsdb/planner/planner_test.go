package planner_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/tsdb/planner"
)

var rewrite = flag.Bool("rewrite", false, "write the scripts' expected output anew")

// TestScripts runs testdata/*.txt: blocks of lines. A block begins with
// commands:
//
//	options retention=30d bytes=1000 range=2h
//	now 20h
//	block a 0h-2h [level=2] [bytes=10] [seq=1-2] [res=300000] [applied=7] [exempt=1]
//	drop a
//	aside a
//	repaired a
//	tombstone 7 0h-1h
//	plan | apply | until-idle
//
// and ends with "----" and what plan printed, up to an empty line.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out := runScript(t, string(in))
			if *rewrite {
				if err := os.WriteFile(file, []byte(out), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if out != string(in) {
				t.Errorf("got:\n%s", out)
			}
		})
	}
}

type script struct {
	t     *testing.T
	opts  planner.Options
	now   int64
	state manifest.State
	names map[ulid.ULID]string
	ids   map[string]ulid.ULID
	next  byte
	out   bytes.Buffer
}

func runScript(t *testing.T, in string) string {
	s := &script{t: t, names: map[ulid.ULID]string{}, ids: map[string]ulid.ULID{}}
	skipping := false
	for _, line := range strings.Split(strings.TrimRight(in, "\n"), "\n") {
		switch {
		case line == "----":
			skipping = true
			continue
		case line == "":
			skipping = false
			s.out.WriteByte('\n')
			continue
		case skipping:
			continue
		}
		s.out.WriteString(line + "\n")
		if !strings.HasPrefix(line, "#") {
			s.command(strings.Fields(line))
		}
	}
	return s.out.String()
}

func (s *script) command(f []string) {
	switch f[0] {
	case "options":
		for _, kv := range f[1:] {
			k, v, _ := strings.Cut(kv, "=")
			switch k {
			case "retention":
				s.opts.RetentionMs = s.ms(v)
			case "bytes":
				s.opts.RetentionBytes = uint64(s.number(v))
			case "range":
				s.opts.RangeMaxMs = s.ms(v)
			case "final":
				s.opts.Final = v == "true"
			case "rewrite":
				s.opts.RewriteMaxMs = s.ms(v)
			case "jobblocks":
				s.opts.JobBlocksMax = int(s.number(v))
			case "jobbytes":
				s.opts.JobBytesMax = uint64(s.number(v))
			default:
				s.t.Fatalf("option %s", kv)
			}
		}
	case "now":
		s.now = s.ms(f[1])
	case "block":
		s.block(f[1], f[2], f[3:])
	case "drop":
		s.edit(manifest.Edit{Removed: []ulid.ULID{s.ids[f[1]]}})
	case "aside":
		if s.opts.SetAside == nil {
			s.opts.SetAside = map[ulid.ULID]bool{}
		}
		s.opts.SetAside[s.ids[f[1]]] = true
	case "repaired":
		delete(s.opts.SetAside, s.ids[f[1]])
	case "tombstone":
		from, to, _ := strings.Cut(f[2], "-")
		ts := manifest.Tombstone{Seq: uint64(s.number(f[1])), MinTime: s.ms(from), MaxTime: s.ms(to)}
		if len(f) > 3 {
			ts.Time = s.ms(strings.TrimPrefix(f[3], "at="))
		}
		s.edit(manifest.Edit{Tombstones: []manifest.Tombstone{ts}})
	case "plan":
		s.out.WriteString("----\n")
		for _, j := range s.plan() {
			s.print(j)
		}
	case "apply":
		s.out.WriteString("----\n")
		for _, j := range s.plan() {
			s.print(j)
			s.apply(j)
		}
	case "until-idle":
		s.out.WriteString("----\n")
		for round := 1; ; round++ {
			jobs := s.plan()
			if len(jobs) == 0 {
				break
			}
			if round > 20 {
				s.t.Fatal("no end")
			}
			fmt.Fprintf(&s.out, "round %d\n", round)
			for _, j := range jobs {
				s.print(j)
				s.apply(j)
			}
		}
		for _, b := range s.state.Blocks {
			fmt.Fprintf(&s.out, "left %s\n", s.describe(b))
		}
	default:
		s.t.Fatalf("command %v", f)
	}
}

func (s *script) plan() []planner.Job { return planner.Plan(s.state, s.now, s.opts) }

func (s *script) block(name, span string, rest []string) {
	s.next++
	from, to, _ := strings.Cut(span, "-")
	b := manifest.Block{ID: ulid.ULID{15: s.next}, MinTime: s.ms(from), MaxTime: s.ms(to) - 1, Level: 1, LowestSeq: uint64(s.next), HighestSeq: uint64(s.next)}
	for _, kv := range rest {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "level":
			b.Level = int(s.number(v))
		case "bytes":
			b.Stats.ChunkBytes = uint64(s.number(v))
		case "res":
			b.ResolutionMs = s.number(v)
		case "hidden":
			if s.opts.Hidden == nil {
				s.opts.Hidden = map[ulid.ULID]float64{}
			}
			s.opts.Hidden[b.ID] = float64(s.number(v)) / 100
		case "exempt":
			b.Exempt = v == "1"
		case "applied":
			b.TombstonesApplied = uint64(s.number(v))
		case "seq":
			low, high, _ := strings.Cut(v, "-")
			b.LowestSeq, b.HighestSeq = uint64(s.number(low)), uint64(s.number(high))
		default:
			s.t.Fatalf("block option %s", kv)
		}
	}
	s.names[b.ID], s.ids[name] = name, b.ID
	s.edit(manifest.Edit{Added: []manifest.Block{b}})
}

func (s *script) edit(e manifest.Edit) {
	next, err := s.state.Apply(e)
	if err != nil {
		s.t.Fatal(err)
	}
	s.state = next
}

// apply does to the state what executing the job would.
func (s *script) apply(j planner.Job) {
	s.edit(applied(s, j))
}

func applied(s *script, j planner.Job) manifest.Edit {
	e := manifest.Edit{Removed: j.IDs()}
	if j.Kind == planner.Drop {
		return e
	}
	s.next++
	r := j.Blocks[0]
	r.ID = ulid.ULID{15: s.next}
	var names []string
	r.Stats = manifest.Stats{}
	for _, b := range j.Blocks {
		names = append(names, s.names[b.ID])
		r.MinTime, r.MaxTime = min(r.MinTime, b.MinTime), max(r.MaxTime, b.MaxTime)
		r.Level = max(r.Level, b.Level)
		r.LowestSeq, r.HighestSeq = min(r.LowestSeq, b.LowestSeq), max(r.HighestSeq, b.HighestSeq)
		r.Stats.ChunkBytes += b.Stats.ChunkBytes
	}
	if j.Kind != planner.Rewrite {
		r.Level++
	}
	r.TombstonesApplied = max(r.TombstonesApplied, j.TombstoneSeq)
	s.names[r.ID] = strings.Join(names, "+")
	e.Added = []manifest.Block{r}
	return e
}

func (s *script) print(j planner.Job) {
	var names []string
	for _, b := range j.Blocks {
		names = append(names, s.names[b.ID])
	}
	fmt.Fprintf(&s.out, "%s %s: %s", j.Kind, strings.Join(names, " "), j.Reason)
	for _, t := range j.Tombstones {
		fmt.Fprintf(&s.out, " tombstone=%d", t.Seq)
	}
	s.out.WriteByte('\n')
}

func (s *script) describe(b manifest.Block) string {
	hours := func(ms int64) string { return strconv.FormatFloat(float64(ms)/3.6e6, 'f', -1, 64) + "h" }
	return fmt.Sprintf("%s %s-%s level=%d", s.names[b.ID], hours(b.MinTime), hours(b.MaxTime+1), b.Level)
}

func (s *script) ms(v string) int64 {
	if days, ok := strings.CutSuffix(v, "d"); ok {
		return s.number(days) * 24 * 3_600_000
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return d.Milliseconds()
}

func (s *script) number(v string) int64 {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestInvariants draws states: jobs share no block (I1), plans come to an end
// (I2), the order of acceptance stays (I3), and at the end no blocks overlap.
func TestInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &script{t: t, names: map[ulid.ULID]string{}, ids: map[string]ulid.ULID{}}
		hour := int64(3_600_000)
		s.now = rapid.Int64Range(0, 200).Draw(rt, "now") * hour
		s.opts.RetentionMs = rapid.SampledFrom([]int64{0, 50 * hour, 720 * hour}).Draw(rt, "retention")
		s.opts.JobBlocksMax = rapid.SampledFrom([]int{0, 2, 3}).Draw(rt, "job_blocks")
		exempt := rapid.IntRange(0, 3).Draw(rt, "exempt") == 3
		for range rapid.IntRange(0, 30).Draw(rt, "blocks") {
			s.next++
			from := rapid.Int64Range(-20, 200).Draw(rt, "from") * hour
			b := manifest.Block{ID: ulid.ULID{15: s.next}, MinTime: from, Level: 1, LowestSeq: uint64(s.next), HighestSeq: uint64(s.next)}
			b.MaxTime = from + rapid.Int64Range(1, 7).Draw(rt, "length")*hour - 1
			b.Exempt = exempt && rapid.Bool().Draw(rt, "is_exempt")
			s.edit(manifest.Edit{Added: []manifest.Block{b}})
		}
		origins := newOrigins(s.state.Blocks)
		aside := rapid.SampledFrom([]int{0, 0, 3, 10}).Draw(rt, "aside") // of ten blocks
		s.opts.SetAside = map[ulid.ULID]bool{}
		for _, b := range s.state.Blocks {
			if rapid.IntRange(1, 10).Draw(rt, "is_aside") <= aside {
				s.opts.SetAside[b.ID] = true
			}
		}
		for i := range rapid.IntRange(0, 3).Draw(rt, "tombstones") {
			from := rapid.Int64Range(0, 200).Draw(rt, "tombstone") * hour
			s.edit(manifest.Edit{Tombstones: []manifest.Tombstone{{Seq: uint64(10 * (i + 1)), MinTime: from, MaxTime: from + 5*hour}}})
		}
		for round := 0; ; round++ {
			jobs := s.plan()
			if len(jobs) == 0 {
				break
			}
			if round > 100 {
				rt.Fatal("no end")
			}
			seen := map[ulid.ULID]bool{}
			for _, j := range jobs {
				for _, id := range j.IDs() {
					if seen[id] {
						rt.Fatalf("block %s is in two jobs", id)
					}
					seen[id] = true
				}
				if !slices.IsSortedFunc(j.Blocks, planner.CompareAcceptance) {
					rt.Fatal("sources are out of order")
				}
				e := applied(s, j)
				origins.follow(e)
				s.edit(e)
			}
			if err := origins.inOrder(s.state.Blocks); err != nil {
				rt.Fatal(err)
			}
		}
		if exempt || len(s.opts.SetAside) > 0 {
			return
		}
		for i := 1; i < len(s.state.Blocks); i++ {
			if s.state.Blocks[i].MinTime <= s.state.Blocks[i-1].MaxTime {
				rt.Fatalf("blocks overlap at the end: %+v", s.state.Blocks)
			}
		}
		for _, b := range s.state.Blocks {
			for _, ts := range s.state.Tombstones {
				if planner.Hides(ts, b) {
					rt.Fatalf("tombstone %d waits for %+v", ts.Seq, b)
				}
			}
		}
	})
}
