//go:build e2e

package test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const restartRules = `
groups:
  - name: whole
    interval: 1s
    rules:
      - {record: "wide:count", expr: count(wide)}
      - {record: "wide:absent", expr: absent(wide)}
`

// TestRestartAnswersWholly kills a server with many series and asks the next one
// from its first moment on: an answer is complete or 503, and no rule sees a
// part.
func TestRestartAnswersWholly(t *testing.T) {
	t.Parallel()
	const series, perRequest, samples = 100_000, 10_000, 4
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	quiet := write(t, dir, "quiet.yml", "nilometer: {}\n")
	s := start(t, data, quiet)
	now := time.Now().UnixMilli()
	for from := 0; from < series; from += perRequest {
		batch := make([]pushed, perRequest)
		for i := range batch {
			batch[i] = pushed{name: "wide", id: strconv.Itoa(from + i)}
			for k := range samples {
				batch[i].samples = append(batch[i].samples, sample{now - int64(samples-1-k)*1000, float64(i * k)})
			}
		}
		s.mustPush(batch...)
	}
	if n, _ := s.number("count(wide)"); n != series {
		t.Fatalf("count(wide) = %v before the kill, want %d", n, series)
	}
	s.kill()

	write(t, dir, "rules.yml", restartRules)
	ruled := write(t, dir, "ruled.yml", "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n")
	next := launch(t, "--data.dir", data, "--config.file", ruled, "--web.listen-address", "127.0.0.1:0")
	unavailable, complete := 0, 0
	for complete < 3 {
		// The short timeout meets the replay under way, the long one waits for it.
		timeout := "20ms"
		if unavailable >= 5 {
			timeout = "1m"
		}
		if next.askWide(series, samples, timeout) {
			complete++
		} else if unavailable++; unavailable > 100_000 {
			t.Fatal("queries stay unavailable")
		}
	}
	t.Logf("%d answers were 503 before the first complete one", unavailable)
	next.waitReady()
	eventually(t, "two evaluations of the rules", func() error {
		n, _ := next.number(`count_over_time(wide:count[5m])`)
		if n < 2 {
			return errString("too few")
		}
		return nil
	})
	for _, e := range next.query("wide:count[5m]") {
		for _, p := range e.Values {
			if p.v != strconv.Itoa(series) {
				t.Errorf("a rule counted %s of %d series at %d", p.v, series, p.t)
			}
		}
	}
	if absent := next.query("wide:absent[5m]"); len(absent) > 0 {
		t.Errorf("a rule found nothing: %v", absent)
	}
	next.stop()
}

type errString string

func (e errString) Error() string { return string(e) }

// askWide asks for all series in several ways and tells whether all answers
// were complete; false means 503. Anything else fails the test.
func (s *server) askWide(series, samples int, timeout string) bool {
	s.t.Helper()
	for _, ask := range []struct {
		path, query string
		want        int
	}{
		{"/api/v1/query", "count(wide)", series},
		{"/api/v1/query", "sum(count_over_time(wide[1h]))", series * samples},
		{"/api/v1/label/id/values", "", series},
	} {
		params := url.Values{"timeout": {timeout}}
		if ask.query != "" {
			params.Set("query", ask.query)
		} else {
			params.Set("match[]", "wide")
		}
		status, body := s.get(ask.path, params)
		if status == http.StatusServiceUnavailable {
			var e struct{ ErrorType string }
			if err := json.Unmarshal([]byte(body), &e); err != nil || e.ErrorType != "unavailable" && e.ErrorType != "timeout" {
				s.t.Fatalf("%s %s: 503 with %s", ask.path, ask.query, body)
			}
			return false
		}
		if status != http.StatusOK {
			s.t.Fatalf("%s %s: %d: %s", ask.path, ask.query, status, body)
		}
		if ask.query == "" {
			var values []string
			decode(s.t, body, &values)
			if len(values) != ask.want {
				s.t.Fatalf("%s answered 200 with %d values, want %d", ask.path, len(values), ask.want)
			}
			continue
		}
		var out struct{ Result []element }
		decode(s.t, body, &out)
		if len(out.Result) != 1 || out.Result[0].Value.v != strconv.Itoa(ask.want) {
			s.t.Fatalf("%s answered 200 with %v, want %d", ask.query, out.Result, ask.want)
		}
	}
	return true
}
