//go:build !all_sd

package config_test

import (
	"testing"

	"github.com/nilometer/nilometer/config"
)

// TestMissingDiscovery: a small build names what it has not got, and the way to it.
func TestMissingDiscovery(t *testing.T) {
	_, err := config.Parse([]byte("scrape_configs:\n  - job_name: a\n    kubernetes_sd_configs: [{role: pod}]\n"), "f.yml")
	const want = "f.yml:3: scrape_configs[0].kubernetes_sd_configs[0]: this binary is built without the discovery of kubernetes: use the full one (make build)"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
