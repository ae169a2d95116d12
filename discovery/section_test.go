package discovery_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/nilometer/nilometer/discovery"
	_ "github.com/nilometer/nilometer/discovery/builtin"
)

// read reads one entry of a section.
func read(t *testing.T, section, entry string) (discovery.Config, error) {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(section+":\n- "+strings.ReplaceAll(strings.TrimSpace(entry), "\n", "\n  ")), &doc); err != nil {
		t.Fatal(err)
	}
	return discovery.Read(section, doc.Content[0].Decode)
}

// apply makes a job of one entry.
func apply(t *testing.T, m *discovery.Manager, section, entry string) {
	t.Helper()
	c, err := read(t, section, entry)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Apply(map[string]discovery.Options{"a": {Others: []discovery.Config{c}}}); err != nil {
		t.Fatal(err)
	}
}

// addresses are those of the job, sorted.
func addresses(m *discovery.Manager) string {
	var out []string
	for _, g := range m.Groups()["a"] {
		for _, target := range g.Targets {
			out = append(out, target.Get("__address__"))
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("never: " + what)
		}
	}
}

// TestHTTP: targets of an endpoint come and go; one that fails keeps what it said
// last, and is a problem until it has recovered.
func TestHTTP(t *testing.T) {
	var answer atomic.Value
	answer.Store(`[{"targets":["a:1","b:1"],"labels":{"env":"x"}}]`)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answer.Load() == "" {
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, answer.Load())
	}))
	t.Cleanup(srv.Close)
	m := start(t)
	apply(t, m, "http_sd_configs", "url: "+srv.URL+"\nrefresh_interval: 50ms")
	eventually(t, "two targets", func() bool { return addresses(m) == "a:1 b:1" })
	answer.Store("")
	eventually(t, "a problem", func() bool { return len(m.Problems()) == 1 })
	if p := m.Problems()[0]; p.Job != "a" || p.Source != "http_sd_configs" || !strings.Contains(p.Text, "500") || addresses(m) != "a:1 b:1" {
		t.Errorf("%+v, %s", p, addresses(m))
	}
	answer.Store(`[{"targets":["b:1"]}]`)
	eventually(t, "one target, no problem", func() bool { return addresses(m) == "b:1" && len(m.Problems()) == 0 })
}

// TestConsul follows a server that answers as Consul does, blocking queries
// included.
func TestConsul(t *testing.T) {
	var index atomic.Int64
	index.Store(1)
	node := func(name string, port int) map[string]any {
		return map[string]any{
			"Node":    map[string]any{"Node": name, "Address": name + ".internal", "Datacenter": "dc1"},
			"Service": map[string]any{"ID": name, "Service": "web", "Tags": []string{"blue"}, "Port": port},
			"Checks":  []any{},
		}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body any
		switch path := r.URL.Path; {
		case path == "/v1/agent/self":
			body = map[string]any{"Config": map[string]any{"Datacenter": "dc1"}}
		case path == "/v1/catalog/services":
			body = map[string][]string{"web": {"blue"}}
		case path == "/v1/health/service/web":
			all := []any{node("n1", 80)}
			if index.Load() > 1 {
				all = append(all, node("n2", 81))
			}
			body = all
		default:
			http.NotFound(w, r)
			return
		}
		for r.URL.Query().Get("index") == fmt.Sprint(index.Load()) {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		w.Header().Set("X-Consul-Index", fmt.Sprint(index.Load()))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	m := start(t)
	apply(t, m, "consul_sd_configs", "server: "+strings.TrimPrefix(srv.URL, "http://")+"\nservices: [web]\nrefresh_interval: 50ms")
	eventually(t, "one node", func() bool { return addresses(m) == "n1.internal:80" })
	if got := m.Groups()["a"][0].Targets[0].Get("__meta_consul_tags"); got != ",blue," {
		t.Errorf("tags %q", got)
	}
	index.Store(2)
	eventually(t, "two nodes", func() bool { return addresses(m) == "n1.internal:80 n2.internal:81" })
	if err := m.Apply(nil); err != nil || addresses(m) != "" {
		t.Errorf("%v, %s", err, addresses(m))
	}
}

// TestDocker reads containers as the daemon's API lists them.
func TestDocker(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Api-Version", "1.44")
		switch path := r.URL.Path; {
		case strings.HasSuffix(path, "/containers/json"):
			fmt.Fprint(w, `[{"Id":"c1","Names":["/web"],"Labels":{"team":"a"},"State":"running","Ports":[{"IP":"0.0.0.0","PrivatePort":9100,"PublicPort":9100,"Type":"tcp"}],`+
				`"HostConfig":{"NetworkMode":"net"},"NetworkSettings":{"Networks":{"net":{"NetworkID":"n1","IPAddress":"172.17.0.2"}}}}]`)
		case strings.HasSuffix(path, "/networks"):
			fmt.Fprint(w, `[{"Id":"n1","Name":"net","Scope":"local"}]`)
		default:
			fmt.Fprint(w, `{}`)
		}
	}))
	t.Cleanup(srv.Close)
	m := start(t)
	apply(t, m, "docker_sd_configs", "host: "+srv.URL+"\nrefresh_interval: 50ms")
	eventually(t, "a container", func() bool { return addresses(m) == "172.17.0.2:9100" })
	if got := m.Groups()["a"][0].Targets[0].Get("__meta_docker_container_label_team"); got != "a" {
		t.Errorf("label %q", got)
	}
}

// TestUnknownSections are refused by name.
func TestUnknownSections(t *testing.T) {
	for section, want := range map[string]string{
		"http_sd_configs":   "URL is missing",
		"nobody_sd_configs": "no section",
	} {
		if _, err := read(t, section, "{}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", section, err, want)
		}
	}
}
