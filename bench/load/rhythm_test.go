package load_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nilometer/nilometer/bench/load"
)

func TestRhythm(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
	r := load.NewRhythm(4, 10*time.Second)
	for i := range 100 {
		late := 0.0
		if i == 50 {
			late = 0.3
		}
		r.Note(0, at(float64(10*i)+late))
		if i < 20 || i >= 23 { // three are missing
			r.Note(1, at(float64(10*i)+1))
		}
		if i < 98 { // and two at the end
			r.Note(2, at(float64(10*i)+2))
		}
	}
	got := r.Regularity(4, at(999))
	want := load.Regularity{Requests: 100 + 97 + 98, Missed: 3 + 2, Silent: 1, Worst: 300 * time.Millisecond}
	if got.Worst = got.Worst.Round(time.Millisecond); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := r.Regularity(1, at(999)); got.Requests != 100 || got.Missed != 0 || got.P99.Round(time.Millisecond) != 300*time.Millisecond {
		t.Errorf("the first target alone: %+v", got) // two of 99 gaps are off
	}
	r.Reset()
	r.Note(0, at(1000))
	if got := r.Regularity(1, at(1001)); got.Requests != 1 || got.Missed != 0 || got.Worst != 0 {
		t.Errorf("after a reset: %+v", got)
	}
}

// TestHangingTargets: the last targets take requests and never answer.
func TestHangingTargets(t *testing.T) {
	l, err := load.New(load.Options{Targets: 10, Series: 20, Jobs: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := load.NewServer(l, load.Identity, time.Now)
	rhythm := load.NewRhythm(10, time.Second)
	s.Watch(rhythm)
	s.Hang(3)
	server := httptest.NewServer(s)
	defer server.Close()
	client := server.Client()
	client.Timeout = 50 * time.Millisecond
	for target, hangs := range map[string]bool{"0": false, "6": false, "7": true, "9": true} {
		resp, err := client.Get(server.URL + "/metrics/c/" + target)
		if err == nil {
			resp.Body.Close()
		}
		if hangs != (err != nil && strings.Contains(err.Error(), "Timeout")) {
			t.Errorf("target %s: error %v", target, err)
		}
	}
	if got := rhythm.Regularity(10, time.Now()); got.Requests != 4 || got.Silent != 6 {
		t.Errorf("%+v", got)
	}
}
