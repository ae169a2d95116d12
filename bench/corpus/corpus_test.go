package corpus_test

import (
	"errors"
	"io"
	"testing"

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
