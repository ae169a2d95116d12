package alerting_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/alerting"
)

// webhook is what Alertmanager's webhook sends, as far as the test looks.
type webhook struct {
	Status string
	Alerts []struct {
		Status      string
		Labels      map[string]string
		Annotations map[string]string
	}
}

func receive(t *testing.T) (address string, got <-chan webhook) {
	t.Helper()
	c := make(chan webhook, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var w webhook
		if err := json.NewDecoder(r.Body).Decode(&w); err != nil {
			t.Errorf("webhook body: %v", err)
		}
		c <- w
	}))
	t.Cleanup(srv.Close)
	return srv.URL, c
}

func start(t *testing.T, dir string) *alerting.Manager {
	t.Helper()
	m, err := alerting.New(alerting.Deps{Dir: dir, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return m
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "alertmanager.yml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func wait(t *testing.T, got <-chan webhook) webhook {
	t.Helper()
	select {
	case w := <-got:
		return w
	case <-time.After(20 * time.Second):
		t.Fatal("no webhook arrived")
		return webhook{}
	}
}

func TestWebhookFiresAndResolves(t *testing.T) {
	address, got := receive(t)
	m := start(t, t.TempDir())
	file := write(t, `
route: {receiver: hook, group_wait: 10ms, group_interval: 100ms, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: "`+address+`"}]
`)
	if err := m.Apply(file, &url.URL{Scheme: "http", Host: "nilometer.test"}); err != nil {
		t.Fatal(err)
	}
	a := alerting.Alert{
		Labels:      labels.FromStrings("alertname", "Flood", "instance", "a"),
		Annotations: labels.FromStrings("summary", "water"),
		StartsAt:    time.Now(), EndsAt: time.Now().Add(time.Hour),
	}
	if err := m.Put(context.Background(), []alerting.Alert{a}); err != nil {
		t.Fatal(err)
	}
	w := wait(t, got)
	if w.Status != "firing" || len(w.Alerts) != 1 || w.Alerts[0].Labels["alertname"] != "Flood" || w.Alerts[0].Annotations["summary"] != "water" {
		t.Fatalf("webhook is %+v", w)
	}
	a.EndsAt = time.Now()
	if err := m.Put(context.Background(), []alerting.Alert{a}); err != nil {
		t.Fatal(err)
	}
	if w := wait(t, got); w.Status != "resolved" {
		t.Fatalf("webhook is %+v, want resolved", w)
	}
}

func TestBadConfigurationChangesNothing(t *testing.T) {
	address, got := receive(t)
	m := start(t, t.TempDir())
	good := write(t, `
route: {receiver: hook, group_wait: 10ms, group_interval: 100ms}
receivers:
  - name: hook
    webhook_configs: [{url: "`+address+`"}]
`)
	if err := m.Apply(good, &url.URL{}); err != nil {
		t.Fatal(err)
	}
	bad := write(t, "route: {receiver: nobody}\nreceivers: []\n")
	err := m.Apply(bad, &url.URL{})
	if err == nil || !strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "nobody") {
		t.Fatalf("error is %v, want one that names the file and the receiver", err)
	}
	now := time.Now()
	if err := m.Put(context.Background(), []alerting.Alert{{Labels: labels.FromStrings("alertname", "A"), StartsAt: now, EndsAt: now.Add(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	wait(t, got)
}

// The manager's directory is copied while it runs: that is what a crash leaves.
func TestCrashedManagerStillResolves(t *testing.T) {
	address, got := receive(t)
	file := write(t, `
route: {receiver: hook, group_wait: 10ms, group_interval: 100ms, repeat_interval: 1h}
receivers:
  - name: hook
    webhook_configs: [{url: "`+address+`"}]
`)
	dir, crashed := t.TempDir(), t.TempDir()
	first := start(t, dir)
	if err := first.Apply(file, &url.URL{}); err != nil {
		t.Fatal(err)
	}
	a := alerting.Alert{Labels: labels.FromStrings("alertname", "Flood"), StartsAt: time.Now(), EndsAt: time.Now().Add(time.Hour)}
	if err := first.Put(context.Background(), []alerting.Alert{a}); err != nil {
		t.Fatal(err)
	}
	if w := wait(t, got); w.Status != "firing" {
		t.Fatalf("webhook is %+v, want firing", w)
	}
	var log []byte
	for deadline := time.Now().Add(20 * time.Second); len(log) == 0; time.Sleep(10 * time.Millisecond) {
		if log, _ = os.ReadFile(filepath.Join(dir, "nflog")); time.Now().After(deadline) {
			t.Fatal("the notification log was not saved")
		}
	}
	if err := os.WriteFile(filepath.Join(crashed, "nflog"), log, 0o600); err != nil {
		t.Fatal(err)
	}
	second := start(t, crashed)
	if err := second.Apply(file, &url.URL{}); err != nil {
		t.Fatal(err)
	}
	a.EndsAt = time.Now()
	if err := second.Put(context.Background(), []alerting.Alert{a}); err != nil {
		t.Fatal(err)
	}
	if w := wait(t, got); w.Status != "resolved" {
		t.Fatalf("webhook is %+v, want resolved", w)
	}
}
