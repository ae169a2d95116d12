package corpus_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
)

func TestRecordings(t *testing.T) {
	for _, name := range corpus.Names() {
		t.Run(name, func(t *testing.T) {
			r, err := corpus.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			last := int64(0)
			for i := range 20 {
				s, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if s.Failed() || len(s.Body) < 10000 || s.Body[len(s.Body)-1] != '\n' {
					t.Fatalf("scrape %d has %d bytes", i, len(s.Body))
				}
				if step := s.UnixMs - last; i > 0 && (step < 4000 || step > 6000) {
					t.Fatalf("scrape %d is %d ms after the one before", i, step)
				}
				last = s.UnixMs
			}
		})
	}
}

func TestRedisHasAllScrapes(t *testing.T) {
	r, err := corpus.Open("redis")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	scrapes := 0
	for {
		_, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		scrapes++
	}
	if scrapes != 1644 {
		t.Fatalf("%d scrapes, want 1644", scrapes)
	}
}

func TestOpenUnknown(t *testing.T) {
	if _, err := corpus.Open("nothing"); err == nil {
		t.Fatal("a recording that does not exist was opened")
	}
}

func TestParse(t *testing.T) {
	got := ""
	err := corpus.Parse([]byte("# HELP a help\n# TYPE a gauge\na{x=\"1\"} 2\nb 3\n"), labels.NewSymbolTable(), func(s corpus.Series) {
		got += fmt.Sprintf("%s %s %v\n", s.Text, s.Labels(), s.Value)
	})
	if want := "a{x=\"1\"} {__name__=\"a\", x=\"1\"} 2\nb {__name__=\"b\"} 3\n"; err != nil || got != want {
		t.Errorf("%v, got:\n%s", err, got)
	}
	if err := corpus.Parse([]byte("a{ 2\n"), labels.NewSymbolTable(), func(corpus.Series) {}); err == nil {
		t.Error("no error")
	}
}
