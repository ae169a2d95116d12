package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/server"
)

// TestAlertmanagers: an alert of a rule reaches the Alertmanagers that the section
// alerting names.
func TestAlertmanagers(t *testing.T) {
	got := make(chan string, 100)
	am := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		select {
		case got <- r.URL.Path + " " + r.Header.Get("User-Agent") + " " + string(body):
		default:
		}
	}))
	t.Cleanup(am.Close)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "r.yml"), "groups: [{name: g, interval: 1s, rules: [{alert: A, expr: vector(1), labels: {team: x}}]}]\n")
	conf := write(t, filepath.Join(dir, "c.yml"), `
global: {external_labels: {dc: eu}}
rule_files: [r.yml]
alerting:
  alert_relabel_configs: [{action: labeldrop, regex: team}]
  alertmanagers:
  - path_prefix: /am
    relabel_configs: [{source_labels: [__address__], regex: unwanted, action: drop}]
    static_configs: [{targets: ['`+strings.TrimPrefix(am.URL, "http://")+`', unwanted]}]
`)
	r := start(t, server.Options{DataDir: t.TempDir(), ListenAddress: "127.0.0.1:0", ConfigFile: conf})
	var first string
	r.wait("an alert", func() bool {
		select {
		case first = <-got:
			return true
		default:
			return false
		}
	})
	if !strings.HasPrefix(first, "/am/api/v2/alerts Nilometer/1.2.3 [") || !strings.Contains(first, `"labels":{"alertname":"A","dc":"eu"}`) {
		t.Error(first)
	}
	want := `{"activeAlertmanagers":[{"url":"` + am.URL + `/am/api/v2/alerts"}],"droppedAlertmanagers":[{"url":"http://unwanted/am/api/v2/alerts"}]}`
	if status, body := get(t, r.url()+"/api/v1/alertmanagers"); status != http.StatusOK || !strings.Contains(body, want) {
		t.Errorf("%d %s, want %s", status, body, want)
	}
	r.stop()
}
