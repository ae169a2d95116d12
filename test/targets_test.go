//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// nodeExporter starts Debian's prometheus-node-exporter and returns its
// address.
func nodeExporter(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		t.Fatalf("%v: `make tools` installs it", err)
	}
	address := freeAddress(t)
	p := startProcess(t, nil, path, "--web.listen-address="+address)
	eventually(t, "the node exporter", func() error {
		if !p.running() {
			t.Fatalf("the node exporter ended: %v", p.err)
		}
		_, err := exposition("http://" + address + "/metrics")
		return err
	})
	return address
}

// exposition reads the metrics of an exporter as text: value by series.
func exposition(url string) (map[string]string, error) {
	resp, err := http.Get(url) //nolint:gosec,noctx // an address of the test
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		out[line[:at]] = line[at+1:]
	}
	return out, nil
}

// countingExporter is an exporter whose every value follows from the number of
// the scrape, so that each stored sample can be judged by itself.
type countingExporter struct {
	*httptest.Server
	scrapes atomic.Int64
}

// countedSeries is the number of series besides the counter of scrapes.
const countedSeries = 20

func newCountingExporter(t *testing.T) *countingExporter {
	e := &countingExporter{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := e.scrapes.Add(1)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, "# TYPE counted_total counter\ncounted_total %d\n# TYPE counted gauge\n", n)
		for k := range countedSeries {
			_, _ = fmt.Fprintf(w, "counted{k=\"%d\"} %s\n", k, countedText(n, k))
		}
	}))
	t.Cleanup(e.Close)
	return e
}

// countedText is the value of series k at the nth scrape.
func countedText(n int64, k int) string {
	v := math.Sin(float64(n)*1000 + float64(k)) // noise in every bit
	switch {
	case k%4 == 1:
		v = float64(n) * float64(k)
	case k%4 == 2:
		v = float64(k) / 10 // constant
	case k == 3 && n%2 == 0:
		v = math.Inf(-1)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// counted reads what the server has of the exporter: the number of the scrape
// by time. Every sample must be what the exporter said at that scrape, and
// every scrape must be there whole.
func (c *client) counted() map[int64]int64 {
	c.t.Helper()
	counters := c.query("counted_total[1h]")
	if len(counters) == 0 {
		return nil
	}
	if len(counters) > 1 {
		c.t.Fatalf("counted_total: %d series", len(counters))
	}
	byTime := map[int64]int64{}
	last := int64(0)
	for _, p := range counters[0].Values {
		n, err := strconv.ParseInt(p.v, 10, 64)
		if err != nil || n <= last {
			c.t.Fatalf("counted_total at %d: %q after %d (%v)", p.t, p.v, last, err)
		}
		last, byTime[p.t] = n, n
	}
	newest := counters[0].Values[len(counters[0].Values)-1].t
	all := c.query("counted[1h]")
	if len(all) != countedSeries {
		c.t.Fatalf("counted: %d series, want %d", len(all), countedSeries)
	}
	for _, e := range all {
		k, err := strconv.Atoi(e.Metric["k"])
		if err != nil {
			c.t.Fatal(err)
		}
		known := 0
		for _, p := range e.Values {
			if p.t > newest {
				break // scraped between the two queries
			}
			n, ok := byTime[p.t]
			want, _ := strconv.ParseFloat(countedText(n, k), 64)
			if got, err := strconv.ParseFloat(p.v, 64); !ok || err != nil || math.Float64bits(got) != math.Float64bits(want) {
				c.t.Fatalf("counted{k=\"%d\"} at %d, scrape %d: got %s, want %v", k, p.t, n, p.v, want)
			}
			known++
		}
		if known != len(byTime) {
			c.t.Fatalf("counted{k=\"%d\"}: %d samples in %d scrapes", k, known, len(byTime))
		}
	}
	return byTime
}

// webhook receives what alerting sends.
type webhook struct {
	*httptest.Server
	messages chan webhookMessage
}

// webhookMessage is Alertmanager's, as far as the tests look.
type webhookMessage struct {
	Status string
	Alerts []struct {
		Status      string
		Labels      map[string]string
		Annotations map[string]string
		StartsAt    time.Time
		EndsAt      time.Time
	}
}

func newWebhook(t *testing.T) *webhook {
	h := &webhook{messages: make(chan webhookMessage, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m webhookMessage
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.messages <- m
	}))
	t.Cleanup(h.Close)
	return h
}

// wait returns the next message with a status.
func (h *webhook) wait(t *testing.T, status string) webhookMessage {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case m := <-h.messages:
			if m.Status == status {
				return m
			}
		case <-timeout:
			t.Fatalf("no webhook %q arrived within %s", status, patience)
		}
	}
}
