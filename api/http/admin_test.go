package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// administrator notes what it is asked for.
type administrator struct {
	skipped []bool
	cleaned int
	err     error
}

func (a *administrator) CleanTombstones(context.Context) error {
	a.cleaned++
	return a.err
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
	for _, path := range []string{"snapshot", "delete_series?match[]=up", "clean_tombstones"} {
		checkOff(t, s, "/api/v1/admin/tsdb/"+path)
	}
}

func checkOff(t *testing.T, s *site, path string) {
	t.Helper()
	status, answer, _ := s.do(http.MethodPost, path, "")
	if status != http.StatusServiceUnavailable || answer != failure("unavailable", "admin APIs disabled: start the server with --web.enable-admin-api") {
		t.Errorf("%d %s", status, answer)
	}
}

func TestDeleteSeries(t *testing.T) {
	const path = "/api/v1/admin/tsdb/delete_series"
	store := storagetest.NewMemory(storagetest.MemoryOptions{})
	for _, name := range []string{"a", "b", "c"} {
		x := storagetest.Series{Labels: storagetest.Named(name), Samples: []storagetest.Sample{{T: 1_700_000_000_000, V: 1}, {T: 1_700_000_015_000, V: 2}}}
		if err := storagetest.Load(t.Context(), store, tenant.Default, x); err != nil {
			t.Fatal(err)
		}
	}
	s := newAdminSite(t, "", store, &administrator{})
	for _, c := range []struct {
		method, target, body string
		status, series       int
	}{
		{http.MethodPost, path, "", http.StatusBadRequest, 3},
		{http.MethodPost, path + "?match[]=nope{", "", http.StatusBadRequest, 3},
		{http.MethodPost, path + "?match[]={x=~\".*\"}", "", http.StatusBadRequest, 3},
		{http.MethodPost, path + "?match[]=a&start=soon", "", http.StatusBadRequest, 3},
		{http.MethodGet, path + "?match[]=a", "", http.StatusMethodNotAllowed, 3},
		{http.MethodPost, path + "?match[]=a&end=1700000000", "", http.StatusNoContent, 3},
		{http.MethodPut, path + "?match[]=a", "", http.StatusNoContent, 2},
		{http.MethodPost, path, "match[]=b&match[]=c", http.StatusNoContent, 0},
	} {
		status, answer, _ := s.do(c.method, c.target, c.body)
		if status != c.status && !(c.method == http.MethodGet && status >= 400) || status == http.StatusNoContent && answer != "" {
			t.Errorf("%s %s: %d %q", c.method, c.target, status, answer)
		}
		if left, err := storagetest.ReadAll(t.Context(), store, tenant.Default); err != nil || len(left) != c.series {
			t.Errorf("%s %s: %d series are left, %v", c.method, c.target, len(left), err)
		}
	}
}

func TestCleanTombstones(t *testing.T) {
	const path = "/api/v1/admin/tsdb/clean_tombstones"
	a := &administrator{}
	s := newAdminSite(t, "", nil, a)
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		if status, answer, _ := s.do(method, path, ""); status != http.StatusNoContent || answer != "" {
			t.Errorf("%s: %d %s", method, status, answer)
		}
	}
	a.err = errors.New("disk full")
	if status, answer, _ := s.do(http.MethodPost, path, ""); status != http.StatusInternalServerError || a.cleaned != 3 {
		t.Errorf("%d %s", status, answer)
	}
}
