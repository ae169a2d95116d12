package cli

import "strings"

// ignoredFlags are flags of Prometheus that are taken so that a command line
// goes on working, and have no effect: what they switch on is always on, or
// has no counterpart that could differ.
var ignoredFlags = []struct {
	name, why string
	isBool    bool
}{
	{"web.enable-lifecycle", "reload is always on; the process ends by signal", true},
	{"web.enable-remote-write-receiver", "remote write is always accepted", true},
}

// refusedFlags are the flags of Prometheus that have another name or place
// here, with the way out.
var refusedFlags = map[string]string{
	"agent":                 "a server without queries is configured under nilometer: in the configuration file",
	"auto-gomaxprocs":       "the CPU quota is always respected: remove the flag, or set GOMAXPROCS in the environment",
	"auto-gomemlimit":       "the memory limit is always respected: remove the flag, or set nilometer.storage.memory_limit in the configuration",
	"auto-gomemlimit.ratio": "set nilometer.storage.memory_limit in the configuration",

	"auto-gomemlimit.refresh-interval": "the memory limit is read at the start: remove the flag",

	"log.format": "logs are text lines with key=value: remove the flag",

	"web.config.file":                   "TLS and users are not supported yet: put a reverse proxy in front",
	"web.read-timeout":                  "the limit is fixed: remove the flag",
	"web.max-connections":               "the limit is fixed: remove the flag",
	"web.max-notifications-subscribers": "there are no live notifications: remove the flag",
	"web.route-prefix":                  "the path of --web.external-url is the prefix",
	"web.user-assets":                   "there are no user assets: remove the flag",
	"web.enable-otlp-receiver":          "OTLP is not supported yet: remove the flag",
	"web.remote-write-receiver.accepted-protobuf-messages": "the messages are chosen by content type: remove the flag",
	"web.console.templates":                                "there are no console templates: remove the flag",
	"web.console.libraries":                                "there are no console templates: remove the flag",
	"web.page-title":                                       "the title is fixed: remove the flag",
	"web.cors.origin":                                      "cross-origin requests are not supported yet: put a reverse proxy in front",
	"web.search.max-limit":                                 "there is no search API: remove the flag",

	"storage.tsdb.min-block-duration":                "use nilometer.storage.block_range in the configuration file",
	"storage.tsdb.max-block-duration":                "blocks grow with the retention: remove the flag",
	"storage.tsdb.max-block-chunk-segment-size":      "chunk files have one size: remove the flag",
	"storage.tsdb.wal-segment-size":                  "log segments have one size: remove the flag",
	"storage.tsdb.no-lockfile":                       "the lock protects the data and cannot be switched off: remove the flag",
	"storage.tsdb.allow-overlapping-compaction":      "overlapping blocks are always merged: remove the flag",
	"storage.tsdb.allow-overlapping-blocks":          "overlapping blocks are always merged: remove the flag",
	"storage.tsdb.wal-compression":                   "the log is always compact: remove the flag",
	"storage.tsdb.wal-compression-type":              "the log is always compact: remove the flag",
	"storage.tsdb.head-chunks-write-queue-size":      "there is no such queue: remove the flag",
	"storage.tsdb.samples-per-chunk":                 "tiles have 480 positions: remove the flag",
	"storage.tsdb.delayed-compaction.max-percent":    "compaction is staggered by itself: remove the flag",
	"storage.tsdb.delay-compact-file.path":           "there is no sidecar: remove the flag",
	"storage.tsdb.block-reload-interval":             "blocks appear by the manifest: remove the flag",
	"storage.tsdb.retention":                         "use --storage.tsdb.retention.time or nilometer.storage.retention.time in the configuration file",
	"storage.agent.path":                             "use --data.dir",
	"storage.agent.wal-segment-size":                 "log segments have one size: remove the flag",
	"storage.agent.wal-compression":                  "the log is always compact: remove the flag",
	"storage.agent.wal-compression-type":             "the log is always compact: remove the flag",
	"storage.agent.wal-truncate-frequency":           "the log is truncated at each cut: remove the flag",
	"storage.agent.retention.min-time":               "use --storage.tsdb.retention.time",
	"storage.agent.retention.max-time":               "use --storage.tsdb.retention.time",
	"storage.agent.no-lockfile":                      "the lock protects the data and cannot be switched off: remove the flag",
	"storage.agent.checkpoint-from-in-memory-series": "there is no such checkpoint: remove the flag",
	"storage.agent.checkpoint-batch-size":            "there is no such checkpoint: remove the flag",
	"storage.remote.flush-deadline":                  "remote write to others is not supported yet: remove the flag",
	"storage.remote.read-sample-limit":               "remote read is not supported yet: remove the flag",
	"storage.remote.read-concurrent-limit":           "remote read is not supported yet: remove the flag",
	"storage.remote.read-max-bytes-in-frame":         "remote read is not supported yet: remove the flag",

	"rules.alert.for-outage-tolerance":                  "alert states are kept in the metadata database and survive any outage: remove the flag",
	"rules.alert.for-grace-period":                      "alert states are kept in the metadata database and survive any outage: remove the flag",
	"rules.alert.resend-delay":                          "alerts are handed over in the process: remove the flag",
	"rules.max-concurrent-evals":                        "the limit is fixed: remove the flag",
	"alertmanager.notification-queue-capacity":          "alerts are handed over in the process: remove the flag",
	"alertmanager.notification-batch-size":              "alerts are handed over in the process: remove the flag",
	"alertmanager.drain-notification-queue-on-shutdown": "alerts are handed over in the process: remove the flag",
	"alertmanager.url":                                  "use nilometer.alerting.config_file in the configuration file",
	"scrape.adjust-timestamps":                          "timestamps within the tolerance are always aligned: remove the flag",
	"scrape.timestamp-tolerance":                        "the tolerance is 2ms: remove the flag",
	"scrape.discovery-reload-interval":                  "changes of targets take effect within 5 seconds: remove the flag",
	"write-documentation":                               "see README.md",
}

// refused returns the way out for a flag of Prometheus that is not taken.
func refused(name string) (way string, ok bool) {
	if way, ok = refusedFlags[name]; ok {
		return way, true
	}
	name, negated := strings.CutPrefix(name, "no-") // Prometheus' form of =false
	if !negated {
		return "", false
	}
	if _, ok = refusedFlags[name]; ok {
		return "remove the flag", true
	}
	for _, f := range ignoredFlags {
		if f.isBool && f.name == name {
			return f.why + ": remove the flag", true
		}
	}
	return "", false
}
