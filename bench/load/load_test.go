package load_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/nilometer/nilometer/bench/load"
)

const someTick = 1_790_000_000

func newLoad(t testing.TB, o load.Options) *load.Load {
	t.Helper()
	l, err := load.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// parsed is an exposition as Prometheus' parser reads it, in order.
type parsed struct {
	labels []string
	bits   []uint64
}

func parseBody(t testing.TB, body []byte) parsed {
	t.Helper()
	p, err := textparse.New(body, "text/plain; version=0.0.4", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out parsed
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("exposition is not valid: %v", err)
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, v := p.Series()
		var lset labels.Labels
		p.Labels(&lset)
		out.labels = append(out.labels, lset.String())
		out.bits = append(out.bits, math.Float64bits(v))
	}
}

func TestBodyIsWhatSamplesSays(t *testing.T) {
	for name, o := range map[string]load.Options{
		"default":            {Targets: 3, Series: 1000, Seed: 1},
		"everything changes": {Targets: 3, Series: 500, Seed: 2, Changing: 1},
		"nothing changes":    {Targets: 3, Series: 500, Seed: 3, Changing: -1, Churn: -1},
		"churn":              {Targets: 3, Series: 700, Seed: 4, Churn: 1},
		"one series":         {Targets: 1, Series: 1, Seed: 5},
		"many families":      {Targets: 1, Series: 2503, Seed: 6, Tick: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLoad(t, o)
			for _, tick := range []int64{0, 17, someTick, someTick + 3601} {
				for target := range l.Targets() {
					got := parseBody(t, l.AppendBody(nil, target, tick))
					if len(got.labels) != o.Series {
						t.Fatalf("target %d exposes %d series, want %d", target, len(got.labels), o.Series)
					}
					i := 0
					seen := map[string]bool{}
					l.Samples(target, tick, func(s load.Sample) bool {
						if want := labels.New(s.Labels...).String(); got.labels[i] != want {
							t.Fatalf("series %d is %s, Samples says %s", i, got.labels[i], want)
						}
						if got.bits[i] != math.Float64bits(s.Value) {
							t.Fatalf("%s is %x, Samples says %x", got.labels[i], got.bits[i], math.Float64bits(s.Value))
						}
						if seen[got.labels[i]] {
							t.Fatalf("%s is exposed twice", got.labels[i])
						}
						seen[got.labels[i]] = true
						i++
						return true
					})
				}
			}
		})
	}
}

func TestSeedDecides(t *testing.T) {
	body := func(seed uint64, tick int64) []byte {
		return newLoad(t, load.Options{Targets: 2, Series: 300, Seed: seed}).AppendBody(nil, 1, tick)
	}
	if !bytes.Equal(body(1, someTick), body(1, someTick)) {
		t.Error("the same seed makes different bodies")
	}
	if bytes.Equal(body(1, someTick), body(2, someTick)) {
		t.Error("different seeds make the same body")
	}
	if bytes.Equal(body(1, someTick), body(1, someTick+5)) {
		t.Error("five ticks change nothing")
	}
}

// changedShare is the share of samples that differ from those step ticks before.
func changedShare(t *testing.T, o load.Options, step int64) float64 {
	t.Helper()
	l := newLoad(t, o)
	var changed, all int
	before := parseBody(t, l.AppendBody(nil, 0, someTick))
	for i := int64(1); i <= 5; i++ {
		now := parseBody(t, l.AppendBody(nil, 0, someTick+i*step))
		for j := range now.bits {
			all++
			if now.bits[j] != before.bits[j] || now.labels[j] != before.labels[j] {
				changed++
			}
		}
		before = now
	}
	return float64(changed) / float64(all)
}

func TestShareThatChanges(t *testing.T) {
	for _, c := range []struct {
		changing, low, high float64
	}{{0, 0.16, 0.30}, {0.5, 0.4, 0.62}, {1, 0.97, 1}, {-1, 0, 0}} {
		got := changedShare(t, load.Options{Targets: 1, Series: 2000, Seed: 9, Changing: c.changing, Churn: -1}, 5)
		if got < c.low || got > c.high {
			t.Errorf("with changing=%g, %.3f of the samples change in 5 s, want %g to %g", c.changing, got, c.low, c.high)
		}
	}
}

func TestChurn(t *testing.T) {
	l := newLoad(t, load.Options{Targets: 1, Series: 6000, Seed: 3, Churn: 0.2})
	before, after := parseBody(t, l.AppendBody(nil, 0, someTick)), parseBody(t, l.AppendBody(nil, 0, someTick+3600))
	changed := 0
	for i := range before.labels {
		if before.labels[i] != after.labels[i] {
			changed++
		}
	}
	if share := float64(changed) / float64(len(before.labels)); share < 0.12 || share > 0.3 {
		t.Errorf("%.3f of the series have new labels after an hour, want about 0.2", share)
	}
}

// TestCountersOnlyFallAtRestarts follows I3 over two restarts.
func TestCountersOnlyFallAtRestarts(t *testing.T) {
	l := newLoad(t, load.Options{Targets: 1, Series: 150, Seed: 8, Restart: 2 * time.Minute, Churn: -1})
	last := map[string]float64{}
	resets := 0
	for tick := int64(someTick); tick < someTick+240; tick++ {
		fell := false
		var bucket, previous float64
		l.Samples(0, tick, func(s load.Sample) bool {
			lset := labels.New(s.Labels...)
			name := lset.Get(model.MetricNameLabel)
			if strings.HasSuffix(name, "_bucket") {
				if lset.Get("le") == "0.005" {
					previous = 0
				}
				if bucket = s.Value; bucket < previous {
					t.Fatalf("tick %d: %s = %g is below the bucket before it (%g)", tick, lset, bucket, previous)
				}
				previous = bucket
			}
			if strings.HasSuffix(name, "_count") && s.Value != previous {
				t.Fatalf("tick %d: %s = %g, the last bucket has %g", tick, lset, s.Value, previous)
			}
			for _, suffix := range []string{"_bucket", "_sum", "_count", "_total"} {
				if key := lset.String(); strings.HasSuffix(name, suffix) {
					fell = fell || s.Value < last[key]
					last[key] = s.Value
				}
			}
			return true
		})
		if fell {
			resets++
		}
	}
	if resets != 2 {
		t.Errorf("counters fall at %d ticks of 240, want 2: one for each restart", resets)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []load.Options{
		{Targets: -1}, {Series: -1}, {Series: 1e9}, {Targets: 2, Jobs: 3}, {Tick: time.Microsecond},
		{Restart: time.Second}, {Restart: 48 * time.Hour}, {Changing: 1.1}, {Churn: 2},
	} {
		if _, err := load.New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func BenchmarkBody(b *testing.B) {
	for name, changing := range map[string]float64{"usual": 0, "everything": 1} {
		b.Run(name, func(b *testing.B) {
			l := newLoad(b, load.Options{Targets: 100, Series: 1000, Seed: 1, Changing: changing})
			var body []byte
			for i := 0; b.Loop(); i++ {
				body = l.AppendBody(body[:0], i%100, someTick+int64(i/100))
			}
			b.ReportMetric(float64(len(body)), "B/body")
		})
	}
}
