package config

import "fmt"

// Notice is something that a configuration asks for and does not get, of this
// version or of the environment: the file is valid, and who wrote it has to know.
type Notice struct {
	Problem
	// Loses is set where data goes somewhere in Prometheus and nowhere here.
	Loses bool
}

// Notices are what of c is not carried out, in the order of the sections.
func (c *Config) Notices() []Notice { return c.notices }

// note collects the notices; report places them.
func (c *Config) note(notice func(loses bool, path, text string)) {
	for i, w := range c.RemoteWrite {
		notice(true, fmt.Sprintf("remote_write[%d]", i), fmt.Sprintf("this version does not send samples: %s gets none; they are stored here", w.URL.Redacted()))
	}
	for i, r := range c.RemoteRead {
		notice(true, fmt.Sprintf("remote_read[%d]", i), fmt.Sprintf("this version does not read from other stores: queries do not see what only %s has", r.URL.Redacted()))
	}
	if c.OTLP != nil {
		notice(true, "otlp", "this version does not take OTLP: senders are refused (404)")
	}
	if c.Tracing != nil {
		notice(true, "tracing", fmt.Sprintf("this version does not trace itself: %s gets no spans", c.Tracing.Endpoint))
	}
	for i, a := range c.Alerting.Alertmanagers {
		if a.SigV4 != nil {
			notice(true, fmt.Sprintf("alerting.alertmanagers[%d].sigv4", i), "this version does not sign requests: alerts are not sent to these Alertmanagers")
		}
	}
	for _, u := range c.unset {
		path, text := u.notice()
		notice(false, path, text)
	}
	if c.Runtime.LogLevel != "" {
		notice(false, "runtime.log_level", "not read: --log.level sets the level of the log")
	}
	if c.Storage.Exemplars != nil {
		notice(false, "storage.exemplars", "not read: the newest 100,000 exemplars of a tenant are kept")
	}
}
