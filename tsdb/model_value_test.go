package tsdb_test

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// value is a value of a script's row. Its text keeps it bit for bit, readable
// where that is the same: "2.5", "stale", "bits 7ff8…", "int 7" for the eighth of
// the integer histograms, and " from 1200" behind it for a start timestamp.
type value struct {
	v     float64 // or the number of a histogram
	shape shape
	start int64 // ms after base; 0: there is none
}

// shape is what a value is; the zero value is a float.
type shape string

// modelShapes are the shapes of histograms.
func modelShapes() []shape { return []shape{"int", "float", "gauge", "custom"} }

// histogram is the histogram of a value that is one.
func (v value) histogram() storage.Histogram {
	switch n := int64(v.v); v.shape {
	case "int":
		return storagetest.IntHistogram(n)
	case "float":
		return storagetest.FloatHistogram(n)
	case "gauge":
		return storagetest.GaugeHistogram(n)
	default:
		return storagetest.CustomHistogram(n)
	}
}

// MarshalText implements encoding.TextMarshaler.
func (v value) MarshalText() ([]byte, error) {
	var out []byte
	text := strconv.FormatFloat(v.v, 'g', -1, 64)
	back, err := strconv.ParseFloat(text, 64)
	switch {
	case v.shape != "":
		out = fmt.Appendf(nil, "%s %d", v.shape, int64(v.v))
	case column.IsStale(v.v):
		out = []byte("stale")
	case err == nil && math.Float64bits(back) == math.Float64bits(v.v):
		out = []byte(text)
	default:
		out = fmt.Appendf(nil, "bits %016x", math.Float64bits(v.v))
	}
	if v.start != 0 {
		out = fmt.Appendf(out, " from %d", v.start)
	}
	return out, nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (v *value) UnmarshalText(in []byte) (err error) {
	*v = value{}
	text, start, has := strings.Cut(string(in), " from ")
	if has {
		if v.start, err = strconv.ParseInt(start, 10, 64); err != nil {
			return err
		}
	}
	kind, number, of := strings.Cut(text, " ")
	switch {
	case text == "stale":
		v.v = column.StaleNaN()
	case !of:
		v.v, err = strconv.ParseFloat(text, 64)
	case kind == "bits":
		var bits uint64
		bits, err = strconv.ParseUint(number, 16, 64)
		v.v = math.Float64frombits(bits)
	default:
		var n int64
		n, err = strconv.ParseInt(number, 10, 64)
		v.v, v.shape = float64(n), shape(kind)
	}
	return err
}

// floatsFirst returns a row in the order of a batch, where results count through
// floats and then through histograms.
func (r row) floatsFirst() row {
	out := row{At: r.At, BodyStale: r.BodyStale}
	for _, histograms := range []bool{false, true} {
		for i, v := range r.Values {
			if (v.shape != "") == histograms {
				out.Names, out.Values = append(out.Names, r.Names[i]), append(out.Values, v)
			}
		}
	}
	return out
}

// fill makes a batch of a row's values for the slots of its names.
func (r row) fill(b *storage.Batch, slots []storage.Resolution) {
	for i, v := range r.Values {
		start := int64(0)
		if v.start != 0 {
			start = base + v.start
		}
		if v.shape != "" {
			b.Histograms = append(b.Histograms, storage.HistogramSample{Slot: slots[i].Slot, Histogram: v.histogram(), Start: start})
			continue
		}
		if start != 0 && b.Starts == nil {
			b.Starts = make([]int64, len(b.Slots), len(r.Values))
		}
		b.Slots, b.Values = append(b.Slots, slots[i].Slot), append(b.Values, v.v)
		if b.Starts != nil {
			b.Starts = append(b.Starts, start)
		}
	}
}

// TestScriptText: a script that is printed and read again is the same.
func TestScriptText(t *testing.T) {
	for seed := range uint64(8) {
		text := drawScript(seed, 200).String()
		s, err := parseScript(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if again := s.String(); again != text {
			t.Errorf("script %d is another one when it is read:\n%s", seed, again)
		}
	}
}
