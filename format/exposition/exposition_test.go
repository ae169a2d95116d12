package exposition_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/nilometer/nilometer/format/exposition"
)

// got is one sample in a form that compares.
type got struct {
	labels string
	value  uint64
	timed  bool
	time   int64
}

func (g got) String() string {
	return fmt.Sprintf("%s %v %v %d", g.labels, math.Float64frombits(g.value), g.timed, g.time)
}

// keeper plays the caller of a scanner: it gives every label set a slot.
type keeper struct {
	mem   exposition.Memory
	scan  exposition.Scanner
	slots map[string]uint32
	names []string
	sets  []labels.Labels // of all
}

func newKeeper() *keeper { return &keeper{slots: map[string]uint32{}} }

func (k *keeper) slot(l string) uint32 {
	if s, ok := k.slots[l]; ok {
		return s
	}
	k.slots[l] = uint32(len(k.names))
	k.names = append(k.names, l)
	return k.slots[l]
}

// read scans body and returns its samples as a multiset, and how many were new.
func (k *keeper) read(body []byte, f exposition.Format) (map[got]int, int, error) {
	if err := k.scan.Scan(&k.mem, body, exposition.Options{Format: f}); err != nil {
		return nil, 0, err
	}
	out := map[got]int{}
	for i, r := range k.scan.Refs {
		out[got{labels: k.names[r.Slot], value: math.Float64bits(k.scan.Values[i])}]++
	}
	for _, s := range k.scan.Timed {
		out[got{k.names[s.Ref.Slot], math.Float64bits(s.Value), true, s.Time}]++
	}
	for i, s := range k.scan.New {
		l := k.scan.Labels(i).String()
		out[got{l, math.Float64bits(s.Value), s.Timed, s.Time}]++
		k.scan.Remember(i, exposition.Ref{Slot: k.slot(l)})
	}
	n := len(k.scan.New)
	k.scan.Commit(&k.mem)
	return out, n, nil
}

// upstream reads body with the reference parser.
func upstream(body []byte, f exposition.Format) (out map[got]int, err error) {
	st := labels.NewSymbolTable()
	body = bytes.Clone(body)
	p := textparse.NewPromParser(body, st, false)
	if f == exposition.OpenMetrics {
		p = textparse.NewOpenMetricsParser(body, st)
	}
	out = map[got]int{}
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if e != textparse.EntrySeries {
			continue
		}
		var l labels.Labels
		p.Labels(&l)
		_, ts, v := p.Series()
		g := got{labels: l.String(), value: math.Float64bits(v)}
		if ts != nil {
			g.timed, g.time = true, *ts
		}
		out[g]++
	}
}

// agree fails unless scanner and reference agree on body, with the keeper's
// memory and with none.
func agree(t *testing.T, k *keeper, body []byte, f exposition.Format) {
	t.Helper()
	want, wantErr := upstream(body, f)
	for _, k := range []*keeper{newKeeper(), k, k} {
		have, _, err := k.read(body, f)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("body %q: error %v, reference %v", body, err, wantErr)
		}
		if err != nil {
			var pe *exposition.ParseError
			if !errors.As(err, &pe) || pe.Line < 1 || pe.Offset > len(body) {
				t.Fatalf("body %q: error %#v names no place", body, err)
			}
			continue
		}
		compare(t, have, want)
	}
}

func compare(t *testing.T, have, want map[got]int) {
	t.Helper()
	for g, n := range want {
		if have[g] != n {
			t.Fatalf("%d of %v, reference has %d\nall: %v", have[g], g, n, have)
		}
	}
	for g, n := range have {
		if want[g] != n {
			t.Fatalf("%d of %v, reference has %d\nall: %v", n, g, want[g], want)
		}
	}
}

var texts = []string{
	"", "\n\n", "a 1", "a 1\n", "a{} 1\n", "a{b=\"c\"} 2 123\n", "a{b=\"c\",} 2 \t 123 \n", "a { b = \"c\" , d=\"\" } 1\n",
	"{\"a.b\",c=\"d\"} 1\n", "{\"a\"} 1\n", "{c=\"d\",\"a\"} 1\n", "{} 1\n", "{a=\"b\"} 1\n", "a{\"b c\"=\"d\"} 1\n", "a{\"b\"} 1\n",
	"a NaN\na +Inf\na -Inf\na nan\na inf\n", "a 1e5\na 1E-5\na .5\na 5.\na -0\na +3\na 0x10\na 1_0\na 1e999\n",
	"a 1e5\na 1E-5\na .5\na 5.\na -0\na +3\na 1e22\na 1e23\na 123456789012345678901234567890\na 9007199254740993\na 0.1e-400\n",
	"a{b=\"\\\\ \\\" \\n \\x\"} 1\n", "a{b=\"x\ny\"} 1\n", "# HELP a some \\n \\\\ text\n# TYPE a counter\na 1\n",
	"# TYPE a histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\n# TYPE b summary\nb{quantile=\"0.50\"} 1\n",
	"# TYPE a gauge\na{le=\"1\"} 1\n# TYPE a histogram\na{le=\"1\"} 1\n", "# TYPE a bogus\n", "# TYPE a counter \n", "# TYPE\n", "# TYPE \n",
	"# HELP a\n", "# HELP a  \n", "# HELP 1\n", "#\n", "# x\n", "#HELP\n", "#\tHELP\ta\tb\n", "a-1\n", "a+Inf\n", "a=1\n", "a{b=\"c\" d=\"e\"} 1\n", "a{b=\"c\",,} 1\n", "a{,} 1\n",
	"a 1 -5\n", "a 1 1.5\n", "a 1 2 3\n", "a 1 99999999999999999999\n", "a 1\r\n", "1a 1\n", "a{1b=\"c\"} 1\n", "a{b=c} 1\n", "a{b=\"c} 1\n", "a{b\n", "a\n", "a ", "é 1\n",
	"a{b=\"\xff\"} 1\n", "# HELP a \xff\n", "a{b=\"\\\n\"} 1\n", "a:b:c 1\n", "a{b:c=\"d\"} 1\n", "a 1\na 2\n", "a 1{\n", "a{b=\"1\",b=\"2\"} 1\n", "# HELP \"a b\" x\n# TYPE \"a b\" gauge\n{\"a b\"} 1\n",
}

var openMetricsTexts = []string{
	"# EOF\n", "# EOF", "", "a 1\n", "a 1\n# EOF\n", "a 1\n# EOF\nb 1\n", "\n# EOF\n", "a  1\n# EOF\n", "a 1 1.5\n# EOF\n", "a 1 1.5 \n# EOF\n", "a 1 -1.5\n# EOF\n", "a 1 NaN\n# EOF\n", "a 1 +Inf\n# EOF\n",
	"a{b=\"c\"} 1 # {d=\"e\"} 2\n# EOF\n", "a{b=\"c\"} 1 5 # {d=\"e\",} 2 3.25\n# EOF\n", "a 1 # {\"d\"} 2\n# EOF\n", "a 1 # {} 2\n# EOF\n", "a 1 #{} 2\n# EOF\n", "a 1 # {d=\"e\"}\n# EOF\n", "a 1 # {d=\"e\"} x\n# EOF\n", "a 1 # {\"d x\"=\"e\"} 2\n# EOF\n",
	"# TYPE a histogram\na_bucket{le=\"1\"} 1\n# EOF\n", "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds x \\\" y\na_seconds_total 1\na_seconds_created 2\n# EOF\n", "# UNIT a seconds\n# EOF\n", "# UNIT seconds seconds\n# EOF\n", "# UNIT a \n# EOF\n",
	"# UNIT a\n# EOF\n", "# HELP a\n# EOF\n", "# TYPE a untyped\n# EOF\n", "# TYPE a unknown\n# EOF\n", "# TYPE a info\n# TYPE b stateset\n# TYPE c gaugehistogram\n# EOF\n", "# x\n# EOF\n", "#\n# EOF\n", "a{b=\"c\" ,d=\"e\"} 1\n# EOF\n", "a{b=\"c\"d=\"e\"} 1\n# EOF\n", "a{b=\"x\ny\"} 1\n# EOF\n",
	"{\"a.b\",c=\"d\"} 1\n# EOF\n", " a 1\n# EOF\n", "a{} 1\n# EOF\n", "a{}1\n# EOF\n", "# EOF\n\n", "#  EOF\n", "a 1\t\n# EOF\n",
}

func TestAgreesWithUpstream(t *testing.T) {
	k := newKeeper()
	for _, body := range texts {
		agree(t, k, []byte(body), exposition.Text)
	}
	for _, body := range openMetricsTexts {
		agree(t, k, []byte(body), exposition.OpenMetrics)
	}
}

func TestMemoryFollowsChanges(t *testing.T) {
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("m%d{a=\"b\"} %d\n", i, i))
	}
	all := strings.Join(lines, "")
	reversed := ""
	for _, l := range lines {
		reversed = l + reversed
	}
	k := newKeeper()
	for _, c := range []struct {
		name, body string
		isNew      int
	}{
		{"first", all, 200},
		{"same", all, 0},
		{"values change", strings.ReplaceAll(all, "} ", "} 7.25e"), 0},
		{"one inserted", "x 1\n" + all, 1},
		{"again without it", all, 0},
		{"half removed", strings.Join(lines[100:], ""), 0},
		{"they come back", all, 100},
		{"every other removed", evens(lines), 0},
		{"reversed", reversed, 100},
		{"in order again", all, 0},
		{"one twice", all + lines[5], 0},
		{"with timestamps", strings.ReplaceAll(all, "\n", " 1000\n"), 0},
		{"blank lines and comments", "# c\n\n" + all + "\n# TYPE m5 gauge\n", 0},
		{"the same", "# c\n\n" + all + "\n# TYPE m5 gauge\n", 0},
		{"a histogram now", "# TYPE m5 histogram\n" + all, 200},
		{"a histogram still", "# TYPE m5 histogram\n" + all, 0},
		{"nothing", "", 0},
	} {
		have, n, err := k.read([]byte(c.body), exposition.Text)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want, err := upstream([]byte(c.body), exposition.Text)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, have, want)
		if n != c.isNew {
			t.Errorf("%s: %d samples were new, want %d", c.name, n, c.isNew)
		}
	}
}

func evens(lines []string) string {
	out := ""
	for i := 0; i < len(lines); i += 2 {
		out += lines[i]
	}
	return out
}

func TestNumbers(t *testing.T) {
	k := newKeeper()
	if _, _, err := k.read([]byte("a 1\n"), exposition.Text); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{
		"0", "-0", "1", "-1", "12345678901234567", "9007199254740992", "9007199254740993", "0.1", "0.30000000000000004",
		"1.7976931348623157e308", "5e-324", "4.9e-324", "1e22", "1e23", "123e20", "1.5e-22", "1.5e-23", "1e", "e1", "1e+", "1.e5", ".5e1",
		"00000000000000000000000001", "1.00000000000000000000000001", "+5", "--5", "1e0001", "1e-0005", "NaN", "-NaN", "Infinity", "1e400", "0e400", "0x1p3", "1_000",
	} {
		agree(t, k, []byte("a "+v+"\n"), exposition.Text)
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	var mem exposition.Memory
	var s exposition.Scanner
	long := strings.Repeat("é", 1000)
	for _, c := range []struct{ body, want string }{
		{"a 1\nb x\n", `line 2: the value is not a number: "b x"`},
		{"a 1\n\n# c\nb{c=\"d\" 1\n", `line 4: expected a label name: "b{c=\"d\" 1"`},
		{"<html>\n", `line 1: a line begins with a metric name, a brace or #: "<html>"`},
		{"a 1e999\n", `line 1: the value is out of the range of a float64: "a 1e999"`},
		{"a{b=\"" + long + "\n", "line 1: a label value does not end: \"a{b=\\\"" + long[:114] + "…\""},
	} {
		err := s.Scan(&mem, []byte(c.body), exposition.Options{Format: exposition.Text})
		if err == nil || err.Error() != c.want {
			t.Errorf("body %.40q: error\n%v\nwant\n%s", c.body, err, c.want)
		}
	}
}

func TestFailedScanLeavesMemory(t *testing.T) {
	k := newKeeper()
	for _, body := range []string{"a 1\nb 2\n", "a 1\nc 3\nb x\n"} {
		_, _, _ = k.read([]byte(body), exposition.Text)
	}
	if _, n, err := k.read([]byte("a 1\nb 2\n"), exposition.Text); n != 0 || err != nil {
		t.Errorf("%d samples are new after a failed scan, error %v", n, err)
	}
}

func TestUnrememberedStaysNew(t *testing.T) {
	var mem exposition.Memory
	var s exposition.Scanner
	for range 3 {
		if err := s.Scan(&mem, []byte("# TYPE a gauge\na 1\nb 2\n"), exposition.Options{Format: exposition.Text}); err != nil {
			t.Fatal(err)
		}
		if len(s.New) == 0 || s.Labels(len(s.New)-1).Get("__name__") != "b" {
			t.Fatalf("new samples: %v", s.New)
		}
		if len(s.New) == 2 {
			s.Remember(0, exposition.Ref{Slot: 7, Group: 3})
		}
		s.Commit(&mem)
	}
	if len(s.Refs) != 1 || s.Refs[0] != (exposition.Ref{Slot: 7, Group: 3}) {
		t.Errorf("refs %v", s.Refs)
	}
	mem.Forget(func(r exposition.Ref) bool { return r.Group == 3 })
	if err := s.Scan(&mem, []byte("# TYPE a gauge\na 1\nb 2\n"), exposition.Options{Format: exposition.Text}); err != nil || len(s.New) != 2 {
		t.Errorf("after Forget %d are new, error %v", len(s.New), err)
	}
}

func TestMetadata(t *testing.T) {
	var mem exposition.Memory
	var s exposition.Scanner
	body := "# HELP a_seconds How \\\\ long\\nit took\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\n# EOF\n"
	if err := s.Scan(&mem, []byte(body), exposition.Options{Format: exposition.OpenMetrics}); err != nil {
		t.Fatal(err)
	}
	want := []exposition.Metadata{
		{Field: exposition.FieldHelp, Family: "a_seconds", Text: "How \\ long\nit took"},
		{Field: exposition.FieldType, Family: "a_seconds", Type: "counter"},
		{Field: exposition.FieldUnit, Family: "a_seconds", Text: "seconds"},
	}
	if fmt.Sprint(s.Metadata) != fmt.Sprint(want) {
		t.Errorf("metadata %v", s.Metadata)
	}
}

func TestGolden(t *testing.T) {
	for name, o := range map[string]exposition.Options{
		"text.prom":        {Format: exposition.Text},
		"openmetrics.prom": {Format: exposition.OpenMetrics},
		"protobuf.pb":      {Format: exposition.Protobuf, Native: true, Classic: true, Starts: true},
	} {
		body, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/" + strings.TrimSuffix(name, path.Ext(name)) + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		var mem exposition.Memory
		var s exposition.Scanner
		if err := s.Scan(&mem, body, o); err != nil {
			t.Fatal(err)
		}
		if out := shown(&s); out != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, out, want)
		}
	}
}

// shown is all that a scanner found, where nothing was remembered.
func shown(s *exposition.Scanner) string {
	var out strings.Builder
	for i, n := range s.New {
		if n.Histogram.IsZero() {
			fmt.Fprintf(&out, "%s value %016x", s.Labels(i), math.Float64bits(n.Value))
		} else {
			fmt.Fprintf(&out, "%s", whole(s.Labels(i), 0, n.Histogram, false, 0, 0))
		}
		if n.Timed {
			fmt.Fprintf(&out, " time %d", n.Time)
		}
		if n.Start != 0 {
			fmt.Fprintf(&out, " start %d", n.Start)
		}
		out.WriteByte('\n')
	}
	for _, m := range s.Metadata {
		fmt.Fprintf(&out, "metadata %d %s %q %q\n", m.Field, m.Family, m.Type, m.Text)
	}
	for i, x := range s.Exemplars {
		l, _ := s.ExemplarLabels(i)
		fmt.Fprintf(&out, "exemplar of %d %s value %016x", x.New, l, math.Float64bits(x.Value))
		if x.Timed {
			fmt.Fprintf(&out, " time %d", x.Time)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
