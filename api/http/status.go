package httpapi

import (
	"errors"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/prometheus/util/annotations"
)

// Build names the program, as /api/v1/status/buildinfo says it.
type Build struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

// buildInfo answers /api/v1/status/buildinfo. Clients such as Grafana choose
// their features by the version of Prometheus that a server says it is: the
// version is that of the API, application names us.
func (a *API) buildInfo(*http.Request) (answer, error) {
	b := a.deps.Build
	b.GoVersion = runtime.Version()
	return answer{data: struct {
		Build
		Application        string `json:"application"`
		ApplicationVersion string `json:"applicationVersion"`
	}{
		Build: Build{
			Version: apiVersion, Revision: b.Revision, Branch: b.Branch,
			BuildUser: b.BuildUser, BuildDate: b.BuildDate, GoVersion: b.GoVersion,
		},
		Application: "Nilometer", ApplicationVersion: b.Version,
	}}, nil
}

// apiVersion is the release of Prometheus whose API is followed.
const apiVersion = "3.15.0"

// runtimeInfo answers /api/v1/status/runtimeinfo; what of the configuration is not
// carried out stands beside it as warnings.
func (a *API) runtimeInfo(*http.Request) (answer, error) {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	loaded, at := a.deps.Server.Reloaded()
	var notes annotations.Annotations
	for _, n := range a.deps.Server.Notices() {
		notes.Add(errors.New(n))
	}
	return answer{warnings: notes, data: map[string]any{
		"startTime":           a.deps.Started.UTC(),
		"CWD":                 a.deps.Server.DataDir(),
		"hostname":            host,
		"serverTime":          a.now().UTC(),
		"reloadConfigSuccess": loaded,
		"lastConfigTime":      at.UTC(),
		"corruptionCount":     0,
		"goroutineCount":      runtime.NumGoroutine(),
		"GOMAXPROCS":          runtime.GOMAXPROCS(0),
		"GOMEMLIMIT":          debug.SetMemoryLimit(-1),
		"GOGC":                os.Getenv("GOGC"),
		"GODEBUG":             os.Getenv("GODEBUG"),
		"storageRetention":    a.deps.Server.Retention(),
	}}, nil
}

// healthy answers /-/healthy: the process serves.
func (a *API) healthy(w http.ResponseWriter, _ *http.Request) {
	plainText(w, http.StatusOK, "Nilometer is healthy.")
}

// ready answers /-/ready: queries are answered wholly.
func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	if err := a.deps.Server.Ready(); err != nil {
		w.Header().Set("Retry-After", "1")
		plainText(w, http.StatusServiceUnavailable, "Nilometer is not ready: "+err.Error())
		return
	}
	plainText(w, http.StatusOK, "Nilometer is ready.")
}

// reload answers POST /-/reload.
func (a *API) reload(w http.ResponseWriter, r *http.Request) {
	if err := a.deps.Server.Reload(r.Context()); err != nil {
		plainText(w, http.StatusInternalServerError, "failed to reload config: "+err.Error())
		return
	}
	w.WriteHeader(http.StatusOK)
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the client is gone: nobody to tell
}

// now is the time that "now" means in a request.
func (a *API) now() time.Time { return time.Now() }
