package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
)

// administrator notes what it is asked for.
type administrator struct {
	skipped []bool
	err     error
}

func (a *administrator) Snapshot(_ context.Context, skipHead bool) (string, error) {
	a.skipped = append(a.skipped, skipHead)
	return "20261123T050000Z-1", a.err
}

func TestSnapshot(t *testing.T) {
	const path = "/api/v1/admin/tsdb/snapshot"
	a := &administrator{}
	s := newAdminSite(t, "", nil, a)
	for _, c := range []struct{ method, target, body string }{
		{http.MethodPost, path, ""}, {http.MethodPut, path + "?skip_head=true", ""}, {http.MethodPost, path, "skip_head=1"},
	} {
		status, answer, _ := s.do(c.method, c.target, c.body)
		if status != http.StatusOK || answer != success(`{"name":"20261123T050000Z-1"}`) {
			t.Errorf("%s %s: %d %s", c.method, c.target, status, answer)
		}
	}
	if len(a.skipped) != 3 || a.skipped[0] || !a.skipped[1] || !a.skipped[2] {
		t.Errorf("asked for %v", a.skipped)
	}
	if status, answer, _ := s.do(http.MethodPost, path+"?skip_head=maybe", ""); status != http.StatusBadRequest || len(a.skipped) != 3 {
		t.Errorf("%d %s", status, answer)
	}
	if status, _, _ := s.do(http.MethodGet, path, ""); status == http.StatusOK || len(a.skipped) != 3 {
		t.Errorf("GET made a snapshot: %d", status)
	}
	a.err = errors.New("disk full")
	if status, answer, _ := s.do(http.MethodPost, path, ""); status != http.StatusInternalServerError {
		t.Errorf("%d %s", status, answer)
	}
}

func TestAdminIsOffByDefault(t *testing.T) {
	s := newSite(t, "", nil)
	status, answer, _ := s.do(http.MethodPost, "/api/v1/admin/tsdb/snapshot", "")
	if status != http.StatusServiceUnavailable || answer != failure("unavailable", "admin APIs disabled: start the server with --web.enable-admin-api") {
		t.Errorf("%d %s", status, answer)
	}
}
