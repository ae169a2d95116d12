package exposition_test

import (
	"bytes"
	"testing"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/format/exposition"
)

// comparable tells whether upstream's answer to body is one that we share;
// FORMAT.md, "Departures", has the reasons.
func isComparable(body []byte, f exposition.Format) bool {
	if bytes.IndexByte(body, 0) >= 0 {
		return false // upstream ends the body silently at some of them
	}
	if f == exposition.Text {
		for _, line := range bytes.Split(body, []byte{'\n'}) {
			if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
				return false // upstream makes the blanks part of the name
			}
		}
	}
	return true
}

func FuzzScanner(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s), []byte("a 1\n"), false)
	}
	for _, s := range openMetricsTexts {
		f.Add([]byte(s), []byte("a 1\n# EOF\n"), true)
	}
	f.Fuzz(func(t *testing.T, first, second []byte, openMetrics bool) {
		format := exposition.Text
		if openMetrics {
			format = exposition.OpenMetrics
		}
		k := newKeeper()
		for _, body := range [][]byte{first, second, first} {
			if isComparable(body, format) {
				agree(t, k, body, format)
			} else {
				_, _, _ = k.read(body, format)
			}
		}
	})
}

// TestCorpus follows real exporters through an hour's scrapes with one memory.
func TestCorpus(t *testing.T) {
	for _, name := range corpus.Names() {
		r, err := corpus.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		k := newKeeper()
		isNew, samples := 0, 0
		for i := range 200 {
			s, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if s.Failed() {
				continue
			}
			have, n, err := k.read(s.Body, exposition.Text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if i > 0 {
				isNew += n
				samples += k.scan.Samples()
			}
			if i%20 == 0 {
				want, err := upstream(s.Body, exposition.Text)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, have, want)
			}
		}
		if isNew*100 > samples*2 {
			t.Errorf("%s: %d of %d samples were new: the memory does not follow", name, isNew, samples)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
