//go:build e2e

package test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A bomb of this many values goes off in bombSteps scrapes of bombInterval each;
// NILOMETER_BOMB_VALUES (make bomb) sets another number, and then the scrapes of a
// minute.
const (
	bombValues   = 50_000
	bombSteps    = 6
	bombInterval = time.Second

	bigBombSteps    = 12
	bigBombInterval = 5 * time.Second
)

// bomb is an exporter whose every answer has new values of a label besides all
// that it had before, until there are enough.
type bomb struct {
	*httptest.Server
	values, steps int
	answered      atomic.Int64
}

func newBomb(t *testing.T, values, steps int) *bomb {
	b := &bomb{values: values, steps: steps}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := min(int(b.answered.Load())+1, steps)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		out := bufio.NewWriterSize(w, 1<<16)
		_, _ = fmt.Fprintf(out, "# TYPE steady gauge\nsteady 1\n# TYPE bomb_requests_total counter\n")
		for i := range values / steps * n {
			_, _ = fmt.Fprintf(out, "bomb_requests_total{path=\"/api\",session=\"%08x-cafe-%d\"} %d\n", uint32(i)*2654435761, i, n)
		}
		if out.Flush() == nil {
			b.answered.Add(1)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// bystanders are exporters that nobody did anything to.
const bystanders = 5

// TestCardinalityBomb lets a target bring ever more values of a label, under
// every policy. Whatever becomes of them, the process stays in its memory limit,
// of each other target every scrape is stored whole and none is missed, and API,
// event and metric name job, metric and label.
func TestCardinalityBomb(t *testing.T) {
	values, steps, interval, limits := bombValues, bombSteps, bombInterval, []int64{256 << 20}
	if text := os.Getenv("NILOMETER_BOMB_VALUES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < bigBombSteps {
			t.Fatalf("NILOMETER_BOMB_VALUES=%s is no number of values from %d on", text, bigBombSteps)
		}
		values, steps, interval, limits = n, bigBombSteps, bigBombInterval, []int64{512 << 20, 1 << 30}
	}
	for _, limit := range limits {
		t.Run(fmt.Sprintf("%dMiB", limit>>20), func(t *testing.T) { testBomb(t, values, steps, interval, limit) })
	}
}

// testBomb sets bombs off within a memory limit, bytes.
func testBomb(t *testing.T, values, steps int, interval time.Duration, limit int64) {
	// The limit is 1,000 values of a target, by an estimate with an error of 3.3 %;
	// hashed values are one of 64 more.
	for _, c := range []struct {
		policy     string
		least, max int // series of the bomb in the end
	}{
		{"report", values / 10, values},
		{"refuse", 900, 1150},
		{"drop_label", 900, 1150},
		{"replace", 900, 1150},
		{"hash", 900, 1250},
	} {
		t.Run(c.policy, func(t *testing.T) {
			b := newBomb(t, values, steps)
			s, others := explode(t, b, c.policy, limit, interval)
			most := s.watchMemory()
			begin := time.Now()
			for deadline := begin.Add(patience + time.Duration(steps)*2*interval); int(b.answered.Load()) < steps+2; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the bomb was scraped %d times in %v", b.answered.Load(), time.Since(begin))
				}
			}
			// The metrics of the process itself must have been scraped since.
			time.Sleep(2 * time.Second)
			peak := most()
			if peak > limit {
				t.Errorf("the process had %d MiB, its limit is %d", peak>>20, limit>>20)
			}
			for _, e := range others {
				s.wholeSince(e)
			}
			series, _ := s.number(`count(bomb_requests_total)`)
			if int(series) < c.least || int(series) > c.max {
				t.Errorf("%v series of the bomb, want %d to %d", series, c.least, c.max)
			}
			s.namesCulprit(c.policy)
			if v, ok := s.number(`steady`); !ok || v != 1 {
				t.Errorf("what the target had before is gone: %v", v)
			}
			t.Logf("%d values in %d scrapes within %v: %v series, at most %d MiB, %v refused for memory", values, steps,
				time.Since(begin).Round(time.Second), series, peak>>20, s.metric("nilometer_tsdb_samples_rejected_total", `reason="memory"`))
			s.stop()
		})
	}
}

// explode starts a server that scrapes the bomb and, each second, bystanders.
func explode(t *testing.T, b *bomb, policy string, limit int64, interval time.Duration) (*server, []*countingExporter) {
	t.Helper()
	dir := t.TempDir()
	host := func(u string) string { return strings.TrimPrefix(u, "http://") }
	var config strings.Builder
	fmt.Fprintf(&config, "global: {scrape_interval: 1s}\nnilometer: {self_scrape: true, storage: {memory_limit: %dB}, limits: {label_values_policy: %s}}\nscrape_configs:\n", limit, policy)
	fmt.Fprintf(&config, "- {job_name: culprit, scrape_interval: %s, static_configs: [{targets: ['%s']}]}\n", interval, host(b.URL))
	others := make([]*countingExporter, bystanders)
	for i := range others {
		others[i] = newCountingExporter(t)
		fmt.Fprintf(&config, "- {job_name: bystander%d, static_configs: [{targets: ['%s']}]}\n", i, host(others[i].URL))
	}
	return start(t, filepath.Join(dir, "data"), write(t, dir, "config.yml", config.String())), others
}

// wholeSince expects every answer of an exporter to be stored, each with all of
// its series, and none of the scrapes due to be missing.
func (s *server) wholeSince(e *countingExporter) {
	s.t.Helper()
	served := e.scrapes.Load()
	instance := fmt.Sprintf(`instance="%s"`, strings.TrimPrefix(e.URL, "http://"))
	counters := s.query(`counted_total{` + instance + `}[1h]`)
	if len(counters) != 1 {
		s.t.Errorf("%d series of counted_total{%s}", len(counters), instance)
		return
	}
	last := point{}
	for i, p := range counters[0].Values {
		if p.v != strconv.Itoa(i+1) {
			s.t.Errorf("%s: at %d is answer %s, want %d: one is lost", instance, p.t, p.v, i+1)
			return
		}
		if i > 0 && p.t-last.t >= 2000 {
			s.t.Errorf("%s: no scrape for %d ms before %d", instance, p.t-last.t, p.t)
		}
		last = p
	}
	n := len(counters[0].Values)
	if int64(n) < served {
		s.t.Errorf("%s: of %d answers %d are stored", instance, served, n)
	}
	for _, x := range s.query(fmt.Sprintf(`counted{%s}[1h] @ %.3f`, instance, float64(last.t)/1000)) {
		if len(x.Values) != n {
			s.t.Errorf("%v has %d samples of %d", x.Metric, len(x.Values), n)
			continue
		}
		k, _ := strconv.Atoi(x.Metric["k"])
		for i, p := range x.Values {
			want, _ := strconv.ParseFloat(countedText(int64(i+1), k), 64)
			if got, err := strconv.ParseFloat(p.v, 64); err != nil || got != want || p.t != counters[0].Values[i].t {
				s.t.Errorf("%v at %d is %s, want %v", x.Metric, p.t, p.v, want)
				break
			}
		}
	}
}

// namesCulprit expects API, log and metrics to say where the values come from.
func (s *server) namesCulprit(policy string) {
	s.t.Helper()
	var status struct {
		OverLimit []struct {
			Job, Metric, Label, Policy string
			Values, Limit, NewSeries   uint64
		}
		Jobs struct{ BySeries []struct{ Name string } }
	}
	begin := time.Now()
	s.data("/api/v1/status/tsdb", url.Values{"limit": {"5"}}, &status)
	s.t.Logf("the API counted within %v", time.Since(begin))
	if len(status.OverLimit) == 0 {
		s.t.Error("the API names no label")
	} else if x := status.OverLimit[0]; x.Job != "culprit" || x.Metric != "bomb_requests_total" || x.Label != "session" || x.Policy != policy || x.Values < x.Limit*9/10 || x.NewSeries == 0 {
		s.t.Errorf("the API names %+v", x)
	}
	if jobs := status.Jobs.BySeries; policy == "report" && (len(jobs) == 0 || jobs[0].Name != "culprit") {
		s.t.Errorf("jobs with most series are %v", jobs)
	}
	event := false
	for line := range strings.Lines(s.stderr.String()) {
		event = event || strings.Contains(line, "a label has more values than its limit") && strings.Contains(line, "job=culprit") &&
			strings.Contains(line, "metric=bomb_requests_total") && strings.Contains(line, "label=session")
	}
	if !event {
		s.t.Errorf("no event names the label:\n%s", logLines(s.stderr.String(), 20))
	}
	if n := s.metric("nilometer_limits_label_series_over", `job="culprit",label="session",metric="bomb_requests_total"`); n < 1000 {
		s.t.Errorf("the metric counts %v series with a value too many", n)
	}
}
