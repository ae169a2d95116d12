//go:build e2e

package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const mainConfig = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: [%q], labels: {place: here}}]
  - job_name: counted
    scrape_interval: 200ms
    scrape_timeout: 200ms
    file_sd_configs: [{files: [targets/*.json]}]
nilometer:
  host_collector: true
  alerting: {config_file: alertmanager.yml}
  storage: {block_range: 4s, wal_sync_interval: 200ms, retention: {time: 1h}}
`

const mainRules = `
groups:
  - name: main
    interval: 1s
    rules:
      - record: e2e:level:max
        expr: max(e2e_level)
        labels: {origin: rule}
      - alert: LevelHigh
        expr: e2e_level > 10
        for: 2s
        labels: {severity: page}
        annotations: {summary: "level is {{ $value }}"}
`

const mainAlertmanager = `
route: {receiver: hook, group_by: [alertname], group_wait: 100ms, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: %q, send_resolved: true}]
`

// job is the main job: everything that the server is for, at the same time.
type job struct {
	*server
	t          *testing.T
	data, conf string
	node       string // address of the node exporter
	hook       *webhook
	books      *ledger
	levels     *ledger
}

// TestMainJob scrapes a real exporter and the built-in collector, takes pushes,
// cuts and compacts blocks, answers queries, raises an alert and sends it; it is
// killed in the middle of all that and goes on where it was.
func TestMainJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := &job{t: t, data: filepath.Join(dir, "data"), node: nodeExporter(t), hook: newWebhook(t),
		books: newLedger("e2e_pushed"), levels: newLedger("e2e_level")}
	exporter := newCountingExporter(t)
	j.conf = write(t, dir, "nilometer.yml", fmt.Sprintf(mainConfig, j.node))
	write(t, dir, "rules/main.yml", mainRules)
	write(t, dir, "alertmanager.yml", fmt.Sprintf(mainAlertmanager, j.hook.URL))
	write(t, dir, "targets/counted.json", fmt.Sprintf(`[{"targets": [%q], "labels": {"found": "by file"}}]`, strings.TrimPrefix(exporter.URL, "http://")))

	j.server = start(t, j.data, j.conf)
	endLoad := j.load("before")
	j.checkNode()
	j.checkPromtool()
	activeAt := j.raiseAlert()
	j.waitForBlocks()

	visible := j.counted()
	acknowledgedAt := time.Now()
	seen := j.books.verify(t, &j.client)
	time.Sleep(time.Until(acknowledgedAt.Add(1100 * time.Millisecond)))
	j.kill()
	endLoad()

	j.server = start(t, j.data, j.conf)
	endLoad = j.load("after")
	after := j.counted()
	for at, n := range visible {
		if after[at] != n {
			t.Fatalf("scrape %d at %d was visible more than 1 s before the kill; after the restart there is %d", n, at, after[at])
		}
	}
	if again := j.books.verify(t, &j.client); again < seen {
		t.Fatalf("%d pushed samples after the restart, %d before", again, seen)
	}
	j.levels.verify(t, &j.client)
	var restored alertState
	eventually(t, "the first evaluation after the restart", func() error {
		if restored = j.alert(); restored.State == "" {
			return errors.New("no alert")
		}
		return nil
	})
	if restored.State != "firing" || !restored.ActiveAt.Equal(activeAt) {
		t.Fatalf("the alert after the restart is %+v, it was active since %s", restored, activeAt)
	}
	j.resolveAlert()
	endLoad()
	j.books.verify(t, &j.client)
	j.stop()
	if code, stdout, stderr := run(t, "tsdb", "verify", "--data.dir", j.data); code != 0 {
		t.Fatalf("tsdb verify: %d\n%s%s", code, stdout, stderr)
	}
}

// load pushes until the server is killed or the returned function is called.
func (j *job) load(name string) (end func()) {
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for w := range 2 {
		senders.Go(func() {
			j.books.pushUntil(stop, j.client, fmt.Sprintf("%s-%d", name, w), uint64(w), 10*time.Millisecond)
		})
	}
	return func() {
		close(stop)
		senders.Wait()
	}
}

// checkNode compares what is stored of the exporter with what it says, and
// with the built-in collector.
func (j *job) checkNode() {
	j.t.Helper()
	eventually(j.t, "two scrapes of every target", func() error {
		for _, name := range []string{"node", "counted", "host"} {
			if n, _ := j.number(fmt.Sprintf(`count_over_time(up{job=%q}[1m])`, name)); n < 2 {
				return fmt.Errorf("job %s has %v", name, n)
			}
		}
		return nil
	})
	for target, up := range j.values("up", "job") {
		if up != "1" {
			j.t.Fatalf("up of %s is %s", target, up)
		}
	}
	said, err := exposition("http://" + j.node + "/metrics")
	if err != nil {
		j.t.Fatal(err)
	}
	constants := 0
	for series, text := range said {
		name, _, _ := strings.Cut(series, "{")
		switch name {
		case "node_boot_time_seconds", "node_memory_MemTotal_bytes", "node_uname_info", "node_cpu_info", "node_exporter_build_info", "node_filesystem_size_bytes":
		default:
			continue
		}
		constants++
		selector := strings.Replace(series, "{", `{job="node",place="here",`, 1)
		if selector == series {
			selector += `{job="node",place="here"}`
		}
		result := j.query(selector)
		if len(result) != 1 || !sameNumber(result[0].Value.v, text) {
			j.t.Fatalf("%s: the exporter says %s, the answer is %v", series, text, result)
		}
		if result[0].Metric["instance"] != j.node {
			j.t.Fatalf("%s: instance %q, want %q", series, result[0].Metric["instance"], j.node)
		}
	}
	if constants < 4 {
		j.t.Fatalf("the exporter has only %d of the constants", constants)
	}
	for _, name := range []string{"node_memory_MemTotal_bytes", "node_boot_time_seconds", `count(node_cpu_seconds_total{mode="idle"}) by (job)`} {
		if got := j.values(name, "job"); got["node"] == "" || got["node"] != got["host"] {
			j.t.Errorf("%s: exporter and built-in collector differ: %v", name, got)
		}
	}
	eventually(j.t, "counters that grow", func() error {
		for _, name := range []string{"node", "host"} {
			if grown, ok := j.number(fmt.Sprintf(`sum(increase(node_cpu_seconds_total{job=%q}[1m]))`, name)); !ok || grown <= 0 {
				return fmt.Errorf("job %s: %v", name, grown)
			}
		}
		return nil
	})
	var targets struct {
		ActiveTargets []struct{ ScrapePool, Health, LastError, ScrapeURL string }
	}
	j.dataOf("/api/v1/targets", &targets)
	for _, target := range targets.ActiveTargets {
		if target.Health != "up" || target.LastError != "" {
			j.t.Errorf("target %+v", target)
		}
	}
	if len(targets.ActiveTargets) != 3 {
		j.t.Errorf("%d targets, want 3", len(targets.ActiveTargets))
	}
}

func (j *job) dataOf(path string, into any) {
	j.t.Helper()
	j.client.data(path, nil, into)
}

func sameNumber(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && math.Float64bits(x) == math.Float64bits(y)
}

// checkPromtool asks with Prometheus' own client.
func (j *job) checkPromtool() {
	j.t.Helper()
	said, err := exposition("http://" + j.node + "/metrics")
	if err != nil {
		j.t.Fatal(err)
	}
	want := said["node_boot_time_seconds"]
	instant := j.promtool("instant", j.url, `node_boot_time_seconds{job="node"}`)
	if len(instant) != 1 || !sameNumber(instant[0].Value.v, want) {
		j.t.Fatalf("promtool query instant: %v, want %s", instant, want)
	}
	now := time.Now()
	ranged := j.promtoolRange(`node_boot_time_seconds{job="node"}`, now.Add(-time.Second), now, 200*time.Millisecond)
	if len(ranged) != 1 || len(ranged[0].Values) < 2 {
		j.t.Fatalf("promtool query range: %v", ranged)
	}
	for _, p := range ranged[0].Values {
		if !sameNumber(p.v, want) {
			j.t.Fatalf("promtool query range: %v, want %s", p, want)
		}
	}
	raw := j.promtool("instant", j.url, "counted_total[1m]")
	if len(raw) != 1 || len(raw[0].Values) == 0 {
		j.t.Fatalf("promtool query instant of a matrix: %v", raw)
	}
}

// alertState is one alert as the API says it.
type alertState struct {
	State, Value        string
	Labels, Annotations map[string]string
	ActiveAt            time.Time
}

// alert returns the one alert, or none with state "".
func (j *job) alert() alertState {
	j.t.Helper()
	var out struct{ Alerts []alertState }
	j.dataOf("/api/v1/alerts", &out)
	switch len(out.Alerts) {
	case 0:
		return alertState{}
	case 1:
		return out.Alerts[0]
	}
	j.t.Fatalf("%d alerts, want at most one: %+v", len(out.Alerts), out.Alerts)
	return alertState{}
}

// ruleState returns the state of the alerting rule as /api/v1/rules says it.
func (j *job) ruleState() string {
	j.t.Helper()
	var out struct {
		Groups []struct {
			Name  string
			Rules []struct{ Name, Type, State, Health, LastError string }
		}
	}
	j.dataOf("/api/v1/rules", &out)
	if len(out.Groups) != 1 || out.Groups[0].Name != "main" || len(out.Groups[0].Rules) != 2 {
		j.t.Fatalf("groups: %+v", out.Groups)
	}
	for _, r := range out.Groups[0].Rules {
		if r.Health != "ok" && r.Health != "unknown" || r.LastError != "" {
			j.t.Fatalf("rule: %+v", r)
		}
	}
	return out.Groups[0].Rules[1].State
}

func (j *job) setLevel(v float64) {
	j.t.Helper()
	s := pushed{"e2e_level", "tank", []sample{{time.Now().UnixMilli(), v}}}
	j.levels.note([]pushed{s}, false)
	j.mustPush(s)
	j.levels.note([]pushed{s}, true)
}

func (j *job) waitForAlert(state string) (a alertState) {
	j.t.Helper()
	eventually(j.t, "the alert "+state, func() error {
		if a = j.alert(); a.State != state {
			return fmt.Errorf("it is %q", a.State)
		}
		return nil
	})
	return a
}

// raiseAlert follows the alert from nothing to its webhook.
func (j *job) raiseAlert() (activeAt time.Time) {
	j.t.Helper()
	if a := j.alert(); a.State != "" {
		j.t.Fatalf("an alert before its cause: %+v", a)
	}
	j.setLevel(5)
	time.Sleep(1500 * time.Millisecond) // an evaluation that finds nothing wrong
	if state := j.ruleState(); state != "inactive" {
		j.t.Fatalf("the rule is %s before its cause", state)
	}
	raised := time.Now()
	j.setLevel(20)
	pending := j.waitForAlert("pending")
	if pending.Annotations["summary"] != "level is 20" || pending.Labels["severity"] != "page" || pending.Labels["id"] != "tank" || pending.Value != "2e+01" {
		j.t.Fatalf("pending alert: %+v", pending)
	}
	firing := j.waitForAlert("firing")
	if !firing.ActiveAt.Equal(pending.ActiveAt) || firing.ActiveAt.Before(raised.Add(-time.Second)) {
		j.t.Fatalf("active since %s, then since %s; raised at %s", pending.ActiveAt, firing.ActiveAt, raised)
	}
	if state := j.ruleState(); state != "firing" {
		j.t.Fatalf("the rule is %s", state)
	}
	m := j.hook.wait(j.t, "firing")
	if len(m.Alerts) != 1 || m.Alerts[0].Labels["alertname"] != "LevelHigh" || m.Alerts[0].Annotations["summary"] != "level is 20" {
		j.t.Fatalf("webhook: %+v", m)
	}
	states := j.values("count_over_time(ALERTS[1m])", "alertstate")
	if states["pending"] == "" || states["firing"] == "" {
		j.t.Fatalf("ALERTS has the states %v", states)
	}
	eventually(j.t, "the recorded maximum", func() error {
		if v, _ := j.number(`e2e:level:max{origin="rule"}`); v != 20 {
			return fmt.Errorf("it is %v", v)
		}
		return nil
	})
	return firing.ActiveAt
}

func (j *job) resolveAlert() {
	j.t.Helper()
	j.setLevel(3)
	m := j.hook.wait(j.t, "resolved")
	if len(m.Alerts) != 1 || m.Alerts[0].Status != "resolved" || m.Alerts[0].Labels["alertname"] != "LevelHigh" {
		j.t.Fatalf("webhook: %+v", m)
	}
	j.waitForAlert("")
	if state := j.ruleState(); state != "inactive" {
		j.t.Fatalf("the rule is %s after the end of its cause", state)
	}
}

// waitForBlocks waits until blocks were cut and merged, and looks at the
// samples at every poll meanwhile.
func (j *job) waitForBlocks() {
	j.t.Helper()
	polls := 0
	eventually(j.t, "blocks that are cut and merged", func() error {
		j.books.verify(j.t, &j.client)
		j.counted()
		polls++
		cut := j.metric("nilometer_tsdb_cut_samples_total", "")
		merged := j.metric("nilometer_tsdb_compactions_total", `kind="level",result="ok"`)
		if cut == 0 || merged == 0 {
			return fmt.Errorf("%v samples cut, %v merges", cut, merged)
		}
		return nil
	})
	metas, err := filepath.Glob(filepath.Join(j.data, "store/block/*/*/meta.json"))
	if err != nil || len(metas) == 0 {
		j.t.Fatalf("no block in the data directory (%v)", err)
	}
	for _, name := range metas {
		content, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // merged meanwhile
		}
		if err != nil || !json.Valid(content) {
			j.t.Errorf("%s: %v: %s", name, err, content)
		}
	}
	j.t.Logf("complete at %d polls while blocks were cut and merged", polls)
}
