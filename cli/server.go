package cli

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/server"
)

// newServer is the root command: without a subcommand it runs the server.
func newServer(streams Streams, build Build) *cobra.Command {
	opts := server.Options{Version: build.Version, Revision: build.Revision}
	var retention, size, level, autoReload string
	var limits queryFlags
	cmd := &cobra.Command{
		Use:   "nilometer",
		Short: "Scrapes, receives, stores, queries, rules, alerts and shows metrics",
		Long: `Nilometer scrapes, receives, stores, queries, rules, alerts and shows metrics.

Without --config.file it watches itself and this machine. With one, a
prometheus.yml, it does only what the file says.`,
		Version: versionLine(build),
		Args:    args(cobra.NoArgs, "nilometer --help"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(streams, level)
			if err != nil {
				return usageError{err}
			}
			if opts.AutoReloadInterval, err = parseDuration("config.auto-reload-interval", autoReload); err != nil {
				return usageError{err}
			}
			if opts.RetentionTime, err = parseDuration("storage.tsdb.retention.time", retention); err != nil {
				return usageError{err}
			}
			if size != "" {
				n, err := units.ParseBase2Bytes(size)
				if err != nil || n < 0 {
					return usageError{fmt.Errorf("--storage.tsdb.retention.size: %q is no size: write it like 512MB or 100GB", size)}
				}
				opts.RetentionSize = uint64(n)
			}
			if p := opts.RetentionPercent; p < 0 || p > 100 {
				return usageError{fmt.Errorf("--storage.tsdb.retention.percentage: %v is not between 0 and 100", p)}
			}
			if err := limits.apply(&opts); err != nil {
				return usageError{err}
			}
			for _, f := range ignoredFlags {
				if cmd.Flags().Changed(f.name) {
					logger.Info("flag without effect", "flag", "--"+f.name, "why", f.why)
				}
			}
			reload := make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			defer signal.Stop(reload)
			return server.Run(cmd.Context(), opts, server.Deps{Logger: logger, Banner: streams.Out, Reload: reload})
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&opts.ConfigFile, "config.file", "", "`file` in prometheus.yml's format; without it the server watches itself and this machine")
	f.StringVar(&autoReload, "config.auto-reload-interval", "30s", "how `often` the configuration's files are looked at; what has changed is reloaded; 0s: never")
	f.StringVar(&opts.DataDir, "data.dir", "./data", "`directory` of the data")
	f.StringVar(&opts.DataDir, "storage.tsdb.path", "./data", "alias of --data.dir")
	f.StringVar(&opts.ListenAddress, "web.listen-address", "127.0.0.1:9090", "`address` of page and API")
	f.StringVar(&opts.ExternalURL, "web.external-url", "", "`URL` under which users reach the server, path included")
	f.BoolVar(&opts.AdminAPI, "web.enable-admin-api", false, "answer the requests that delete samples and make snapshots, under /api/v1/admin/tsdb/")
	f.StringVar(&retention, "storage.tsdb.retention.time", "", "how `long` samples are kept; overrides the configuration file (default 30d)")
	f.StringVar(&size, "storage.tsdb.retention.size", "", "how `much` the data directory may take; the oldest blocks go first; overrides the configuration file (default: no bound)")
	f.Float64Var(&opts.RetentionPercent, "storage.tsdb.retention.percentage", 0, "the same as a `share` of the disk, in percent")
	limits.add(f)
	f.StringVar(&level, "log.level", "info", "`level` of the log: debug, info, warn, error")
	for _, ignored := range ignoredFlags {
		usage := "taken for compatibility: " + ignored.why
		if ignored.isBool {
			f.Bool(ignored.name, false, usage)
		} else {
			f.StringArray(ignored.name, nil, usage)
		}
	}
	return cmd
}

func newLogger(streams Streams, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log.level=%s: the levels are debug, info, warn and error", level)
	}
	return slog.New(slog.NewTextHandler(streams.Err, &slog.HandlerOptions{Level: l})), nil
}

// parseDuration reads a duration as Prometheus writes them ("15d"); "" is 0.
func parseDuration(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("--%s=%s: %w; write it like 15d or 12h", flag, text, err)
	}
	return time.Duration(d), nil
}

func versionLine(b Build) string {
	return fmt.Sprintf("nilometer %s (revision %s, %s, %s/%s)", b.Version, b.Revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
