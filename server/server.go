// Package server assembles the parts into one running process: it opens the
// data directory, applies the configuration, serves HTTP and ends everything in
// order.
//
// It owns the lifetime of every part, and the translation from the
// configuration to the parts' options. It has no behaviour of its own beyond
// that.
//
// Invariants:
//
//   - I1: Run returns an error before anything was written when the
//     configuration, the address or the data directory cannot be used.
//   - I2: a reload is applied whole or not at all, except for rule files: a bad
//     one keeps its last good version and is named.
//   - I3: at the end, what takes samples ends before the database does, and
//     everything acknowledged is durable when Run returns.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/nilometer/nilometer/alerting"
	"github.com/nilometer/nilometer/alerting/sender"
	httpapi "github.com/nilometer/nilometer/api/http"
	"github.com/nilometer/nilometer/config"
	"github.com/nilometer/nilometer/hostmetrics"
	"github.com/nilometer/nilometer/ingest/remotewrite"
	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/metadb/sqlite"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/promql/querylog"
	"github.com/nilometer/nilometer/rules"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/web"
)

// server is one running process.
type server struct {
	opts        Options
	deps        Deps
	logger      *slog.Logger
	registry    *prometheus.Registry
	queries     promql.Options
	memoryLimit int64       // of the process, in bytes; 0: not known
	setHeap     func(int64) // sets the Go runtime's share of it; nil: the environment has
	pacer       pacer
	listener    net.Listener
	externalURL *url.URL
	hostname    string
	started     time.Time

	limits   *limits.Limits
	db       *tsdb.DB
	meta     *sqlite.DB
	engine   *promql.Engine
	queryLog *querylog.Log
	scrapes  *scrape.Manager
	rules    *rules.Manager
	alerting *alerting.Manager
	sender   *sender.Sender
	self     scrape.Source
	host     scrape.Source

	unsupported *prometheus.GaugeVec // entries of the configuration, by section

	reloading sync.Mutex // one reload at a time
	sources   sources

	mu         sync.Mutex // guards the fields below
	retention  time.Duration
	reloadedOK bool
	reloadedAt time.Time
	lastRules  map[string]rules.File // the last good version of each rule file
	notices    []string
}

// Run runs the server until ctx ends.
func Run(ctx context.Context, opts Options, deps Deps) error {
	conf, err := load(opts)
	if err != nil {
		return err
	}
	l, err := listen(opts.ListenAddress)
	if err != nil {
		return err
	}
	s := &server{
		opts: opts, deps: deps, logger: deps.Logger, registry: prometheus.NewRegistry(), listener: l,
		started: time.Now(), lastRules: map[string]rules.File{},
		sources: sources{file: opts.ConfigFile, last: conf},
	}
	s.sources.note(conf, conf.Fingerprint(opts.ConfigFile))
	defer l.Close() //nolint:errcheck // closed by the HTTP server already when all went well
	defer s.pacer.stop()
	if s.externalURL, err = externalURL(opts.ExternalURL, l.Addr()); err != nil {
		return fmt.Errorf("--web.external-url: %w", err)
	}
	if s.hostname, err = os.Hostname(); err != nil {
		s.hostname = "localhost"
	}
	if err := s.open(ctx, conf); err != nil {
		return err
	}
	return s.run(ctx, conf)
}

// load reads the configuration and checks the file of alerting that it names.
func load(opts Options) (*config.Config, error) {
	if opts.ConfigFile == "" {
		return config.Defaults(), nil
	}
	c, err := config.Load(opts.ConfigFile)
	if err != nil {
		return nil, err
	}
	if name := c.Nilometer.Alerting.ConfigFile; name != "" {
		if err := alerting.Check(name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// open makes the parts. What was opened is closed again when a later one
// fails.
func (s *server) open(ctx context.Context, conf *config.Config) (err error) {
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(s.opts))
	if s.unsupported, err = newNotices(s.registry); err != nil {
		return err
	}
	s.memoryLimit, s.setHeap = memoryLimit(conf, s.logger)
	if s.queries, err = s.queryOptions(conf, s.memoryLimit); err != nil {
		return fmt.Errorf("limits of queries: %w", err)
	}
	if s.limits, err = limits.New(limitOptions(conf), limits.Deps{Logger: s.logger, Registerer: s.registry}); err != nil {
		return err
	}
	if err := s.openData(ctx, conf); err != nil {
		return err
	}
	s.limits.Follow(s.db)
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.self = scrape.NewRegistrySource(s.registry)
	s.host, err = hostmetrics.New(hostmetrics.Options{}, s.logger)
	return err
}

// openData opens the database, and with it what else is in its directory.
func (s *server) openData(ctx context.Context, conf *config.Config) (err error) {
	opts := s.databaseOptions(conf)
	opts.MemoryLimit = s.memoryLimit
	s.db, err = tsdb.Open(ctx, opts, tsdb.Deps{
		Dir: s.opts.DataDir, Logger: s.logger, Registerer: s.registry, Admitter: s.limits, Note: "nilometer on " + s.listener.Addr().String() + s.externalURL.Path,
		Beside: s.openBeside, MemoryAside: s.scrapeWork, SetHeapLimit: s.setHeap, CaughtUp: s.pacer.begin,
	})
	if err != nil && s.meta != nil {
		err = errors.Join(err, s.meta.Close())
	}
	return err
}

// openBeside opens the metadata database and the state of alerting.
func (s *server) openBeside(ctx context.Context) (err error) {
	if s.meta, err = sqlite.Open(ctx, filepath.Join(s.opts.DataDir, metaName)); err != nil {
		return err
	}
	s.alerting, err = alerting.New(alerting.Deps{
		Dir: filepath.Join(s.opts.DataDir, alertingName), Logger: s.logger.With("component", "alerting"), Registerer: s.registry,
	})
	return err
}

func (s *server) close() {
	if err := errors.Join(s.meta.Close(), s.db.Close()); err != nil {
		s.logger.Error("data directory not closed cleanly", "err", err)
	}
}

// run starts everything and waits for the end.
func (s *server) run(ctx context.Context, conf *config.Config) error {
	defer s.close()
	var err error
	s.engine, err = promql.NewEngine(s.queries, promql.Deps{Logger: s.logger, Registerer: s.registry})
	if err != nil {
		return err
	}
	if s.queryLog, err = querylog.New(s.registry); err != nil {
		return err
	}
	s.engine.SetLog(s.queryLog.Log)
	defer s.logQueriesTo(nil)
	s.scrapes, err = scrape.NewManager(scrape.Deps{
		Writer: s.db, Targets: s.meta, Tenant: tenant.Default, Logger: s.logger, Registerer: s.registry, UserAgent: "Nilometer/" + s.opts.Version,
		BodyMemoryMax: bodyMemory(s.memoryLimit),
	})
	if err != nil {
		return err
	}
	s.sender, err = sender.New(sender.Deps{Logger: s.logger, Registerer: s.registry, UserAgent: "Nilometer/" + s.opts.Version})
	if err != nil {
		return err
	}
	s.rules = rules.New(rules.Deps{
		Engine: s.engine, Reader: s.db, Writer: s.db, Database: s.meta, Notifier: notifier{s.alerting, s.sender, s.logger},
		Tenant: tenant.Default, Logger: s.logger, Registerer: s.registry,
	})
	if err := s.apply(conf); err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           s.handler(conf),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	return s.serve(ctx, conf, srv)
}

// shutdownTimeout bounds how long requests may go on after the end was asked
// for.
const shutdownTimeout = 10 * time.Second

// serve runs the parts in the order of their dependence: each outlives those
// that use it.
func (s *server) serve(ctx context.Context, conf *config.Config, srv *http.Server) error {
	// The database outlives what writes to it: its context ends last.
	dbCtx, endDB := context.WithCancel(context.WithoutCancel(ctx))
	defer endDB()
	dbDone := make(chan error, 1)
	go func() { dbDone <- s.db.Run(dbCtx) }()

	g, flows := errgroup.WithContext(ctx)
	g.Go(func() error { return s.scrapes.Run(flows) })
	g.Go(func() error { return s.rules.Run(flows) })
	g.Go(func() error { return s.alerting.Run(flows) })
	g.Go(func() error { return s.sender.Run(flows) })
	g.Go(func() error { s.watchReloads(flows); return nil })
	g.Go(func() error { s.pruneMetadata(flows); return nil })
	g.Go(func() error { s.surveyLimits(flows); return nil })
	g.Go(func() error {
		select {
		case err := <-dbDone:
			dbDone <- nil // waited for below
			if err != nil {
				return fmt.Errorf("database: %w", err)
			}
			return errors.New("database ended by itself")
		case <-flows.Done():
			return nil
		}
	})
	g.Go(func() error {
		if err := srv.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-flows.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := srv.Shutdown(end); err != nil {
			return srv.Close()
		}
		return nil
	})
	if s.deps.Banner != nil {
		_, _ = fmt.Fprint(s.deps.Banner, s.banner(conf)) // nobody may be there to read it
	}
	s.logger.Info("server started", "address", s.listener.Addr().String(), "data_dir", s.opts.DataDir, "version", s.opts.Version)
	err := g.Wait()
	endDB()
	err = errors.Join(err, <-dbDone)
	s.logger.Info("server ended", "uptime", time.Since(s.started).Round(time.Second).String())
	return err
}

func (s *server) handler(conf *config.Config) http.Handler {
	prefix := s.externalURL.Path
	var admin httpapi.Admin
	if s.opts.AdminAPI {
		admin = s
	}
	return httpapi.New(httpapi.Deps{
		Reader: s.db, Engine: s.engine, Queries: s.engine, Targets: s.scrapes, Rules: s.rules, Alertmanagers: s.sender, Server: s, Cardinality: s.db, Excesses: s.limits, Admin: admin, Tenant: tenant.Default,
		Build:   httpapi.Build{Version: s.opts.Version, Revision: s.opts.Revision},
		Started: s.started, StepsMax: conf.Nilometer.Query.StepsMax, Logger: s.logger, Registry: s.registry,
		Write: remotewrite.New(remotewrite.Options{}, remotewrite.Deps{Writer: s.db, Tenant: tenant.Default, Logger: s.logger, Registerer: s.registry}),
		Page:  web.Handler(prefix),
	}, prefix)
}

// notifier hands the alerts of rules to alerting, inside and out.
type notifier struct {
	alerting *alerting.Manager
	sender   *sender.Sender
	logger   *slog.Logger
}

// Notify implements rules.Notifier.
func (n notifier) Notify(ctx context.Context, alerts []rules.Notification) {
	out := make([]alerting.Alert, len(alerts))
	for i, a := range alerts {
		out[i] = alerting.Alert(a)
	}
	n.sender.Put(out)
	if err := n.alerting.Put(ctx, out); err != nil {
		n.logger.Error("alerts not handed over", "count", len(alerts), "err", err)
	}
}

func buildInfo(o Options) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "nilometer_build_info", Help: "1, with the program's version as labels.",
		ConstLabels: prometheus.Labels{"version": o.Version, "revision": o.Revision},
	})
	g.Set(1)
	return g
}
