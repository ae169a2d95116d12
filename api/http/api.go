package httpapi

import (
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/promql"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage"
)

// Targets is what the API asks the scraping side.
type Targets interface {
	Targets() scrape.Snapshot
	Metadata(family string) []scrape.TargetMetadata
	Pools() []string
	RelabelSteps(pool string, lset labels.Labels, ofMetrics bool) ([]scrape.RelabelStep, bool)
}

// Server is what the API asks and tells the process as a whole.
type Server interface {
	// Ready returns nil when queries are answered wholly, else why not.
	Ready() error
	// Reload reads the configuration again and applies it, whole or not at all.
	Reload(ctx context.Context) error
	// Reloaded tells whether the last reload succeeded, and when one last did.
	Reloaded() (ok bool, at time.Time)
	// Notices are what of the configuration is not carried out, a text each.
	Notices() []string
	DataDir() string
	// Retention is how long samples are kept, as users write it.
	Retention() string
}

// Deps are the parts behind the API.
type Deps struct {
	Reader  storage.Reader
	Engine  *promql.Engine
	Queries Queries
	Targets Targets
	Rules   Rules
	// Alertmanagers are those outside that alerts are sent to.
	Alertmanagers Alertmanagers
	Server        Server
	// Cardinality and Excesses are what /api/v1/status/tsdb tells of.
	Cardinality storage.CardinalityReader
	Excesses    Excesses
	Admin       Admin // nil: administration is not switched on
	Tenant      tenant.ID
	Build       Build
	Started     time.Time
	// StepsMax bounds the points of one series in a range query; 0: 11,000.
	StepsMax int
	Logger   *slog.Logger
	Registry *prometheus.Registry
	// Write receives POST /api/v1/write.
	Write http.Handler
	// Page serves everything that is no API.
	Page http.Handler
}

// API is the handler of all paths.
type API struct {
	deps    Deps
	parser  parser.Parser
	metrics metrics
	papers  sync.Pool // of *paper
}

// formBytesMax bounds the body of a POSTed query: a long PromQL expression is
// 100 kB.
const formBytesMax = 4 << 20

// New returns the handler of everything under prefix ("" or "/path").
func New(deps Deps, prefix string) http.Handler {
	a := &API{deps: deps, parser: promql.NewParser(), metrics: newMetrics(deps.Registry)}
	mux := http.NewServeMux()
	get := func(path string, h handler) { mux.HandleFunc("GET "+path, a.serve(path, h)) }
	both := func(path string, h handler) {
		get(path, h)
		mux.HandleFunc("POST "+path, a.serve(path, h))
	}
	both("/api/v1/query", a.query)
	both("/api/v1/query_range", a.queryRange)
	both("/api/v1/query_exemplars", a.queryExemplars)
	both("/api/v1/labels", a.labelNames)
	get("/api/v1/label/{name}/values", a.labelValues)
	both("/api/v1/series", a.series)
	both("/api/v1/format_query", a.formatQuery)
	get("/api/v1/targets", a.targets)
	get("/api/v1/targets/metadata", a.targetMetadata)
	get("/api/v1/targets/relabel_steps", a.relabelSteps)
	get("/api/v1/scrape_pools", a.scrapePools)
	get("/api/v1/metadata", a.metadata)
	get("/api/v1/rules", a.rules)
	get("/api/v1/alerts", a.alerts)
	get("/api/v1/alertmanagers", a.alertmanagers)
	get("/api/v1/status/buildinfo", a.buildInfo)
	get("/api/v1/status/runtimeinfo", a.runtimeInfo)
	get("/api/v1/status/tsdb", a.statusTSDB)
	get(activeQueriesPath, a.activeQueries)
	mux.HandleFunc("DELETE "+activeQueriesPath+"/{id}", a.serve(activeQueriesPath, a.killQuery))
	a.adminRoutes(mux)
	mux.HandleFunc("/api/", a.serve("unknown", a.unknown))

	mux.Handle("/api/v1/write", deps.Write)
	mux.Handle("GET /metrics", promhttp.HandlerFor(deps.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /-/healthy", a.healthy)
	mux.HandleFunc("GET /-/ready", a.ready)
	mux.HandleFunc("POST /-/reload", a.reload)
	mux.HandleFunc("PUT /-/reload", a.reload)
	profileRoutes(mux)
	mux.Handle("/", deps.Page)

	var root http.Handler = mux
	if prefix != "" {
		root = http.StripPrefix(prefix, mux)
	}
	// Answers are sent once and read at once: more than the fastest level costs
	// more time than it saves.
	compressed, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil { // a level is valid or not
		panic("httpapi: " + err.Error())
	}
	handled := a.recovered(root)
	return compressing(compressed(handled), handled)
}

// profileRoutes are Go's profiles of this process, where Prometheus has them.
func profileRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // heap, goroutine and others by name
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// handler answers one endpoint of the API.
type handler func(r *http.Request) (answer, error)

// serve wraps an endpoint with the envelope and its metrics.
func (a *API) serve(path string, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		status := http.StatusOK
		r.Body = http.MaxBytesReader(w, r.Body, formBytesMax)
		ans, err := withForm(h)(r)
		if err != nil {
			status = statusOf[classify(err)]
			err = writeError(w, err)
		} else {
			if ans.release != nil {
				defer ans.release()
			}
			if ans.nothing {
				status = http.StatusNoContent
			}
			err = a.writeAnswer(w, r, ans)
		}
		if err != nil && r.Context().Err() == nil {
			a.deps.Logger.Warn("answer not written", "path", path, "err", err)
		}
		a.metrics.requests.WithLabelValues(path, strconv.Itoa(status)).Inc()
		a.metrics.duration.WithLabelValues(path).Observe(time.Since(begin).Seconds())
	}
}

// withForm refuses a body that cannot be read: its parameters would count as
// absent.
func withForm(h handler) handler {
	return func(r *http.Request) (answer, error) {
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				return answer{}, badData(fmt.Errorf("error parsing form values: %w", err))
			}
		}
		return h(r)
	}
}

// recovered turns a panic into a 500 and a log line: one request's fault does
// not end the process.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil || p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
				return
			}
			a.deps.Logger.Error("request panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			_ = writeError(w, fmt.Errorf("internal error: %v", p)) // the connection may be broken: nobody to tell
		}()
		next.ServeHTTP(w, r)
	})
}

func (a *API) unknown(r *http.Request) (answer, error) {
	return answer{}, &apiError{errNotFound, fmt.Errorf("%s %s is not part of the API, or not supported yet", r.Method, r.URL.Path)}
}

// formatQuery answers /api/v1/format_query.
func (a *API) formatQuery(r *http.Request) (answer, error) {
	if err := promql.CheckNesting(r.FormValue("query")); err != nil {
		return answer{}, err
	}
	expr, err := a.parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return answer{}, invalidParameter("query", err)
	}
	text, err := pretty(expr)
	if err != nil {
		return answer{}, err
	}
	return answer{data: text}, nil
}
