//go:build e2e

package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nilometer/nilometer/bench/attack"
	"github.com/nilometer/nilometer/bench/procstat"
)

// The hostile server's memory limit.
const (
	hostileLimit     = "512MiB"
	hostileLimitSize = 512 << 20
)

const hostileConfig = `
global: {scrape_interval: 1s}
rule_files: [rules.yml]
nilometer: {self_scrape: true, storage: {memory_limit: ` + hostileLimit + `}}
`

const hostileRules = `
groups:
- name: alerts
  interval: 1s
  rules:
  - {alert: Load, expr: 'node_load1 > 1000'}
  - {alert: Idle, expr: '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) > 2'}
  - {alert: Full, expr: 'node_filesystem_avail_bytes / node_filesystem_size_bytes < 0.0001'}
`

// refusals are the errors that a hostile query may be answered with: each says
// what was too much.
var refusals = regexp.MustCompile(`^query exceeds the limit of \d+ .* in .* \(needs at least \d+\): .+|^query exceeds the limit of \d+ .*: it is expected to need about \d+, and was not begun: .+|^query timed out in query execution|^bad_data|must contain at least one non-empty matcher|same labelset|many-to-many|grouping labels must ensure unique matches`)

// TestHostileQueries asks fifty queries at once that are made to hurt, of 50,000
// series. Each is answered or refused with a reason, the process stays in its
// memory limit, and meanwhile every alert is evaluated and targets are scraped.
func TestHostileQueries(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	series, samples, err := attack.Fill(context.Background(), data, 50_000, 120)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d series, %d samples", series, samples)
	write(t, dir, "rules.yml", hostileRules)
	s := start(t, data, write(t, dir, "config.yml", hostileConfig))
	eventually(t, "the first evaluations", func() error { return s.evaluatedSince(time.Unix(0, 0)) })

	begin := time.Now()
	stop := s.watchMemory()
	queries := attack.Queries()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { s.attack(queries[i%len(queries)]) })
	}
	wg.Wait()
	if most := stop(); most > hostileLimitSize {
		t.Errorf("the process had %d MiB, its limit is %s", most>>20, hostileLimit)
	}
	// Rules and scrapes of a second each went on all the time.
	if err := s.evaluatedSince(time.Now().Add(-10 * time.Second)); err != nil {
		t.Error(err)
	}
	seconds := int(time.Since(begin).Seconds())
	scrapes, ok := s.number(fmt.Sprintf(`sum(count_over_time(up{job="nilometer"}[%ds]))`, seconds))
	if !ok || scrapes < float64(seconds)/2 {
		t.Errorf("%v scrapes in %d s", scrapes, seconds)
	}
	if missed, ok := s.number(`nilometer_rules_evaluations_missed_total`); !ok || missed > float64(seconds)/2 {
		t.Errorf("%v evaluations were missed in %d s", missed, seconds)
	}
	if _, body := s.get("/api/v1/status/active_queries", nil); strings.Contains(body, `"query"`) {
		t.Errorf("still active: %s", body)
	}
	s.stop()
}

// attack asks one query, which has five seconds.
func (s *server) attack(q attack.Query) {
	form := q.Form(time.Now())
	form.Set("timeout", "5s")
	resp, err := s.http.PostForm(s.url+q.Path(), form)
	if err != nil {
		s.t.Errorf("%s: %v", q.Name, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	var got struct{ Status, Error string }
	err = json.NewDecoder(resp.Body).Decode(&got)
	switch {
	case err != nil:
		s.t.Errorf("%s: %d: %v", q.Name, resp.StatusCode, err)
	case resp.StatusCode == http.StatusOK && got.Status == "success":
	case !slices.Contains([]int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusServiceUnavailable}, resp.StatusCode), !refusals.MatchString(got.Error):
		s.t.Errorf("%s: %d: %s", q.Name, resp.StatusCode, got.Error)
	}
}

// evaluatedSince tells whether every rule was evaluated after a time, without
// an error.
func (s *server) evaluatedSince(begin time.Time) error {
	_, body := s.get("/api/v1/rules", nil)
	var got struct {
		Data struct {
			Groups []struct {
				Rules []struct {
					Name, Health, LastError string
					LastEvaluation          time.Time
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		return err
	}
	if len(got.Data.Groups) != 1 || len(got.Data.Groups[0].Rules) != 3 {
		return fmt.Errorf("rules are %s", body)
	}
	for _, r := range got.Data.Groups[0].Rules {
		if r.Health != "ok" || !r.LastEvaluation.After(begin) {
			return fmt.Errorf("rule %s is %s (%s), last evaluated %s", r.Name, r.Health, r.LastError, r.LastEvaluation)
		}
	}
	return nil
}

// watchMemory notes the most anonymous memory that the process has until the
// function that it returns is called.
func (s *server) watchMemory() (stop func() int64) {
	end, done := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for {
			if m, err := procstat.ReadMemory(s.cmd.Process.Pid); err == nil {
				most = max(most, m.Anonymous)
			}
			select {
			case <-end:
				done <- most
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(end)
		return <-done
	}
}
