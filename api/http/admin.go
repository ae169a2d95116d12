package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// Admin is what the administration endpoints ask for.
type Admin interface {
	// Snapshot makes a copy of the data that a server can be started on, and
	// returns the name of its directory below snapshots/. Without the head it
	// has only what is in blocks.
	Snapshot(ctx context.Context, skipHead bool) (name string, err error)
	// CleanTombstones writes every block anew that has deleted samples, and
	// returns when their files have none.
	CleanTombstones(ctx context.Context) error
}

// adminRoutes are the endpoints that change data or take space.
func (a *API) adminRoutes(mux *http.ServeMux) {
	for path, h := range map[string]handler{
		"/api/v1/admin/tsdb/snapshot":         a.snapshot,
		"/api/v1/admin/tsdb/delete_series":    a.deleteSeries,
		"/api/v1/admin/tsdb/clean_tombstones": a.cleanTombstones,
	} {
		h := a.serve(path, a.admin(h))
		mux.HandleFunc("POST "+path, h)
		mux.HandleFunc("PUT "+path, h)
	}
}

// admin refuses what the command line did not switch on.
func (a *API) admin(h handler) handler {
	return func(r *http.Request) (answer, error) {
		if a.deps.Admin == nil {
			return answer{}, &apiError{errUnavailable, errors.New("admin APIs disabled: start the server with --web.enable-admin-api")}
		}
		return h(r)
	}
}

// snapshot answers /api/v1/admin/tsdb/snapshot.
func (a *API) snapshot(r *http.Request) (answer, error) {
	skipHead := false
	if text := r.FormValue("skip_head"); text != "" {
		var err error
		if skipHead, err = strconv.ParseBool(text); err != nil {
			return answer{}, invalidParameter("skip_head", fmt.Errorf("unable to parse boolean: %w", err))
		}
	}
	name, err := a.deps.Admin.Snapshot(r.Context(), skipHead)
	if err != nil {
		return answer{}, fmt.Errorf("create snapshot: %w", err)
	}
	return answer{data: map[string]string{"name": name}}, nil
}

// deleteSeries answers /api/v1/admin/tsdb/delete_series: one deletion for each
// match[]. When one of several fails, those before it stay.
func (a *API) deleteSeries(r *http.Request) (answer, error) {
	selections, _, err := a.selections(r, func(err error) error { return invalidParameter("match[]", err) })
	if err != nil {
		return answer{}, err
	}
	if len(selections) == 0 {
		return answer{}, badData(errors.New("no match[] parameter provided"))
	}
	for _, s := range selections {
		if err := a.deps.Reader.Delete(r.Context(), a.deps.Tenant, s.MinTime, s.MaxTime, s.Matchers...); err != nil {
			return answer{}, err
		}
	}
	return answer{nothing: true}, nil
}

// cleanTombstones answers /api/v1/admin/tsdb/clean_tombstones.
func (a *API) cleanTombstones(r *http.Request) (answer, error) {
	if err := a.deps.Admin.CleanTombstones(r.Context()); err != nil {
		return answer{}, err
	}
	return answer{nothing: true}, nil
}
