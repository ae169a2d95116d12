package exposition_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	client "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	dto "github.com/prometheus/prometheus/prompb/io/prometheus/client"
	"google.golang.org/protobuf/proto"

	"github.com/nilometer/nilometer/format/exposition"
)

// written is a body of drawn families in one of the text formats, each family
// once and without native histograms.
func written(t *testing.T, r *rand.Rand, f exposition.Format) []byte {
	t.Helper()
	var out bytes.Buffer
	var names []string
	for range 1 + r.IntN(3) {
		d := drawn(r)
		if slices.Contains(names, d.Name) || len(d.Metric) == 0 || d.Type == dto.MetricType_GAUGE_HISTOGRAM {
			continue
		}
		names = append(names, d.Name)
		d.Unit = ""
		seen := map[string]bool{}
		d.Metric = slices.DeleteFunc(d.Metric, func(m dto.Metric) bool {
			was := seen[fmt.Sprint(m.Label)]
			seen[fmt.Sprint(m.Label)] = true
			return was
		})
		for i := range d.Metric {
			d.Metric[i].TimestampMs = 0 // the reference gives a histogram that of the line behind it
			if h := d.Metric[i].Histogram; h != nil {
				for j := range h.Bucket {
					if x := h.Bucket[j].Exemplar; x != nil && x.Timestamp == nil {
						h.Bucket[j].Exemplar = nil // the reference gives one the timestamp of another
					}
					if b := &h.Bucket[j]; f == exposition.OpenMetrics && b.CumulativeCountFloat != 0 {
						b.CumulativeCountFloat, b.CumulativeCount = 0, uint64(b.CumulativeCountFloat)
					}
				}
				*h = dto.Histogram{SampleCount: h.SampleCount, SampleSum: h.SampleSum, Bucket: h.Bucket, StartTimestamp: h.StartTimestamp}
			}
		}
		b, err := d.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		family := &client.MetricFamily{}
		if err := proto.Unmarshal(b, family); err != nil {
			t.Fatal(err)
		}
		if f == exposition.Text {
			_, err = expfmt.MetricFamilyToText(&out, family)
		} else {
			_, err = expfmt.MetricFamilyToOpenMetrics(&out, family, expfmt.WithCreatedLines())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if f == exposition.OpenMetrics {
		out.WriteString("# EOF\n")
	}
	return out.Bytes()
}

// TestTogetherAgreesWithUpstream: text whose lines are read together, as
// histograms that are converted and with the start timestamps of _created
// lines, in all ways, each way with one memory.
func TestTogetherAgreesWithUpstream(t *testing.T) {
	for _, f := range []exposition.Format{exposition.Text, exposition.OpenMetrics} {
		for _, o := range modes(f) {
			r := rand.New(rand.NewPCG(5, 6))
			k := newKeeper()
			for range 200 {
				agreeAll(t, k, written(t, r, f), o)
			}
		}
	}
}

const histograms = `# TYPE a histogram
a_bucket{x="1",le="1"} 1
a_bucket{x="1",le="+Inf"} 3 # {trace="t"} 2.5 100
a_sum{x="1"} 4
a_count{x="1"} 3
a_created{x="1"} 50
a_bucket{x="2",le="1"} 1
a_bucket{x="2",le="+Inf"} 1
a_sum{x="2"} 1
a_count{x="2"} 1
# TYPE b counter
b_total{y="1"} 1
b_total{y="2"} 1
b_created{y="2"} 60
b_created{y="1"} 70
# EOF
`

// TestTogether shows what is remembered, and where more is found than upstream
// finds.
func TestTogether(t *testing.T) {
	o := exposition.Options{Format: exposition.OpenMetrics, Custom: true, Starts: true}
	k := newKeeper()
	want := []string{
		`{__name__="a", x="1"} # {trace="t"} 4004000000000000 true 100000`,
		`{__name__="a", x="1"} int 0 -53 0 0 3 4[{0 2}][][1 1] [] [1] from 50000`,
		`{__name__="a", x="2"} int 0 -53 0 0 1 1[{0 1}][][1] [] [1]`,
		`{__name__="b_total", y="1"} 3ff0000000000000 from 70000`,
		`{__name__="b_total", y="2"} 3ff0000000000000 from 60000`,
	}
	for i, body := range []string{histograms, histograms, strings.Replace(histograms, "a_created{x=\"1\"} 50\n", "", 1), histograms} {
		have, n, err := k.all([]byte(body), o)
		if err != nil {
			t.Fatal(err)
		}
		if (n == 0) != (i > 0) {
			t.Errorf("body %d: %d samples are new", i, n)
		}
		var got []string
		for s := range have {
			got = append(got, s)
		}
		slices.Sort(got)
		expected := slices.Clone(want)
		if i > 0 {
			expected = expected[1:] // the exemplar is known
		}
		if i == 2 {
			expected[0] = strings.TrimSuffix(expected[0], " from 50000")
		}
		if !slices.Equal(got, expected) {
			t.Errorf("body %d:\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(expected, "\n"))
		}
	}
	o.Classic = true
	if have, _, err := k.all([]byte(histograms), o); err != nil || len(have) != 13 { // with other options all is new
		t.Errorf("with classic parts %d entries, error %v", len(have), err)
	}
}

// TestBrokenHistograms: what cannot be converted is left out, and nothing else
// with it.
func TestBrokenHistograms(t *testing.T) {
	for body, want := range map[string]string{
		"# TYPE a histogram\na_bucket{le=\"1\"} 5\na_bucket{le=\"2\"} 1\na_count 5\na_sum 1\n# TYPE b gauge\nb 1\n": `{__name__="b"} 3ff0000000000000`,
		"# TYPE a histogram\na_bucket{le=\"x\"} 5\nb 1\n":                                                           `{__name__="a_bucket", le="x"} 4014000000000000|{__name__="b"} 3ff0000000000000`,
		"# TYPE a histogram\na 5\na_sum{le=\"3\"} 2\n":                                                              `{__name__="a"} 4014000000000000|{__name__="a"} int 0 -53 0 0 0 2[][][] [] []`,
	} {
		k := newKeeper()
		o := exposition.Options{Format: exposition.Text, Custom: true}
		for range 2 {
			have, _, err := k.all([]byte(body), o)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for s := range have {
				got = append(got, s)
			}
			slices.Sort(got)
			if strings.Join(got, "|") != want {
				t.Errorf("body %q:\n%s\nwant\n%s", body, strings.Join(got, "|"), want)
			}
		}
		agreeAll(t, newKeeper(), []byte(body), o)
	}
}

// TestManyBuckets: what costs the square of the number of buckets is refused.
func TestManyBuckets(t *testing.T) {
	body := func(n int, up bool) []byte {
		var b strings.Builder
		b.WriteString("# TYPE a histogram\n")
		for i := range n {
			le := i
			if !up {
				le = n - i
			}
			fmt.Fprintf(&b, "a_bucket{le=\"%d\"} %d\n", le, le)
		}
		return []byte(b.String())
	}
	o := exposition.Options{Format: exposition.Text, Custom: true}
	for _, c := range []struct {
		n    int
		up   bool
		want int
	}{{100_000, true, 1}, {512, false, 1}, {513, false, 0}, {100_000, false, 0}} {
		var mem exposition.Memory
		var s exposition.Scanner
		if err := s.Scan(&mem, body(c.n, c.up), o); err != nil || s.Samples() != c.want {
			t.Errorf("%d buckets, ascending %v: %d histograms, error %v", c.n, c.up, s.Samples(), err)
		}
	}
}

// FuzzTogether: with any memory a body gives what it gives with none.
func FuzzTogether(f *testing.F) {
	f.Add([]byte(histograms), []byte(strings.ReplaceAll(histograms, "a_sum", "c_sum")), uint8(15))
	for i, s := range append(openMetricsTexts, texts...) {
		f.Add([]byte(s), []byte(histograms), uint8(i))
	}
	f.Fuzz(func(t *testing.T, first, second []byte, mode uint8) {
		o := modes(exposition.OpenMetrics)[mode%16]
		if mode&16 != 0 {
			o.Format = exposition.Text
		}
		k := newKeeper()
		for _, body := range [][]byte{first, second, first, first} {
			have, _, err := k.all(body, o)
			want, _, wantErr := newKeeper().all(body, o)
			if (err != nil) != (wantErr != nil) {
				t.Fatalf("body %q: error %v, without memory %v", body, err, wantErr)
			}
			if err == nil && !agrees(have, want) {
				t.Fatalf("body %q:\nhave\n%s\nwithout memory\n%s", body, list(have, want), list(want, have))
			}
		}
	})
}
