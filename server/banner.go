package server

import (
	"fmt"
	"strings"

	"github.com/nilometer/nilometer/config"
)

// banner is what a person wants to know when the server has started: where it
// is, what it watches, what to ask.
func (s *server) banner(c *config.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nNilometer %s is running: %s\n\n", s.opts.Version, s.externalURL)
	fmt.Fprintf(&b, "  data      %s (kept for %s)\n", s.opts.DataDir, s.Retention())
	fmt.Fprintf(&b, "  scraping  %s\n", strings.Join(s.scraped(c), "\n            "))
	fmt.Fprintf(&b, "\nQueries to paste:\n")
	for _, q := range queries(c) {
		fmt.Fprintf(&b, "  %s\n", q)
	}
	b.WriteString("\n")
	return b.String()
}

func (s *server) scraped(c *config.Config) []string {
	var out []string
	if c.Nilometer.SelfScrape {
		out = append(out, fmt.Sprintf("this server (job %q) every %s", selfJob, c.Global.ScrapeInterval))
	}
	if c.Nilometer.HostCollector {
		out = append(out, fmt.Sprintf("this machine, %s (job %q) every %s", s.hostname, hostJob, c.Global.ScrapeInterval))
	}
	const shown = 5
	for i, sc := range c.ScrapeConfigs {
		if i == shown {
			out = append(out, fmt.Sprintf("and %d more jobs", len(c.ScrapeConfigs)-shown))
			break
		}
		out = append(out, fmt.Sprintf("job %q every %s", sc.JobName, sc.ScrapeInterval))
	}
	if len(out) == 0 {
		out = append(out, "nothing: the configuration has no scrape_configs")
	}
	return out
}

func queries(c *config.Config) []string {
	if c.Nilometer.HostCollector {
		return []string{
			`100 * (1 - sum(rate(node_cpu_seconds_total{mode="idle"}[1m])) / sum(rate(node_cpu_seconds_total[1m])))`,
			`node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes`,
			`sum by (device) (rate(node_network_receive_bytes_total[1m]))`,
		}
	}
	return []string{
		`up`,
		`topk(5, scrape_samples_scraped)`,
		`avg by (job) (scrape_duration_seconds)`,
	}
}
