package server

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nilometer/nilometer/config"
)

// newNotices makes the gauge of what a configuration asks for in vain.
func newNotices(reg prometheus.Registerer) (*prometheus.GaugeVec, error) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nilometer_config_not_carried_out",
		Help: "Entries of the configuration that this version does not carry out, by section: where there is one, data may go nowhere that was meant to be sent.",
	}, []string{"section"})
	return g, reg.Register(g)
}

// tellNotices says what of the configuration that runs now is not carried out: in
// the log, as a metric, and to who asks for Notices.
func (s *server) tellNotices(c *config.Config) {
	s.unsupported.Reset()
	var texts []string
	for _, n := range c.Notices() {
		section, _, _ := strings.Cut(n.Path, "[")
		s.unsupported.WithLabelValues(section).Inc()
		texts = append(texts, n.Error())
		if n.Loses {
			s.logger.Error("the configuration asks for what this version does not do", "problem", n.Error())
		} else {
			s.logger.Warn("a key of the configuration is not read", "problem", n.Error())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = texts
}

// Notices implements httpapi.Server.
func (s *server) Notices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notices
}
