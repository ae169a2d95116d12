// Package web serves Nilometer's page: the assets that `make web` builds from
// web/ui into web/dist, embedded into the program.
//
// It owns the page's addresses, caching and security headers. It knows nothing
// of the server behind it: the page asks Prometheus' HTTP API under the same
// prefix. Callers route the API, health checks and metrics elsewhere, strip the
// prefix from requests and hand over what is left.
//
// Invariants:
//
//   - I1: the package compiles and answers without built assets; then every page
//     says how to build them.
//   - I2: a response's scripts come from this origin only, and none is inline.
//   - I3: what is cached for ever has its content's hash in its name; the index
//     is asked for anew each time, so that a new program brings its own page.
//   - I4: only GET and HEAD are answered, and no path below /api/ or /-/ is ever
//     answered with a page.
package web

import (
	"embed"
	"io/fs"
	"net/http"
)

// dist is what `make web` has built; a fresh clone holds .gitkeep alone.
//
//go:embed all:dist
var dist embed.FS

// Handler serves the embedded page. prefix is the path under which browsers see
// the server: "" or "/path", without a slash at its end; requests arrive with it
// already stripped.
func Handler(prefix string) http.Handler {
	assets, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("web: " + err.Error()) // "dist" is a valid path: cannot be
	}
	return HandlerOf(assets, prefix)
}
