package column_test

import (
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/format/column"
	mcolumn "github.com/nilometer/nilometer/model/column"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

// goldenChunks are the values of the golden file: small ones that FORMAT.md
// takes apart, then the first values of every shape.
func goldenChunks() []namedColumn {
	nan := math.Float64frombits(0x7ff8000000000001)
	chunks := []namedColumn{
		{"example zero", []float64{0, 0, 0}},
		{"example integer", []float64{1000, 1000}},
		{"example decimal", []float64{0.25, 0.25}},
		{"example raw", []float64{math.Pi, math.Pi}},
		{"example counter", []float64{100, 103, 104, 109, 109, 111}},
		{"example divisor", []float64{4096, 12288, 8192, 40960, 36864}},
		{"example gaps", stairs(65, func(i int) bool { return i == 4 || i == 20 || i == 36 }, 1000)},
		{"example bitmap", stairs(25, func(i int) bool { return i%3 == 1 || i%5 == 2 }, 1000)},
		{"example near", []float64{0.1, 0.30000000000000004, 0.6000000000000001}},
		{"example bits", []float64{math.Pi, math.E}},
		{"example specials", []float64{5, nan, nan, math.Inf(1), 6}},
		{"example exception", []float64{1, 2, 3, 4, 900, 901, 902, 903, 904, 905, 906, 907, 908}},
	}
	for _, c := range columns() {
		chunks = append(chunks, namedColumn{c.name, c.values[:min(len(c.values), 70)]})
	}
	return chunks
}

// stairs are n values from 1 on that grow where step says, by more each time.
func stairs(n int, step func(i int) bool, by float64) []float64 {
	values := make([]float64, n)
	v := 1.0
	for i := range values {
		if step(i) {
			v += by
			by++
		}
		values[i] = v
	}
	return values
}

func goldenLines() []string {
	var enc column.Encoder
	var lines []string
	add := func(part, name string, n int, data []byte) {
		lines = append(lines, fmt.Sprintf("%s | %s | %d | % x", part, name, n, data))
	}
	for _, c := range goldenChunks() {
		add("chunk", c.name, len(c.values), enc.Append(nil, c.values))
	}
	for _, c := range goldenReferences() {
		add("reference", c.name, len(c.values), enc.AppendRef(nil, c.values, c.ref))
	}
	for _, c := range goldenTimes() {
		add("times", c.name, len(c.times), column.AppendTimes(nil, c.times))
	}
	add("runs", "example", 480, column.AppendRuns(nil, goldenRuns()))
	for _, c := range intColumns() {
		add("ints", c.name, len(c.x), enc.AppendInts(nil, c.x))
	}
	for _, c := range goldenChunks() {
		var st column.StreamState
		var data []byte
		for i, v := range c.values {
			if st.Empty() || st.Bits() != math.Float64bits(v) {
				data = column.AppendStream(data, &st, i, v)
			}
		}
		add("stream", c.name, len(c.values), data)
	}
	return lines
}

// namedReference are values and what their chunk refers to.
type namedReference struct {
	name   string
	values []float64
	ref    column.Reference
}

func goldenReferences() []namedReference {
	near := []float64{100, 103, 104, 109, 109, 111, 118, 120}
	all := []float64{4000, 4096, 4000, 4100, 4100, 4000, 4003, 4001}
	rest := make([]float64, len(all))
	for i := range rest {
		rest[i] = all[i] - near[i]
	}
	steps := stairs(25, func(i int) bool { return i%3 == 1 || i%5 == 2 }, 1000)
	return []namedReference{
		{"example", []float64{1100, 1103, 1104, 1109, 1109, 1111, 1118, 1120}, column.Reference{Terms: []column.Term{{Values: near}}}},
		{"example rest", rest, column.Reference{Terms: []column.Term{{Values: all}, {Values: near, Minus: true}}}},
		{"example positions", steps, column.Reference{Positions: scaled(steps, 7)}},
	}
}

func goldenTimes() []namedTimes {
	const start = 1795343225000
	var slower []int64
	for i := range int64(100) {
		slower = append(slower, 10*i+max(0, i-20)*5)
	}
	return []namedTimes{
		{"example regular", []int64{start, start + 5000, start + 10000, start + 15000}, 0},
		{"example exceptions", slower, 0},
		{"example jitter", []int64{0, 1003, 2000, 3003, 4000, 5003, 6000, 7001, 8002, 9000, 10003, 11000}, 0},
		{"example steps", []int64{0, 100, 102, 300, 310}, 0},
	}
}

func goldenRuns() []mcolumn.Run {
	return []mcolumn.Run{{At: 10, Len: 1, State: mcolumn.Stale}, {At: 11, Len: 100, State: mcolumn.Absent}}
}

const goldenFile = "testdata/column.golden"

// TestGolden holds the bytes of version 1: what an encoder writes today, and
// what every later decoder has to read.
func TestGolden(t *testing.T) {
	lines := goldenLines()
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for i := range max(len(want), len(lines)) {
		if i >= len(want) || i >= len(lines) || want[i] != lines[i] {
			t.Fatalf("line %d of %s differs, for one; run with -rewrite if the format is meant to change", i+1, goldenFile)
		}
	}
}

func TestGoldenDecodes(t *testing.T) {
	content, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	for _, c := range goldenChunks() {
		values[c.name] = c.values
	}
	times := map[string][]int64{}
	for _, c := range goldenTimes() {
		times[c.name] = c.times
	}
	ints := map[string][]int64{}
	for _, c := range intColumns() {
		ints[c.name] = c.x
	}
	references := map[string]namedReference{}
	for _, c := range goldenReferences() {
		references[c.name] = c
	}
	for line := range strings.Lines(string(content)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), " | ")
		var n int
		var data []byte
		if _, err := fmt.Sscan(f[2], &n); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(strings.ReplaceAll(f[3], " ", ""), "%x", &data); err != nil {
			t.Fatal(err)
		}
		switch f[0] {
		case "chunk":
			got, err := column.Decode(nil, data, n)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sameBits(t, got, values[f[1]])
		case "ints":
			got, err := column.DecodeInts(nil, data, n)
			if err != nil || !slices.Equal(got, ints[f[1]]) {
				t.Fatalf("%s: %v, %v", line, got, err)
			}
		case "stream":
			got, err := column.DecodeStream(nil, data, n)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sameBits(t, got, values[f[1]])
		case "reference":
			c := references[f[1]]
			got, err := column.DecodeRef(nil, data, n, c.ref)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sameBits(t, got, c.values)
		case "times":
			got, err := column.DecodeTimes(nil, data, n)
			if err != nil || !slices.Equal(got, times[f[1]]) {
				t.Fatalf("%s: %v, %v", line, got, err)
			}
		case "runs":
			got, _, err := column.DecodeRuns(nil, data, n)
			if err != nil || !slices.Equal(got, goldenRuns()) {
				t.Fatalf("%s: %v, %v", line, got, err)
			}
		default:
			t.Fatalf("unknown part %q", f[0])
		}
	}
}

// TestFormatExamples holds FORMAT.md to the bytes of the golden file.
func TestFormatExamples(t *testing.T) {
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range goldenLines() {
		f := strings.Split(line, " | ")
		if f[0] == "stream" && f[1] != "example counter" || !strings.HasPrefix(f[1], "example") {
			continue
		}
		if !strings.Contains(string(doc), f[3]) {
			t.Errorf("FORMAT.md lacks the %s of %s: %s", f[0], f[1], f[3])
		}
	}
}
