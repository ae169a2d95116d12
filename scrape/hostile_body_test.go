package scrape_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
)

const protobufType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// field is a field of protobuf that has a length.
func field(number byte, content string) string {
	return string(binary.AppendUvarint([]byte{number<<3 | 2}, uint64(len(content)))) + content
}

// gauge is a family of one gauge, as a body of protobuf.
func gauge(name string, bits uint64) string {
	double := string(binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, bits))
	family := field(1, name) + "\x18\x01" + field(4, field(2, double))
	return string(binary.AppendUvarint(nil, uint64(len(family)))) + family
}

// TestHostileBodies: what a body can say wrong fails its scrape whole, with the
// line or the limit and a status, and harms nothing that is stored.
func TestHostileBodies(t *testing.T) { failing(t, hostileBodies()) }

func hostileBodies() []turning {
	long := strings.Repeat("x", 100)
	return []turning{
		{name: "malformed line", say: says(text("# fine\nevil 1\nevil{a=} 2\nevil 3\n")), want: metadb.TargetParseError, says: "line 3"},
		{name: "no value", say: says(text("evil 1\nevil_too\n")), want: metadb.TargetParseError, says: "line 2"},
		{name: "value is a NaN with a sign", say: says(text("evil 1\nevil_too -NaN\n")), want: metadb.TargetParseError, says: "line 2"},
		{name: "value is no number", say: says(text("evil 1\nevil_too one\n")), want: metadb.TargetParseError, says: "line 2"},
		{name: "timestamp is no number", say: says(text("evil 1 now\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "negative timestamp", say: says(text("evil 1 -1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "timestamp overflows", say: says(text("evil 1 9223372036854775808\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "unclosed quotes", say: says(text("evil{a=\"b} 1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "NUL bytes", say: says(text("evil 1\n\x00\x00\x00\n")), want: metadb.TargetParseError, says: "line 2"},
		{name: "binary garbage", say: says(text("\x7fELF\x02\x01\x01\x00\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "HTML called text", say: says(text("<!DOCTYPE html>\n<html></html>\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "invalid UTF-8 in a name", say: says(text("{\"evil\xff\"} 1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "invalid UTF-8 in a label name", say: says(text("evil{\"a\xff\"=\"b\"} 1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "invalid UTF-8 in a label value", say: says(text("evil{a=\"b\xff\"} 1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "invalid UTF-8 in a help text", say: says(text("# HELP evil b\xff\nevil 1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "label twice", say: says(text("evil{a=\"1\",a=\"2\"} 1\n")), want: metadb.TargetParseError, says: "line 1"},
		{name: "OpenMetrics cut short", say: says(sized("application/openmetrics-text", "evil 1\n")), want: metadb.TargetParseError, says: "# EOF"},
		{name: "OpenMetrics behind its end", say: says(sized("application/openmetrics-text", "evil 1\n# EOF\nevil 2\n")), want: metadb.TargetParseError, says: "line 3"},
		{name: "protobuf garbage", say: says(sized(protobufType, "\x05\xff\xff\xff\xff\xff")), want: metadb.TargetParseError, says: "byte "},
		{name: "protobuf cut short", say: says(sized(protobufType, gauge("evil", 0)[:12])), want: metadb.TargetParseError, says: "byte "},
		{name: "protobuf of 4 GB by its length", say: says(sized(protobufType, "\xff\xff\xff\xff\x0f"+gauge("evil", 0))), want: metadb.TargetParseError, says: "byte "},
		{name: "protobuf with invalid UTF-8", say: says(sized(protobufType, gauge("evil\xff", 0))), want: metadb.TargetParseError, says: "byte "},
		{name: "no content type", say: says("HTTP/1.1 200 OK\r\n\r\nevil 1\n"), want: metadb.TargetDown, says: "fallback_scrape_protocol"},
		{name: "wrong content type", say: says(sized("text/html", "evil 1\n")), want: metadb.TargetDown, says: "fallback_scrape_protocol"},
		{name: "too many samples", say: says(text("evil 1\nevil_too 2\n")), want: metadb.TargetOverlimit, says: "the limit of sample_limit is 1",
			change: func(o *scrape.PoolOptions) { o.SampleMax = 1 }},
		{name: "too many labels", say: says(text("evil{a=\"1\",b=\"2\"} 1\n")), want: metadb.TargetOverlimit, says: "the limit of label_limit is 4",
			change: func(o *scrape.PoolOptions) { o.LabelMax = 4 }},
		{name: "label name too long", say: says(text("evil{" + long + "=\"1\"} 1\n")), want: metadb.TargetOverlimit, says: "the limit of label_name_length_limit is 99",
			change: func(o *scrape.PoolOptions) { o.LabelNameSizeMax = 99 }},
		{name: "label value too long", say: says(text("evil{a=\"" + long + "\"} 1\n")), want: metadb.TargetOverlimit, says: "the limit of label_value_length_limit is 99",
			change: func(o *scrape.PoolOptions) { o.LabelValueSizeMax = 99 }},
	}
}

// TestDubiousSamples: of a body that is an exposition what can be stored is
// stored; the rest is left out, counted by reason and told as a warning.
func TestDubiousSamples(t *testing.T) {
	all, counted := dubiousSamples(), map[string]float64{}
	for _, c := range all {
		if _, reason, ok := strings.Cut(c.says, "refused: "); ok {
			counted[reason]++
		}
	}
	h := turnAll(t, all)
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, line := range h.stored(c.name) {
				switch {
				case strings.HasPrefix(line, `{__name__="good"}`):
					if !strings.HasPrefix(line, `{__name__="good"} 1`) {
						t.Errorf("what was stored became %s", line)
					}
				case strings.HasPrefix(line, `{__name__="up"}`):
					if !strings.HasPrefix(line, `{__name__="up"} 1 1`) {
						t.Errorf("up is %s", line)
					}
				default:
					got = append(got, line)
				}
			}
			ok := len(got) == len(c.stored)
			for i := range got {
				ok = ok && strings.HasPrefix(got[i], c.stored[i])
			}
			if !ok {
				t.Errorf("stored:\n%.500s\nwant beginnings:\n%s", strings.Join(got, "\n"), strings.Join(c.stored, "\n"))
			}
		})
	}
	for reason, least := range counted {
		if got := h.counter("nilometer_scrape_samples_refused_total", reason); got < least {
			t.Errorf("%v samples are counted as %s, want %v or more", got, reason, least)
		}
	}
	if got := h.counter("nilometer_scrape_duplicates_total", ""); got < 3 {
		t.Errorf("%v duplicates are counted", got)
	}
}

func dubiousSamples() []turning {
	now := time.Now().UnixMilli()
	at := func(t int64) func(net.Conn) { return says(text(fmt.Sprintf("odd 1 %d\nfine 1\n", t))) }
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",l%d=\"\"", i)
		}
		return b.String()[1:]
	}
	all := []turning{
		{name: "series twice", say: says(text("odd{a=\"1\"} 1\nfine 1\nodd{a=\"1\"} 2\n")), says: "1 duplicate samples", stored: []string{`{__name__="fine"} 1`, `{__name__="odd", a="1"} 1`}},
		{name: "series twice with a timestamp", say: says(text(fmt.Sprintf("odd 1 %d\nfine 1\nodd 2 %d\n", now, now))), says: "1 duplicate samples", stored: []string{`{__name__="fine"} 1`, `{__name__="odd"} 1`}},
		{name: "timestamps out of order in a body", say: says(text(fmt.Sprintf("odd 3 %d\nfine 1\nodd 1 %d\n", now+2, now+1))), stored: []string{`{__name__="fine"} 1`, `{__name__="odd"} 1 3`}},
		{name: "timestamps out of order", say: falling(now), says: "1 samples refused: out_of_order", stored: []string{`{__name__="fine"} 1`, `{__name__="odd"} 0`}},
		{name: "another value at a timestamp", say: changing(now), says: "1 samples refused: conflict", stored: []string{`{__name__="fine"} 1`, `{__name__="odd"} 0`}},
		{name: "an hour ahead", say: at(now + 3_600_000), says: "1 samples refused: too_far_ahead", stored: []string{`{__name__="fine"} 1`}},
		{name: "the end of time", say: at(math.MaxInt64), says: "1 samples refused: too_far_ahead", stored: []string{`{__name__="fine"} 1`}},
		{name: "a year ago", say: at(now - 365*86_400_000), says: "1 samples refused: too_old", stored: []string{`{__name__="fine"} 1`}},
		{name: "1970", say: at(0), says: "1 samples refused: too_old", stored: []string{`{__name__="fine"} 1`}},
		{name: "the beginning of time", say: says(sized("application/openmetrics-text", "odd 1 -9000000000000000\nfine 1\n# EOF\n")), says: "1 samples refused: too_old", stored: []string{`{__name__="fine"} 1`}},
		{name: "200 labels", say: says(text("odd{" + strings.ReplaceAll(many(200), `""`, `"1"`) + "} 1\nfine 1\n")), says: "1 samples refused: invalid_labels", stored: []string{`{__name__="fine"} 1`}},
		{name: "labels by the thousand", say: says(text("odd{" + strings.ReplaceAll(many(10_000), `""`, `"1"`) + "} 1\nfine 1\n")), says: "1 samples refused: invalid_labels", stored: []string{`{__name__="fine"} 1`}},
		{name: "200 empty labels", say: says(text("odd{" + many(200) + "} 1\nfine 1\n")), stored: []string{`{__name__="fine"} 1`, `{__name__="odd"} 1`}},
		{name: "label name of 2 KiB", say: says(text("odd{" + strings.Repeat("n", 2<<10) + "=\"1\"} 1\nfine 1\n")), says: "1 samples refused: invalid_labels", stored: []string{`{__name__="fine"} 1`}},
		{name: "label value of 2 MiB", say: says(text("odd{a=\"" + strings.Repeat("v", 2<<20) + "\"} 1\nfine 1\n")), says: "1 samples refused: invalid_labels", stored: []string{`{__name__="fine"} 1`}},
		{name: "metric name of 2 MiB", say: says(text(strings.Repeat("n", 2<<20) + " 1\nfine 1\n")), says: "1 samples refused: invalid_labels", stored: []string{`{__name__="fine"} 1`}},
		{name: "help text of 2 MiB", say: says(text("# HELP odd " + strings.Repeat("h", 2<<20) + "\nodd 1\nfine 1\n")), stored: []string{`{__name__="fine"} 1`, `{__name__="odd"} 1`}},
		{name: "script and terminal escapes", say: says(text("odd{a=\"<script>alert(1)</script>\\n\x1b[2J\"} 1\nfine 1\n")), stored: []string{`{__name__="fine"} 1`, "{__name__=\"odd\", a=\"<script>alert(1)</script>\\n\\x1b[2J\"} 1"}},
		{name: "up of its own", say: says(text("up 7\nfine 1\n")), says: "1 duplicate samples", stored: []string{`{__name__="fine"} 1`}},
	}
	for i := range all {
		all[i].want = metadb.TargetUp
	}
	return all
}

// falling answers each time with an older timestamp.
func falling(now int64) func(net.Conn) {
	n := int64(0)
	return func(c net.Conn) {
		says(text(fmt.Sprintf("odd %d %d\nfine 1\n", n, now-n*1000)))(c)
		n++
	}
}

// changing answers each time with another value of one timestamp.
func changing(now int64) func(net.Conn) {
	n := 0
	return func(c net.Conn) {
		says(text(fmt.Sprintf("odd %d %d\nfine 1\n", n, now)))(c)
		n++
	}
}

// TestNaNs: a NaN of text is the normal NaN, whatever its sign; one of protobuf
// keeps its bits, and the stale marker among them ends the series.
func TestNaNs(t *testing.T) {
	all := nans()
	h := turnAll(t, all)
	want := map[string]uint64{
		"NaN in text": value.NormalNaN, "quiet NaN in protobuf": 0xfff8dead0000beef,
		"signaling NaN in protobuf": 0x7ff0000000000001, "stale marker in protobuf": value.StaleNaN,
	}
	for _, c := range all {
		got, err := storagetest.ReadAll(t.Context(), h.db, tenant.Default,
			labels.MustNewMatcher(labels.MatchEqual, "__name__", "odd"), labels.MustNewMatcher(labels.MatchEqual, "instance", c.name))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v, %v", c.name, got, err)
		}
		if bits := math.Float64bits(got[0].Samples[0].V); bits != want[c.name] {
			t.Errorf("%s: stored %#x, want %#x", c.name, bits, want[c.name])
		}
	}
}

func nans() []turning {
	protobuf := func(bits uint64) func(net.Conn) {
		return says(sized(protobufType, gauge("odd", bits)+gauge("fine", 0)))
	}
	return []turning{
		{name: "NaN in text", say: says(text("odd nan\nfine 1\n")), want: metadb.TargetUp},
		{name: "quiet NaN in protobuf", say: protobuf(0xfff8dead0000beef), want: metadb.TargetUp},
		{name: "signaling NaN in protobuf", say: protobuf(0x7ff0000000000001), want: metadb.TargetUp},
		{name: "stale marker in protobuf", say: protobuf(value.StaleNaN), want: metadb.TargetUp},
	}
}
