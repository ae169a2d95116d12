package exposition_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/format/exposition"
)

func bodies(b *testing.B, name string) [][]byte {
	b.Helper()
	r, err := corpus.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var out [][]byte
	for len(out) < 60 {
		s, err := r.Next()
		if err != nil {
			b.Fatal(err)
		}
		if !s.Failed() {
			out = append(out, bytes.Clone(s.Body))
		}
	}
	return out
}

// BenchmarkScan reads successive scrapes of one target and reports ns/sample:
// with the line memory, without it, and by upstream's parser.
func BenchmarkScan(b *testing.B) {
	for _, name := range corpus.Names() {
		all, o := bodies(b, name), exposition.Options{Format: exposition.Text}
		b.Run(name+"/memory", func(b *testing.B) { scan(b, all, o, false) })
		b.Run(name+"/none", func(b *testing.B) { scan(b, all, o, true) })
		b.Run(name+"/upstream", func(b *testing.B) { reference(b, all, o) })
	}
}

func scan(b *testing.B, all [][]byte, o exposition.Options, forget bool) {
	var mem exposition.Memory
	var s exposition.Scanner
	samples := 0
	for i := 0; b.Loop(); i++ {
		if forget {
			mem.Forget(nil)
		}
		if err := s.Scan(&mem, all[i%len(all)], o); err != nil {
			b.Fatal(err)
		}
		for j := range s.New {
			_ = s.Labels(j)
			s.Remember(j, exposition.Ref{Slot: uint32(j)})
		}
		s.Commit(&mem)
		samples += s.Samples()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
}

func reference(b *testing.B, all [][]byte, o exposition.Options) {
	st := labels.NewSymbolTable()
	samples := 0
	var l labels.Labels
	for i := 0; b.Loop(); i++ {
		p := textparse.NewPromParser(all[i%len(all)], st, false)
		if o.Format == exposition.Protobuf {
			p = textparse.NewProtobufParser(all[i%len(all)], false, false, false, false, st)
		}
		for {
			e, err := p.Next()
			if err != nil {
				break
			}
			if e == textparse.EntrySeries {
				p.Labels(&l)
				samples++
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(samples), "ns/sample")
}

// BenchmarkScanProtobuf does the same with the bodies written as protobuf.
func BenchmarkScanProtobuf(b *testing.B) {
	for _, name := range corpus.Names() {
		all := bodies(b, name)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		for i, body := range all {
			families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
			if err != nil {
				b.Skipf("no families in %s: %v", name, err)
			}
			var buf bytes.Buffer
			enc := expfmt.NewEncoder(&buf, expfmt.NewFormat(expfmt.TypeProtoDelim))
			for _, key := range slices.Sorted(maps.Keys(families)) {
				if err := enc.Encode(families[key]); err != nil {
					b.Fatal(err)
				}
			}
			all[i] = buf.Bytes()
		}
		o := exposition.Options{Format: exposition.Protobuf, Native: true}
		b.Run(name+"/memory", func(b *testing.B) { scan(b, all, o, false) })
		b.Run(name+"/none", func(b *testing.B) { scan(b, all, o, true) })
		b.Run(name+"/upstream", func(b *testing.B) { reference(b, all, o) })
	}
}
